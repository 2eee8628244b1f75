"""An independent computation of version 2 of map gossip (specs/map.md, "Version 2"): names, cells, messages, renewals.

Needs Python 3.9 with `cryptography`.

  reconcile.py vectors F  writes specs/vectors/reconcile.json to the file F
"""

import json
import math
import os
import random
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from map import DAY, certificate, h, public, text
from primitives import ed25519

MASK = 2**64 - 1


def rotate(value, bits):
    return (value << bits | value >> (64 - bits)) & MASK


def siphash(key, data):
    """SipHash-2-4 (Aumasson and Bernstein, 2012)."""
    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rounds(count):
        for _ in range(count):
            v[0] = (v[0] + v[1]) & MASK
            v[2] = (v[2] + v[3]) & MASK
            v[1] = rotate(v[1], 13) ^ v[0]
            v[3] = rotate(v[3], 16) ^ v[2]
            v[0] = rotate(v[0], 32)
            v[2] = (v[2] + v[1]) & MASK
            v[0] = (v[0] + v[3]) & MASK
            v[1] = rotate(v[1], 17) ^ v[2]
            v[3] = rotate(v[3], 21) ^ v[0]
            v[2] = rotate(v[2], 32)

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) % 256])
    for (word,) in struct.iter_unpack("<Q", padded):
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def mix(value):
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & MASK
    return value ^ value >> 31


def places(name, count):
    """The cells below `count` into which a name falls."""
    state, place = name, 0
    while place < count:
        yield place
        state = (state + 0x9E3779B97F4A7C15) & MASK
        distance = math.ceil((place + 1.5) * (2**32 / math.sqrt(float(mix(state)) + 1) - 1))
        place += max(1, distance)


def cells(names, count):
    table = [[0, 0] for _ in range(count)]
    for name in names:
        for place in places(name, count):
            table[place][0] ^= name
            table[place][1] ^= mix(name) >> 32
    return table


def encoded(table):
    return b"".join(struct.pack("<QI", *cell) for cell in table)


def server(seed, cert, sequence, expiry, link, keys):
    address = bytes(10) + b"\xff\xff\x7f\x00\x00\x01" + struct.pack("<H", 7411)
    body = b"\x02\x01" + cert[1:65] + struct.pack("<QQ", sequence, expiry) + cert[65:137]
    body += link + address + address + struct.pack("<HB", 15, len(keys))
    body += b"".join(struct.pack("<Q", epoch) + key for epoch, key in keys) + text(b"hulda 0.1.0")
    return body + ed25519(seed, h(b"hulda/server", body))


def renewal(descriptor, sequence, expiry, keys):
    node = h(b"hulda/node", descriptor[34:66])
    body = node[:16] + struct.pack("<QQB", sequence, expiry, len(keys))
    body += b"".join(struct.pack("<Q", epoch) for epoch, _ in keys) + keys[-1][1] + descriptor[-64:]
    return body + h(b"hulda/map-renew", descriptor)[:8]


def item(kind, body):
    return struct.pack("<BH", kind, len(body)) + body


def write_vectors(target):
    source = random.Random(20262402)
    salts = [source.randbytes(16) for _ in range(2)]
    key = h(b"hulda/map-link", b"".join(sorted(salts)))[:16]
    digests = [(source.randbytes(16), source.randrange(2**63)) for _ in range(200)]
    names = [siphash(key, identifier + struct.pack("<Q", sequence)) for identifier, sequence in digests]
    one, other = names[:180], names[15:]
    count = 100
    first, second = cells(one, count), cells(other, count)
    difference = [[a[0] ^ b[0], a[1] ^ b[1]] for a, b in zip(first, second)]

    cluster, seed, link = (source.randbytes(32) for _ in range(3))
    cert = certificate(cluster, public(seed), 21_000 * DAY)
    mixes = [source.randbytes(32) for _ in range(3)]
    older = server(seed, cert, 5, 20_903 * DAY, link, [(20_900, mixes[0]), (20_901, mixes[1])])
    keys = [(20_901, mixes[1]), (20_902, mixes[2])]
    newer = server(seed, cert, 6, 20_904 * DAY, link, keys)
    short = renewal(newer, 6, 20_904 * DAY, keys)

    value, epoch = source.randbytes(32), 20_902
    whole = 0
    for name in one:
        whole ^= name
    result = {
        "salts": [salt.hex() for salt in salts],
        "key": key.hex(),
        "digests": [(identifier + struct.pack("<Q", sequence)).hex() for identifier, sequence in digests],
        "names": [struct.pack("<Q", name).hex() for name in names],
        "places": [[str(place) for place in places(name, 2000)] for name in names[:20]],
        "oneEnd": "180",
        "otherStart": "15",
        "cells": {"one": encoded(first).hex(), "other": encoded(second).hex(), "difference": encoded(difference).hex()},
        "hello": (b"\x06\x01\x02" + salts[0] + (1_800_000_000).to_bytes(8, "little")).hex(),
        "sketch": (b"\x07" + struct.pack("<IIQ", 0, len(one), whole) + encoded(first)).hex(),
        "more": (b"\x08" + struct.pack("<II", count, count)).hex(),
        "renewal": {"older": older.hex(), "newer": newer.hex(), "renewal": short.hex()},
        "parcel": (
            b"\x09" + item(1, older) + item(2, short) + item(4, struct.pack("<Q", names[0])) + item(5, digests[0][0])
            + item(6, digests[0][0] + struct.pack("<Q", digests[0][1])) + item(99, b"later")
        ).hex(),
        "speakers": {
            "value": value.hex(),
            "epoch": str(epoch),
            "cluster": public(cluster).hex(),
            "rank": h(b"hulda/map-speak", value + struct.pack("<Q", epoch) + public(cluster)).hex(),
        },
    }
    with open(target, "w") as file:
        json.dump(result, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    if sys.argv[1:2] != ["vectors"]:
        sys.exit("usage: reconcile.py vectors FILE")
    write_vectors(sys.argv[2])
