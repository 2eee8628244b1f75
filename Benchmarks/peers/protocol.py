"""What the node programs of both peers have in common: words on standard input, JSON on standard output."""

import hashlib
import json
import sys
import threading
import time


def record(number: int, size: int) -> bytes:
    """The bytes of a record: the same in every process, and not compressible."""
    out = b""
    block = 0
    while len(out) < size:
        out += hashlib.sha256(b"record %d %d" % (number, block)).digest()
        block += 1
    return out[:size]


def say(value: dict) -> None:
    print(json.dumps(value), flush=True)


def quantile(values: list, share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))] if values else 0


class Window:
    """Operations of which so many are under way at a time; `begin(number, end)` starts one and `end(ok)` ends it."""

    LIMIT = 120

    def __init__(self, begin, count: int, window: int):
        self.begin = begin
        self.count = count
        self.free = threading.Semaphore(window)
        self.lock = threading.Lock()
        self.found = 0
        self.times: list[float] = []

    def run(self, poll=None) -> dict:
        """`poll(seconds)` is called where the library has no thread of its own to report."""
        started = time.monotonic()
        for number in range(self.count):
            while not self.free.acquire(timeout=0 if poll else 1):
                if poll:
                    poll(0.05)
                if time.monotonic() - started > Window.LIMIT:
                    return self.result(started)
            self.start(number)
        while len(self.times) < self.count and time.monotonic() - started < Window.LIMIT:
            poll(0.05) if poll else time.sleep(0.002)
        return self.result(started)

    def start(self, number: int) -> None:
        begun = time.monotonic()

        def end(ok: bool) -> None:
            with self.lock:
                self.found += 1 if ok else 0
                self.times.append((time.monotonic() - begun) * 1000)
            self.free.release()

        self.begin(number, end)

    def result(self, started: float) -> dict:
        with self.lock:
            return {
                "found": self.found,
                "seconds": time.monotonic() - started,
                "median": quantile(self.times, 0.5),
                "p99": quantile(self.times, 0.99),
            }


def serve(commands: dict) -> None:
    """Answers each line `NAME NUMBER…` until standard input ends."""
    say({"ready": True})
    for line in sys.stdin:
        name, *numbers = line.split()
        say(commands[name](*map(int, numbers)))
