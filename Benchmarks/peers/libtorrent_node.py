"""One node of libtorrent's DHT. usage: libtorrent_node.py HOST PORT OTHER-HOSTS, joined by commas"""

import hashlib
import sys
import time

import libtorrent

from protocol import Window, record, serve

host, port = sys.argv[1], int(sys.argv[2])
others = [other for other in sys.argv[3].split(",") if other != host]
session = libtorrent.session(
    {
        "listen_interfaces": f"{host}:{port}",
        "alert_mask": libtorrent.alert.category_t.dht_notification | libtorrent.alert.category_t.status_notification,
        "alert_queue_size": 100_000,
        "enable_dht": True,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        # Nobody outside is asked, and nodes on the loopback interface count as nodes.
        "dht_bootstrap_nodes": "",
        "dht_restrict_routing_ips": False,
        "dht_restrict_search_ips": False,
        "dht_enforce_node_id": False,
        "dht_prefer_verified_node_ids": False,
        "dht_ignore_dark_internet": False,
        # The defaults would refuse what one client asks in this measurement.
        "dht_block_ratelimit": 1_000_000,
        "dht_upload_rate_limit": 1_000_000_000,
        "dht_max_dht_items": 100_000,
    }
)
for other in others:
    session.add_dht_node((other, port))

# The key pair of RFC 8032, section 7.1, test 1: records differ by their salt.
seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
secret = bytearray(hashlib.sha512(seed).digest())
secret[0] &= 248
secret[31] = secret[31] & 63 | 64
waiting: dict = {}


def salt(number: int) -> bytes:
    return b"record %d" % number


def target(number: int, size: int):
    data = record(number, size)
    return hashlib.sha1(b"%d:%s" % (len(data), data)).hexdigest()


def poll(seconds: float) -> None:
    session.wait_for_alert(int(seconds * 1000))
    for alert in session.pop_alerts():
        if isinstance(alert, libtorrent.dht_put_alert):
            name = bytes(alert.salt) if alert.salt else str(alert.target)
            for end in waiting.pop(name, [])[:1]:
                end(alert.num_success > 0)
        elif isinstance(alert, libtorrent.dht_immutable_item_alert):
            for end in waiting.pop(str(alert.target), []):
                end(alert.item is not None)
        elif isinstance(alert, libtorrent.dht_mutable_item_alert) and alert.authoritative:
            for end in waiting.pop(bytes(alert.salt), []):
                end(bool(alert.item))


def put(first: int, step: int, count: int, size: int, mutable: int) -> dict:
    numbers = range(first, count, step)

    def begin(index: int, end) -> None:
        number = numbers[index]
        if mutable:
            waiting.setdefault(salt(number), []).append(end)
            session.dht_put_mutable_item(bytes(secret), public, record(number, size), salt(number))
        else:
            waiting.setdefault(target(number, size), []).append(end)
            session.dht_put_immutable_item(record(number, size))

    return Window(begin, len(numbers), 4).run(poll)


def get(count: int, window: int, records: int, size: int, first: int) -> dict:
    """`first`: an immutable item, of which the first copy is enough; else a mutable one, the highest sequence of all."""
    hashes = [libtorrent.sha1_hash(bytes.fromhex(target(number, size))) for number in range(records)]

    def begin(number: int, end) -> None:
        number %= records
        name = str(hashes[number]) if first else salt(number)
        waiting.setdefault(name, []).append(end)
        if len(waiting[name]) > 1:
            return
        if first:
            session.dht_get_immutable_item(hashes[number])
        else:
            session.dht_get_mutable_item(public, salt(number))

    return Window(begin, count, window).run(poll)


def nodes() -> dict:
    session.post_dht_stats()
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        session.wait_for_alert(200)
        for alert in session.pop_alerts():
            if isinstance(alert, libtorrent.dht_stats_alert):
                return {"nodes": sum(bucket["num_nodes"] for bucket in alert.routing_table)}
    return {"nodes": 0}


serve({"put": put, "get": get, "nodes": nodes})
