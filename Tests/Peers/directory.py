"""An independent computation of the constructions in specs/directory.md.

Needs Python 3.9 with `pynacl` or `cryptography`, for Ed25519 alone; BLAKE2b comes from Python.

  directory.py            answers the requests on standard input: one JSON object a line, one answer a line
  directory.py vectors D  writes directory.json to the directory D
"""

import hashlib
import json
import random
import struct
import sys

RINGS, HOLDERS, WALK = 4, 5, 64
SEARCH_PLACES, SEARCH_COPIES = 3, 8


def sign(seed, message):
    """Public key and signature."""
    try:
        from nacl.signing import SigningKey

        key = SigningKey(seed)
        return bytes(key.verify_key), key.sign(message).signature
    except ImportError:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        key = Ed25519PrivateKey.from_private_bytes(seed)
        return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw), key.sign(message)


def h(domain, *parts):
    return hashlib.blake2b(b"".join(parts), digest_size=32, person=domain.encode().ljust(16, b"\0")).digest()


def number(value):
    return struct.pack("<Q", value)


def node_id(server):
    return h("hulda/node", server)


def stand_in(epoch):
    return h("hulda/srv", number(epoch))


def position(node, shared):
    return h("hulda/dir-pos", node, shared)


def index(key, ring):
    return h("hulda/dir", key, number(ring))


def fallback(previous, epoch):
    return h("hulda/srv-fall", previous, number(epoch))


def commitment(secret, participant, epoch):
    return h("hulda/srv-commit", secret, participant, number(epoch))


def shared_value(previous, epoch, secrets):
    return h("hulda/srv-value", previous, number(epoch), *(p + s for p, s in sorted(secrets)))


def srv_digest(kind, epoch, content):
    return h("hulda/srv-sign", bytes([kind]), number(epoch), content)


def certificate(cluster_seed, server, expiry):
    cluster, _ = sign(cluster_seed, b"")
    signature = sign(cluster_seed, h("hulda/cert", cluster, server, number(expiry)))[1]
    return b"\1" + cluster + server + number(expiry) + signature


def statement(kind, epoch, content, signer):
    """A commitment by a server: (seed of its cluster, its seed, the certificate's expiry)."""
    cluster, seed, expiry = signer
    server, signature = sign(seed, srv_digest(kind, epoch, content))
    return bytes([kind]) + number(epoch) + content + certificate(cluster, server, expiry) + signature


def witnessed(message, participant, signers):
    """What witnesses sign, and a message of which they say that they took it in time."""
    kind, epoch, content = message[:1], message[1:9], message[9:41]
    digest = h("hulda/srv-seen", kind, epoch, participant, content)
    witnesses = []
    for cluster, seed, expiry in signers:
        server, signature = sign(seed, digest)
        witnesses.append(certificate(cluster, server, expiry) + signature)
    return digest, message + bytes([len(witnesses)]) + b"".join(sorted(witnesses))


def absence(seed, key, epoch, time):
    server, _ = sign(seed, b"")
    digest = h("hulda/dir-none", server, key, number(epoch), number(time))
    return server, digest, sign(seed, digest)[1]


def lot(node, shared):
    return h("hulda/dir-lot", node, shared)


