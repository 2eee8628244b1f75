"""An independent computation of snapshots, their roots, membership and evidence (specs/map.md, "Snapshots", "Membership"
and "Evidence").

Needs Python 3.9 with `cryptography`.

  map.py            judges the files of evidence or membership on standard input: one JSON object {file} a line, one answer a line
  map.py vectors F  writes specs/vectors/map.json to the file F
"""

import json
import os
import random
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from primitives import blake2b, ed25519

DAY = 86_400
MAGIC = b"hulda-evidence\n"
MEMBERSHIP = b"hulda-membership\n"
ROOTS_OF_SERVER, ROOTS_OF_CLUSTER, CLUSTER_DESCRIPTORS, SERVER_DESCRIPTORS = 1, 2, 3, 4
COMMITMENTS, VOTES = 5, 6


def h(domain, data):
    return blake2b(32, b"", domain, data)


def public(seed):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def check(key, signature, message):
    Ed25519PublicKey.from_public_bytes(key).verify(signature, message)


# Tree: written from RFC 9162's recursive definition, while the Swift code works level by level.


def split(count):
    half = 1
    while half * 2 < count:
        half *= 2
    return half


def tree(hashes, nodes=None):
    """The root over leaf hashes; inner nodes are appended to `nodes` in the order in which they are made."""
    if len(hashes) == 1:
        return hashes[0]
    half = split(len(hashes))
    node = h(b"hulda/snap-node", tree(hashes[:half], nodes) + tree(hashes[half:], nodes))
    if nodes is not None:
        nodes.append(node)
    return node


def path(index, hashes):
    if len(hashes) == 1:
        return []
    half = split(len(hashes))
    if index < half:
        return path(index, hashes[:half]) + [tree(hashes[half:])]
    return path(index - half, hashes[half:]) + [tree(hashes[:half])]


# Statements.


def certificate(cluster_seed, server, expiry):
    body = public(cluster_seed) + server + struct.pack("<Q", expiry)
    return b"\x01" + body + ed25519(cluster_seed, h(b"hulda/cert", body))


def signed_root(epoch, root, count, cert, server_seed):
    text = b"\x01" + struct.pack("<Q", epoch) + root + struct.pack("<I", count) + cert
    return text + ed25519(server_seed, h(b"hulda/snap-root", text))


def open_root(data):
    if len(data) != 246 or data[0] != 1 or data[45] != 1:
        raise ValueError("layout")
    epoch, root, count = struct.unpack("<Q32sI", data[1:45])
    cluster, server, expiry, word = struct.unpack("<32s32sQ64s", data[46:182])
    if epoch >= 2**32 or not 1 <= count <= 2**20 or expiry <= epoch * DAY:
        raise ValueError("range")
    check(cluster, word, h(b"hulda/cert", cluster + server + struct.pack("<Q", expiry)))
    check(server, data[182:], h(b"hulda/snap-root", data[:182]))
    return {"epoch": epoch, "root": root, "count": count, "cluster": cluster, "server": server}


def text(value):
    return struct.pack("<H", len(value)) + value


def cluster_descriptor(seed, sequence, expiry, name):
    body = b"\x01\x01" + public(seed) + struct.pack("<QQI", sequence, expiry, 0)
    body += text(name) + text(b"") + text(b"hulda") + b"\x00"
    return body + ed25519(seed, h(b"hulda/cluster", body))


def server_descriptor(seed, cert, sequence, expiry, link, port, epoch, mix):
    address = bytes(10) + b"\xff\xff\x7f\x00\x00\x01" + struct.pack("<H", port)
    body = b"\x02\x01" + cert[1:65] + struct.pack("<QQ", sequence, expiry) + cert[65:137]
    body += link + address + address + struct.pack("<HB", 5, 1) + struct.pack("<Q", epoch) + mix + text(b"hulda")
    return body + ed25519(seed, h(b"hulda/server", body))


def open_descriptor(data):
    """Subject, cluster and sequence of a descriptor whose signatures fit. Lengths are left to the Swift decoder."""
    unsigned, signature = data[:-64], data[-64:]
    if data[:2] == b"\x01\x01":
        check(data[2:34], signature, h(b"hulda/cluster", unsigned))
        return data[2:34], data[2:34], struct.unpack("<Q", data[34:42])[0]
    if data[:2] == b"\x02\x01":
        cluster, server, sequence, expiry, end, word = struct.unpack("<32s32sQQQ64s", data[2:154])
        if min(expiry, end) == 0 or expiry - min(expiry, end) + 1 > 4 * DAY + 600:
            raise ValueError("dates")
        check(server, signature, h(b"hulda/server", unsigned))
        check(cluster, word, h(b"hulda/cert", cluster + server + struct.pack("<Q", end)))
        return server, cluster, sequence
    raise ValueError("layout")


