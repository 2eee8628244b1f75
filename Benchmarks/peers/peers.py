"""CPU time for each lookup and lookups a second: our directory beside OpenDHT and libtorrent's DHT (see ./run)."""

import argparse
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
PORT = 7500
NETWORK = 30
CLIENT_NETWORK = 200
# Seconds without questions over which the nodes' own upkeep is measured.
IDLE = 5


def cpu(pid: int) -> float:
    """Seconds of user and system time of all threads, by the scheduler's account in nanoseconds."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except FileNotFoundError:
            continue
    return total / 1e9


class Program:
    """A process that answers each line with a line of JSON, and that ends with this one."""

    def __init__(self, arguments: list):
        words = ["setpriv", "--pdeathsig", "TERM", *map(str, arguments)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid

    def tell(self, line: str) -> None:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args} ended with {self.process.wait()}")
        return json.loads(line)

    def ask(self, line: str) -> dict:
        self.tell(line)
        return self.hear()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def measure(name: str, client: Program, line: str, lookups: int, servers: list, idle: float) -> dict:
    before = cpu(client.pid), sum(map(cpu, servers))
    answer = client.ask(line)
    after = cpu(client.pid), sum(map(cpu, servers))
    row = {
        "name": name,
        "found": answer["found"] / lookups,
        "client": (after[0] - before[0]) / lookups * 1e6,
        "servers": (after[1] - before[1]) / lookups * 1e6,
        # What the servers would have used in the same time without lookups.
        "idle": idle * answer["seconds"] / lookups * 1e6,
        "rate": lookups / answer["seconds"],
        "median": answer["median"],
        "p99": answer["p99"],
    }
    print(", ".join(f"{key} {value:.4g}" if key != "name" else value for key, value in row.items()), file=sys.stderr)
    return row


def upkeep(servers: list) -> float:
    before, started = sum(map(cpu, servers)), time.monotonic()
    time.sleep(IDLE)
    return (sum(map(cpu, servers)) - before) / (time.monotonic() - started)


def ours(options) -> tuple:
    folder = pathlib.Path(options.folder) / "net"
    testbed = [options.hulda, "testbed"]
    rows = []
    client = None
    try:
        subprocess.run(
            [*testbed, "up", "--clusters", str(options.nodes), "--network", str(NETWORK), "--dir", folder,
             "--timeout", "120"], check=True, stdout=subprocess.DEVNULL)
        servers = [int(path.read_text()) for path in folder.glob("cluster-*/node.pid")]
        client = Program([options.client, folder / "bootstrap.txt", CLIENT_NETWORK, options.records])
        size = client.hear()["record"]
        # So that there are sessions, and the servers have done what follows a start.
        client.ask(f"one {100 * options.nodes} {options.window}")
        time.sleep(options.settle)
        idle = upkeep(servers)
        for mode, name in (
            ("one", "hulda, one holder, in a session"), ("eight", "hulda, 8 of 20 holders, in sessions"),
            ("cold", "hulda, one holder, with handshake")):
            count = options.records * (1 if mode == "cold" else 10)
            for _ in range(options.runs):
                rows.append(measure(name, client, f"{mode} {count} {options.window}", count, servers, idle))
    finally:
        if client:
            client.stop()
        subprocess.run([*testbed, "down", "--dir", folder], check=False, stdout=subprocess.DEVNULL)
    return rows, size, idle


def theirs(options, program: str, modes: list, size: int) -> tuple:
    """A fresh client for every run, so that each record is new to it."""
    hosts = [f"127.{NETWORK + number}.0.1" for number in range(options.nodes)]
    start = lambda host: Program([sys.executable, HERE / program, host, PORT, ",".join(hosts)])
    rows = []
    programs = []
    try:
        for host in hosts:
            programs.append(start(host))
        for node in programs:
            node.hear()
        time.sleep(options.settle)
        for first in {first for _, first, _ in modes}:
            for number, node in enumerate(programs):
                extra = f" {1 - first}" if program.startswith("libtorrent") else ""
                node.tell(f"put {number} {options.nodes} {options.records} {size}{extra}")
            stored = sum(node.hear()["found"] for node in programs)
            print(f"{program}: {stored} of {options.records} records stored", file=sys.stderr)
            if not program.startswith("libtorrent"):
                break
        servers = [node.pid for node in programs]
        time.sleep(options.settle)
        idle = upkeep(servers)
        number = 0
        for name, first, count in modes:
            for _ in range(options.runs):
                # They stay to the end: who has met a node that is gone waits for it.
                client = start(f"127.{CLIENT_NETWORK + number}.0.1")
                programs.append(client)
                number += 1
                client.hear()
                time.sleep(options.settle)
                line = f"get {count} {options.window} {options.records} {size} {first}"
                rows.append(measure(name, client, line, count, servers, idle))
    finally:
        for node in programs:
            node.stop()
    return rows, idle


def table(rows: list) -> None:
    columns = (
        ("all", "CPU µs"), ("servers", "servers µs"), ("client", "client µs"), ("idle", "upkeep µs"),
        ("rate", "lookups/s"), ("median", "median ms"), ("p99", "p99 ms"), ("found", "found %"))
    print("| lookup | " + " | ".join(title for _, title in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    names = list(dict.fromkeys(row["name"] for row in rows))
    for name in names:
        runs = [row for row in rows if row["name"] == name]
        for row in runs:
            row["all"] = row["client"] + row["servers"]
            row["found"] *= 100
        cells = []
        for key, _ in columns:
            value = statistics.median(row[key] for row in runs)
            cells.append(f"{value:.2f}" if key in ("median", "p99", "found") else f"{value:.0f}")
        print(f"| {name} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hulda", required=True)
    parser.add_argument("--client", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--nodes", type=int, default=32)
    parser.add_argument("--records", type=int, default=600)
    parser.add_argument("--window", type=int, default=16)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--settle", type=float, default=8, help="seconds until new nodes have found each other")
    options = parser.parse_args()
    if not 20 <= options.nodes <= 100 or not 1 <= options.records <= 5000 or not 1 <= options.runs <= 5:
        parser.error("--nodes 20 to 100, --records 1 to 5000, --runs 1 to 5")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    load = os.getloadavg()[0]
    rows, size, idle = ours(options)
    upkeeps = {"hulda": idle}
    for name, program, modes in (
        ("OpenDHT", "opendht_node.py",
         [("OpenDHT, first value", 1, options.records), ("OpenDHT, 8 of 8 closest", 0, options.records)]),
        ("libtorrent", "libtorrent_node.py",
         [("libtorrent, immutable item", 1, options.records), ("libtorrent, mutable item", 0, options.records)])):
        more, idle = theirs(options, program, modes, size)
        rows += more
        upkeeps[name] = idle
    print(f"{options.nodes} nodes, {options.records} records of {size} bytes, {options.window} lookups under way, "
          f"median of {options.runs} runs, load of the machine before {load:.1f}\n")
    table(rows)
    print("\nupkeep of all nodes without lookups, CPU ms/s: "
          + ", ".join(f"{name} {value * 1000:.1f}" for name, value in upkeeps.items()))


main()
