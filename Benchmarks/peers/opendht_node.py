"""One OpenDHT node. usage: opendht_node.py HOST PORT OTHER-HOSTS, joined by commas"""

import sys
import time

import opendht

from protocol import Window, record, serve

host, port = sys.argv[1], int(sys.argv[2])
others = [other for other in sys.argv[3].split(",") if other != host]
configuration = opendht.DhtConfig()
# Per node and per sender; the defaults would refuse what one client asks in this measurement.
if hasattr(configuration, "setRateLimit"):
    configuration.setRateLimit(1_000_000, 1_000_000)
node = opendht.DhtRunner()
node.run(port=port, ipv4=host, config=configuration)
for other in others:
    node.bootstrap(other, str(port))


def key(number: int) -> opendht.InfoHash:
    return opendht.InfoHash.get("record %d" % number)


def put(first: int, step: int, count: int, size: int) -> dict:
    numbers = range(first, count, step)

    def begin(index: int, end) -> None:
        number = numbers[index]
        value = opendht.Value(record(number, size))
        node.put(key(number), value, done_cb=lambda ok, nodes: end(ok))

    return Window(begin, len(numbers), 8).run()


def get(count: int, window: int, records: int, size: int, first: int) -> dict:
    """`first`: the first record ends the lookup, instead of the answers of all closest nodes."""
    expected = [record(number, size) for number in range(records)]

    def begin(number: int, end) -> None:
        wanted = expected[number % records]
        found = []

        def value(value, expired=False):
            if not expired and value.data == wanted:
                found.append(True)
            return not (first and found)

        node.get(key(number % records), get_cb=value, done_cb=lambda ok, nodes: end(bool(found)))

    return Window(begin, count, window).run()


def nodes() -> dict:
    return {"nodes": node.getRoutingTablesLog(2).count("Node ")}


serve({"put": put, "get": get, "nodes": nodes})
node.shutdown()
time.sleep(0.2)