def shared_statement(kind, epoch, content, cert, seed):
    """A commitment (1) or vote (3) on the shared random value (specs/directory.md, "Messages")."""
    body = struct.pack("<BQ", kind, epoch) + content
    return body + cert + ed25519(seed, h(b"hulda/srv-sign", body))


def open_shared(data):
    kind, epoch, content, version, cluster, server, end, word, signature = struct.unpack("<BQ32sB32s32sQ64s64s", data)
    if version != 1 or not 0 < epoch < 2**32 or end <= (epoch - 1) * DAY:
        raise ValueError("dates")
    check(server, signature, h(b"hulda/srv-sign", data[:41]))
    check(cluster, word, h(b"hulda/cert", cluster + server + struct.pack("<Q", end)))
    return kind, epoch, content, cluster


# Evidence.


def evidence(kind, one, other):
    return MAGIC + bytes([1, kind]) + b"".join(text(part) for part in sorted([one, other]))


def judge(data):
    """Kind, subject and cluster of a file that proves what it says; raises otherwise."""
    if data[:15] != MAGIC or data[15] != 1:
        raise ValueError("magic")
    kind, parts, place = data[16], [], 17
    for _ in range(2):
        (size,) = struct.unpack("<H", data[place : place + 2])
        parts.append(data[place + 2 : place + 2 + size])
        if size > 2048 or len(parts[-1]) != size:
            raise ValueError("length")
        place += 2 + size
    if place != len(data) or parts[0] >= parts[1]:
        raise ValueError("order")
    if kind in (ROOTS_OF_SERVER, ROOTS_OF_CLUSTER):
        one, other = (open_root(part) for part in parts)
        same_server = one["server"] == other["server"]
        if one["epoch"] != other["epoch"] or one["cluster"] != other["cluster"]:
            raise ValueError("unrelated")
        if (one["root"], one["count"]) == (other["root"], other["count"]) or same_server != (kind == ROOTS_OF_SERVER):
            raise ValueError("no contradiction")
        subject, cluster = one["server"] if same_server else one["cluster"], one["cluster"]
    elif kind in (CLUSTER_DESCRIPTORS, SERVER_DESCRIPTORS):
        one, other = (open_descriptor(part) for part in parts)
        if one[0] != other[0] or one[2] != other[2] or parts[0][:-64] == parts[1][:-64]:
            raise ValueError("no contradiction")
        if parts[0][0] != parts[1][0] or parts[0][0] != kind - 2:
            raise ValueError("kind")
        subject, cluster = one[0], one[1]
    elif kind in (COMMITMENTS, VOTES):
        one, other = (open_shared(part) for part in parts)
        if one[:2] != other[:2] or one[3] != other[3] or one[2] == other[2]:
            raise ValueError("no contradiction")
        if one[0] != (1 if kind == COMMITMENTS else 3):
            raise ValueError("kind")
        subject = cluster = one[3]
    else:
        raise ValueError("kind")
    return {"kind": str(kind), "subject": subject.hex(), "cluster": cluster.hex()}


# Membership.


def climb(leaf, index, count, hashes):
    """The root to which a path leads, by the tree's recursive definition; fails unless it has the right length."""
    if count == 1:
        if hashes:
            raise ValueError("path")
        return h(b"hulda/snap-leaf", leaf)
    if not hashes:
        raise ValueError("path")
    half = split(count)
    if index < half:
        return h(b"hulda/snap-node", climb(leaf, index, half, hashes[:-1]) + hashes[-1])
    return h(b"hulda/snap-node", hashes[-1] + climb(leaf, index - half, count - half, hashes[:-1]))


def membership(descriptor, index, hashes, roots):
    proof = struct.pack("<IB", index, len(hashes)) + b"".join(hashes)
    return MEMBERSHIP + b"\x01" + text(descriptor) + proof + struct.pack("<H", len(roots)) + b"".join(roots)


def judge_membership(data):
    """Subject, cluster, epoch and root of a file that proves what it says; raises otherwise."""
    if data[17] != 1:
        raise ValueError("version")
    (size,) = struct.unpack("<H", data[18:20])
    descriptor, place = data[20 : 20 + size], 20 + size
    index, levels = struct.unpack("<IB", data[place : place + 5])
    place += 5
    hashes = [data[place + 32 * level : place + 32 * level + 32] for level in range(levels)]
    place += 32 * levels
    (number,) = struct.unpack("<H", data[place : place + 2])
    place += 2
    if size > 2048 or levels > 20 or not 1 <= number <= 1024 or place + 246 * number != len(data):
        raise ValueError("length")
    roots = [open_root(data[place + 246 * part : place + 246 * part + 246]) for part in range(number)]
    said = [(root["epoch"], root["root"], root["count"]) for root in roots]
    names = [root["cluster"] for root in roots]
    if len(set(said)) != 1 or names != sorted(set(names)):
        raise ValueError("roots")
    subject, cluster, _ = open_descriptor(descriptor)
    leaf = b"\x01" + cluster if descriptor[0] == 1 else b"\x02" + subject + cluster + descriptor[154:186]
    epoch, root, count = said[0]
    if index >= count or climb(leaf, index, count, hashes) != root:
        raise ValueError("not included")
    return {"subject": subject.hex(), "cluster": cluster.hex(), "epoch": str(epoch), "root": root.hex()}