def counted(nodes, epoch, shared):
    """Nodes are (id, cluster, prefix, the epoch from which it counts); those that lie on the circle."""
    tried = [node for node in nodes if node[3] <= epoch]
    kept = nodes if len(tried) < RINGS * HOLDERS else tried
    most = max(20, len(kept) // 64)
    for part in (1, 2):
        drawn = sorted(kept, key=lambda node: lot(node[0], shared))
        passed = set()
        for group in {node[part] for node in kept}:
            passed.update(node[0] for node in [node for node in drawn if node[part] == group][:most])
        kept = [node for node in kept if node[0] in passed]
    return kept


def puzzle(key, epoch, sequence, holder, challenge, solution):
    """The digest, and the zero bits with which it begins; puzzles of the first version have no challenge."""
    domain = "hulda/dir-puzz-2" if challenge else "hulda/dir-puzzle"
    digest = h(domain, key, number(epoch), number(sequence), holder, challenge, number(solution))
    return digest, 256 - int.from_bytes(digest, "big").bit_length()


def solve(key, epoch, sequence, holder, challenge, level):
    solution = 0
    while puzzle(key, epoch, sequence, holder, challenge, solution)[1] < level:
        solution += 1
    return solution


def holders(nodes, shared, key):
    """Nodes are (id, cluster, prefix); the holders by ring."""
    circle = sorted(nodes, key=lambda node: position(node[0], shared))
    places = [position(node[0], shared) for node in circle]
    starts = [next((i for i, p in enumerate(places) if p >= index(key, ring)), 0) for ring in range(RINGS)]
    rings = [[] for _ in range(RINGS)]
    taken, clusters, prefixes = set(), set(), set()
    for _ in range(HOLDERS):
        for ring in range(RINGS):
            walk = [circle[(starts[ring] + step) % len(circle)] for step in range(min(len(circle), WALK))]
            free = [node for node in walk if node[0] not in taken]
            diverse = [node for node in free if node[1] not in clusters and node[2] not in prefixes]
            if free:
                node = (diverse or free)[0]
                taken.add(node[0])
                clusters.add(node[1])
                prefixes.add(node[2])
                rings[ring].append(node[0])
    return rings


def search_target(key, place, shared):
    return h("hulda/dir-kad", key, shared, bytes([place]) if place else b"")


def searched(nodes, target, count):
    """Nodes are (id, cluster, prefix); those that keep copies for searches beside a target."""
    near = sorted(nodes, key=lambda node: bytes(a ^ b for a, b in zip(node[0], target)))[: 2 * count]
    clusters, prefixes, first, rest = set(), set(), [], []
    for node in near:
        (rest if node[1] in clusters or node[2] in prefixes else first).append(node[0])
        clusters.add(node[1])
        prefixes.add(node[2])
    return (first + rest)[:count]


def answer(request):
    def raw(name):
        return bytes.fromhex(request[name])

    operation, epoch = request["operation"], int(request.get("epoch", 0))
    if operation == "place":
        shared = raw("shared") if request["shared"] else stand_in(epoch)
        return {"position": position(raw("node"), shared).hex(), "shared": shared.hex()}
    if operation == "index":
        return {"index": index(raw("key"), request["ring"]).hex()}
    if operation == "fallback":
        return {"value": fallback(raw("previous"), epoch).hex()}
    if operation == "value":
        secrets = [(bytes.fromhex(p), bytes.fromhex(s)) for p, s in request["secrets"]]
        return {"value": shared_value(raw("previous"), epoch, secrets).hex()}
    if operation == "commit":
        content = commitment(raw("secret"), raw("participant"), epoch)
        return {"commitment": content.hex(), "digest": srv_digest(1, epoch, content).hex()}
    if operation == "witnessed":
        signers = [(bytes.fromhex(c), bytes.fromhex(k), int(expiry)) for c, k, expiry in request["signers"]]
        digest, message = witnessed(raw("message"), raw("participant"), signers)
        return {"digest": digest.hex(), "message": message.hex()}
    if operation == "absence":
        server, digest, signature = absence(raw("seed"), raw("key"), epoch, int(request["time"]))
        return {"server": server.hex(), "digest": digest.hex(), "signature": signature.hex()}
    if operation == "puzzle":
        of = (raw("key"), epoch, int(request["sequence"]), raw("holder"), raw("challenge"))
        digest, strength = puzzle(*of, int(request["solution"]))
        return {
            "digest": digest.hex(), "strength": str(strength), "first": str(solve(*of, int(request["level"])))
        }
    if operation == "holders":
        nodes = [tuple(bytes.fromhex(part) for part in node) for node in request["nodes"]]
        rings = holders(nodes, raw("shared"), raw("key"))
        return {"rings": "|".join(",".join(node.hex() for node in ring) for ring in rings)}
    raise ValueError(operation)


def vectors():
    source = random.Random(20260702)
    cases = []
    for epoch in (0, 1, 20635, 2**32, 2**64 - 1):
        server, key, previous = (source.randbytes(32) for _ in range(3))
        secret, participant, seed = (source.randbytes(32) for _ in range(3))
        pairs = [[source.randbytes(32).hex(), source.randbytes(32).hex()] for _ in range(4)]
        time = source.randrange(2**40)
        shared = stand_in(epoch)
        who, digest, signature = absence(seed, key, epoch, time)
        content = commitment(secret, participant, epoch)
        cases.append(
            {
                "epoch": str(epoch),
                "server": server.hex(),
                "node": node_id(server).hex(),
                "standIn": shared.hex(),
                "position": position(node_id(server), shared).hex(),
                "key": key.hex(),
                "indices": [index(key, ring).hex() for ring in range(RINGS)],
                "previous": previous.hex(),
                "fallback": fallback(previous, epoch).hex(),
                "secret": secret.hex(),
                "participant": participant.hex(),
                "commitment": content.hex(),
                "commitDigest": srv_digest(1, epoch, content).hex(),
                "revealed": pairs,
                "value": shared_value(
                    previous, epoch, [(bytes.fromhex(p), bytes.fromhex(s)) for p, s in pairs]
                ).hex(),
                "absence": {
                    "seed": seed.hex(),
                    "server": who.hex(),
                    "time": str(time),
                    "digest": digest.hex(),
                    "signature": signature.hex(),
                },
            }
        )
    puzzles = []
    other = random.Random(20261124)
    for case in range(8):
        level = (8, 10, 12, 13)[case % 4]
        of = (other.randbytes(32), 20635 + level, other.randrange(2**40), other.randbytes(32))
        of += (other.randbytes(16) if case >= 4 else b"",)
        solution = solve(*of, level)
        digest, strength = puzzle(*of, solution)
        puzzles.append(
            {
                "key": of[0].hex(),
                "epoch": str(of[1]),
                "sequence": str(of[2]),
                "holder": of[3].hex(),
                "challenge": of[4].hex(),
                "level": str(level),
                "solution": str(solution),
                "digest": digest.hex(),
                "strength": str(strength),
            }
        )
    nodes = [(source.randbytes(32), bytes([i % 30]) * 32, bytes([10, i % 25])) for i in range(40)]
    shared, key = source.randbytes(32), source.randbytes(32)
    placement = {
        "shared": shared.hex(),
        "key": key.hex(),
        "nodes": [[part.hex() for part in node] for node in nodes],
        "rings": [[node.hex() for node in ring] for ring in holders(nodes, shared, key)],
        "targets": [search_target(key, place, shared).hex() for place in range(SEARCH_PLACES)],
        "searched": [
            [node.hex() for node in searched(nodes, search_target(key, place, shared), SEARCH_COPIES)]
            for place in range(SEARCH_PLACES)
        ],
    }
    epoch = 20_781
    nodes = [
        (source.randbytes(32), bytes([0 if i < 40 else i]) * 32, bytes([10, 0 if i >= 90 else i]),
         epoch + 1 if i % 11 == 0 else epoch - i % 3)
        for i in range(140)
    ]
    brakes = {
        "epoch": str(epoch),
        "shared": shared.hex(),
        "nodes": [[part.hex() for part in node[:3]] + [str(node[3])] for node in nodes],
        "lots": [lot(node[0], shared).hex() for node in nodes],
        "counted": [node[0].hex() for node in sorted(counted(nodes, epoch, shared))],
    }
    rounds = []
    third = random.Random(20261125)
    for kind in (1, 2):
        epoch = 20_783 + kind
        signers = [(third.randbytes(32), third.randbytes(32), (epoch + 30 + i) * 86_400) for i in range(4)]
        participant, secret = sign(signers[0][0], b"")[0], third.randbytes(32)
        message = (
            statement(1, epoch, commitment(secret, participant, epoch), signers[0])
            if kind == 1
            else bytes([2]) + number(epoch) + secret + participant
        )
        digest, whole = witnessed(message, participant, signers[1:])
        rounds.append(
            {
                "signers": [[c.hex(), k.hex(), str(expiry)] for c, k, expiry in signers],
                "secret": secret.hex(),
                "epoch": str(epoch),
                "message": message.hex(),
                "digest": digest.hex(),
                "witnessed": whole.hex(),
            }
        )
    return {"cases": cases, "puzzles": puzzles, "placement": placement, "brakes": brakes, "rounds": rounds}


if __name__ == "__main__":
    if sys.argv[1:2] == ["vectors"]:
        with open(f"{sys.argv[2]}/directory.json", "w") as file:
            json.dump(vectors(), file, indent=2)
            file.write("\n")
    else:
        for line in sys.stdin:
            print(json.dumps(answer(json.loads(line))), flush=True)
