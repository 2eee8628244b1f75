"""An independent computation of layers, of who measures whom, and of a capacity statement (specs/map.md, "Layers" and
"Capacity").

Needs Python 3.9 with `cryptography`.

  paths.py vectors F  writes specs/vectors/paths.json to the file F
"""

import json
import random
import struct
import sys

from map import h, public
from primitives import ed25519


def seed_of(epoch, root, value):
    return h(b"hulda/path-seed", (root or bytes(32)) + (value or bytes(32)) + struct.pack("<Q", epoch))


def number(digest):
    return struct.unpack("<Q", digest[:8])[0]


def layer(server, seed):
    return number(h(b"hulda/layer", seed + server)) % 3


def point(seed, key, index):
    return number(h(b"hulda/measure", seed + key + struct.pack("<Q", index)))


def measurers(node, own, clusters, seed):
    """By the specification's words: walk the circle from each of the relay's points."""
    chosen = []
    for index in range(1, 10):
        start = point(seed, node, index)
        # Clusters in the order in which one meets them from the point on.
        met = sorted(clusters, key=lambda c: ((point(seed, c, 0) - start) % 2**64))
        for cluster in met[:18]:
            if cluster != own and cluster not in chosen:
                chosen.append(cluster)
                break
    return chosen


def statement(epoch, key, steps):
    entries = sorted((node[:6], step) for node, step in steps)
    text = b"\x01" + struct.pack("<I", epoch) + public(key) + bytes([len(entries)])
    text += b"".join(node + bytes([step]) for node, step in entries)
    return text + ed25519(key, h(b"hulda/capacity", text))


def write_vectors(target):
    source = random.Random(20261125)
    epoch, root, shared = 20_781, source.randbytes(32), source.randbytes(32)
    seed = seed_of(epoch, root, shared)
    clusters = [source.randbytes(32) for _ in range(24)]
    relays = []
    for own in clusters:
        server = source.randbytes(32)
        node = h(b"hulda/node", server)
        relays.append({
            "server": server.hex(), "cluster": own.hex(), "node": node.hex(), "layer": str(layer(server, seed)),
            "place": str(point(seed, own, 0)), "firstPoint": str(point(seed, node, 1)),
            "measurers": [cluster.hex() for cluster in measurers(node, own, clusters, seed)],
        })
    key = source.randbytes(32)
    steps = [(bytes.fromhex(relay["node"]), index % 7) for index, relay in enumerate(relays[:9])]
    said = statement(epoch, key, steps)
    value = {
        "epoch": str(epoch), "root": root.hex(), "value": shared.hex(), "seed": seed.hex(),
        "seedWithoutValue": seed_of(epoch, root, None).hex(), "seedWithoutBoth": seed_of(epoch, None, None).hex(),
        "relays": relays, "signer": key.hex(), "steps": [str(step) for _, step in steps], "statement": said.hex(),
        "identifier": str(number(h(b"hulda/cap-id", said))),
    }
    with open(target, "w") as file:
        json.dump(value, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    if sys.argv[1:2] != ["vectors"]:
        sys.exit(__doc__)
    write_vectors(sys.argv[2])