def write_vectors(target):
    source = random.Random(20261124)
    epoch = 20_781
    clusters = [source.randbytes(32) for _ in range(3)]
    servers = []
    for owner in (0, 0, 1, 2):
        seed, link = source.randbytes(32), source.randbytes(32)
        cert = certificate(clusters[owner], public(seed), (epoch + 30) * DAY)
        servers.append({"seed": seed, "link": link, "cert": cert, "cluster": clusters[owner]})
    leaves = [b"\x01" + public(seed) for seed in clusters]
    leaves += [b"\x02" + public(s["seed"]) + public(s["cluster"]) + s["link"] for s in servers]
    leaves.sort()
    hashes = [h(b"hulda/snap-leaf", leaf) for leaf in leaves]
    nodes = []
    root = tree(hashes, nodes)
    first, second = servers[0], servers[1]
    other = tree(hashes[:-1])
    honest = signed_root(epoch, root, len(leaves), first["cert"], first["seed"])
    lie = signed_root(epoch, other, len(leaves) - 1, first["cert"], first["seed"])
    split_root = signed_root(epoch, other, len(leaves) - 1, second["cert"], second["seed"])
    end = (epoch + 2) * DAY
    names = [cluster_descriptor(clusters[0], 7, end, name) for name in (b"one", b"another")]
    mix = source.randbytes(32)
    ports = [
        server_descriptor(first["seed"], first["cert"], 7, end, first["link"], port, epoch, mix)
        for port in (7411, 7412)
    ]
    files = [
        evidence(ROOTS_OF_SERVER, honest, lie),
        evidence(ROOTS_OF_CLUSTER, honest, split_root),
        evidence(CLUSTER_DESCRIPTORS, *names),
        evidence(SERVER_DESCRIPTORS, *ports),
    ]
    shared = [
        evidence(
            kind,
            shared_statement(number, epoch, h(b"test", b"one"), first["cert"], first["seed"]),
            shared_statement(number, epoch, h(b"test", b"other"), signer["cert"], signer["seed"]))
        for kind, number, signer in ((COMMITMENTS, 1, first), (VOTES, 3, second))
    ]
    signers = sorted((servers[number] for number in (0, 2, 3)), key=lambda server: public(server["cluster"]))
    roots = [signed_root(epoch, root, len(leaves), s["cert"], s["seed"]) for s in signers]
    members = []
    for descriptor, leaf in (
        (names[0], b"\x01" + public(clusters[0])),
        (ports[0], b"\x02" + public(first["seed"]) + public(clusters[0]) + first["link"]),
    ):
        index = leaves.index(leaf)
        members.append(membership(descriptor, index, path(index, hashes), roots))
    value = {
        "epoch": str(epoch),
        "clusters": [seed.hex() for seed in clusters],
        "servers": [
            {"seed": s["seed"].hex(), "cluster": public(s["cluster"]).hex(), "link": s["link"].hex(),
             "certificate": s["cert"].hex()}
            for s in servers
        ],
        "leaves": [
            {"leaf": leaf.hex(), "hash": value.hex(),
             "proof": (struct.pack("<IB", index, len(path(index, hashes))) + b"".join(path(index, hashes))).hex()}
            for index, (leaf, value) in enumerate(zip(leaves, hashes))
        ],
        "nodes": [node.hex() for node in nodes],
        "root": root.hex(),
        "signedRoot": honest.hex(),
        "evidence": [dict(judge(data), file=data.hex()) for data in files],
        "sharedEvidence": [dict(judge(data), file=data.hex()) for data in shared],
        "membership": [dict(judge_membership(data), file=data.hex()) for data in members],
    }
    with open(target, "w") as file:
        json.dump(value, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["vectors"]:
        write_vectors(sys.argv[2])
    else:
        for line in sys.stdin:
            try:
                data = bytes.fromhex(json.loads(line)["file"])
                answer = judge_membership(data) if data.startswith(MEMBERSHIP) else judge(data)
            except (ValueError, IndexError, struct.error, InvalidSignature) as error:
                answer = {"error": str(error) or type(error).__name__}
            print(json.dumps(answer), flush=True)
