"""A second implementation of specs/envelope.md, sharing no code with the first.

Needs Python 3.9 with `cryptography` for X25519 and ChaCha20; BLAKE2b is Python's.

  envelope.py vectors FILE         writes the vectors to FILE
  envelope.py generate SEED COUNT  prints COUNT random cases, one JSON object a line, in the form of the vectors
  envelope.py verify               answers the requests on standard input: one JSON object a line, one answer a line
"""

import hashlib
import json
import random
import struct
import sys

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

HOPS, ROUTING, EPHEMERAL, MAC, PAYLOAD, TAG = 5, 64, 32, 16, 2048, 32
SHIFT = ROUTING + EPHEMERAL + MAC
HEADER = HOPS * SHIFT
BETA = HEADER - EPHEMERAL - MAC
CONTENT = PAYLOAD - TAG - 2
SUITE = b"hulda/kem-sphinx/x25519/1"
RELAY, DELIVER, REPLY, LOOP, DROP, CIRCUIT = range(1, 7)


class Refused(Exception):
    """An envelope that is not accepted; the text is the reason's name."""


def hashed(size, key, domain, message):
    return hashlib.blake2b(message, digest_size=size, key=key, person=domain).digest()


def xor(a, b):
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(len(a), "big")


def stream(key, size):
    return Cipher(algorithms.ChaCha20(key, bytes(16)), None).encryptor().update(bytes(size))


def public(private):
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def agree(private, point):
    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(point))
    except ValueError:
        raise Refused("invalidEphemeral") from None


# Keys


def head_keys(secret, ephemeral, relay):
    both = hashed(64, secret, b"hulda/env-head", SUITE + ephemeral + relay)
    return both[:32], both[32:]


def authenticator(key, beta):
    return hashed(MAC, key, b"hulda/env-mac", beta)


def replay_tag(secret, ephemeral):
    return hashed(16, secret, b"hulda/env-tag", ephemeral)


def payload_seed(secret, ephemeral, relay, mac):
    return hashed(32, secret, b"hulda/env-pay", ephemeral + relay + mac)


def wide_key(seed):
    return b"".join(hashed(64, seed, b"hulda/env-exp", bytes([index])) for index in range(2))


# Payload


def wide_rounds(seed, block, rounds):
    key = wide_key(seed)
    left, right = block[:32], block[32:]
    for index in rounds:
        subkey = key[32 * index : 32 * index + 32]
        if index % 2 == 0:
            right = xor(right, stream(xor(left, subkey), len(right)))
        else:
            left = xor(left, hashed(32, subkey, b"hulda/lioness", right))
    return left + right


def encrypt(seed, block):
    return wide_rounds(seed, block, (0, 1, 2, 3))


def decrypt(seed, block):
    return wide_rounds(seed, block, (3, 2, 1, 0))


def fill(content):
    assert len(content) <= CONTENT
    return bytes(TAG) + struct.pack("<H", len(content)) + content + bytes(CONTENT - len(content))


def content_of(block):
    size = struct.unpack_from("<H", block, TAG)[0]
    if any(block[:TAG]) or size > CONTENT or any(block[TAG + 2 + size :]):
        raise Refused("tamperedPayload")
    return block[TAG + 2 : TAG + 2 + size]


# Header


def routing_block(command, delay, target=bytes(32), identifier=bytes(16)):
    return struct.pack("<B3xI32s16s8x", command, delay, target, identifier)


def parse_routing(block):
    command, reserved, delay, target, identifier, rest = struct.unpack("<B3sI32s16s8s", block)
    if not RELAY <= command <= CIRCUIT or any(reserved) or any(rest):
        raise Refused("malformedRouting")
    return {"command": command, "delay": delay, "target": target, "id": identifier}


def padding_size(count):
    return BETA - ROUTING - (count - 1) * SHIFT


def make_header(hops, last, padding):
    """The header for `hops` (dicts with node, key, delay, ephemeralPrivate), whose values are added to them."""
    count = len(hops)
    assert 1 <= count <= HOPS and len(padding) == padding_size(count)
    for index, hop in enumerate(hops):
        hop["ephemeral"] = public(hop["ephemeralPrivate"])
        hop["sharedSecret"] = agree(hop["ephemeralPrivate"], hop["publicKey"])
        hop["macKey"], hop["streamKey"] = head_keys(hop["sharedSecret"], hop["ephemeral"], hop["publicKey"])
        is_last = index == count - 1
        hop["routing"] = last if is_last else routing_block(RELAY, hop["delay"], hops[index + 1]["node"])
    filler = b""
    for hop in hops[:-1]:
        filler += bytes(SHIFT)
        filler = xor(filler, stream(hop["streamKey"], BETA + SHIFT)[-len(filler) :])
    inner = padding
    for index, hop in reversed(list(enumerate(hops))):
        if index == count - 1:
            plain = hop["routing"] + inner
            beta = xor(plain, stream(hop["streamKey"], len(plain))) + filler
        else:
            after = hops[index + 1]
            plain = hop["routing"] + after["ephemeral"] + after["mac"] + inner[: BETA - SHIFT]
            beta = xor(plain, stream(hop["streamKey"], BETA))
        assert len(beta) == BETA
        hop["macInput"] = inner = beta
        hop["mac"] = authenticator(hop["macKey"], beta)
        hop["payloadSeed"] = payload_seed(hop["sharedSecret"], hop["ephemeral"], hop["publicKey"], hop["mac"])
        hop["lionessKey"] = wide_key(hop["payloadSeed"])
    return hops[0]["ephemeral"] + hops[0]["mac"] + inner


def forward(hops, last, padding, block):
    header = make_header(hops, last, padding)
    for hop in reversed(hops):
        block = encrypt(hop["payloadSeed"], block)
    return header + block


def unwrap(envelope, private):
    """What the hop reads, and the envelope that it leaves."""
    if len(envelope) != HEADER + PAYLOAD:
        raise Refused("wrongSize")
    ephemeral, mac = envelope[:EPHEMERAL], envelope[EPHEMERAL : EPHEMERAL + MAC]
    beta, block = envelope[EPHEMERAL + MAC : HEADER], envelope[HEADER:]
    relay = public(private)
    secret = agree(private, ephemeral)
    mac_key, stream_key = head_keys(secret, ephemeral, relay)
    if authenticator(mac_key, beta) != mac:
        raise Refused("wrongMAC")
    plain = xor(beta + bytes(SHIFT), stream(stream_key, BETA + SHIFT))
    read = parse_routing(plain[:ROUTING])
    read["replayTag"] = replay_tag(secret, ephemeral)
    return read, plain[ROUTING:] + decrypt(payload_seed(secret, ephemeral, relay, mac), block)


# Replies


def reply_block(hops, last, padding, seed):
    """The block and the bytes of the keys that open its reply."""
    header = make_header(hops, last, padding)
    keys = seed + bytes([len(hops)]) + b"".join(hop["payloadSeed"] for hop in hops)
    return header + hops[0]["node"] + seed, keys


def reply(block, content):
    return block[:HEADER] + encrypt(block[HEADER + 32 :], fill(content))


def open_reply(keys, block):
    for index in reversed(range(keys[32])):
        block = encrypt(keys[33 + 32 * index : 65 + 32 * index], block)
    return content_of(decrypt(keys[:32], block))


# Cases: every value of one envelope, from its sender to its end


def case(source, kind, count, command, size):
    hops = []
    for _ in range(count):
        private = source.randbytes(32)
        hops.append({
            "privateKey": private, "publicKey": public(private), "node": source.randbytes(32),
            "delay": source.randrange(60_000), "ephemeralPrivate": source.randbytes(32),
        })
    identifier, content = source.randbytes(16), source.randbytes(size)
    padding = source.randbytes(padding_size(count))
    out = {"kind": kind, "command": command, "id": identifier, "content": content, "padding": padding}
    delay = hops[-1]["delay"]
    if kind == "forward":
        envelope = forward(hops, routing_block(command, delay, bytes(32), identifier), padding, fill(content))
    else:
        out["handle"], out["replySeed"] = source.randbytes(16), source.randbytes(32)
        last = routing_block(REPLY, delay, out["handle"] + bytes(16), identifier)
        out["replyBlock"], out["replyKeys"] = reply_block(hops, last, padding, out["replySeed"])
        envelope = reply(out["replyBlock"], content)
    out["envelope"] = envelope
    for index, hop in enumerate(hops):
        assert envelope[EPHEMERAL : EPHEMERAL + MAC] == hop["mac"]
        assert envelope[EPHEMERAL + MAC : HEADER] == hop["macInput"]
        read, envelope = unwrap(envelope, hop["privateKey"])
        assert read["command"] == (command if index == count - 1 else RELAY)
        hop["replayTag"] = read["replayTag"]
        hop["headerAfter"] = envelope[:HEADER]
        hop["payloadDigest"] = hashed(32, b"", b"", envelope[HEADER:])
        hop["payloadStart"] = envelope[HEADER : HEADER + 32]
    ended = envelope[HEADER:]
    assert content == (content_of(ended) if kind == "forward" else open_reply(out["replyKeys"], ended))
    out["hops"] = hops
    return out


def refusals(source):
    """Envelopes for one hop, which the receiver must refuse for the named reason, its checks before that passing."""

    def made(routing=routing_block(DELIVER, 0), block=fill(b"refused")):
        private = source.randbytes(32)
        hop = {"publicKey": public(private), "node": bytes(32), "delay": 0, "ephemeralPrivate": source.randbytes(32)}
        return private, forward([hop], routing, source.randbytes(padding_size(1)), block)

    def changed(offset):
        private, envelope = made()
        return private, envelope[:offset] + bytes([envelope[offset] ^ 1]) + envelope[offset + 1 :]

    def replaced(ephemeral):
        private, envelope = made()
        return private, ephemeral + envelope[EPHEMERAL:]

    odd = bytearray(routing_block(DELIVER, 0))
    odd[3] = 1
    late = bytearray(routing_block(DELIVER, 0))
    late[63] = 128
    tagged, long, padded = bytearray(fill(b"")), bytearray(fill(b"")), bytearray(fill(b""))
    tagged[31], padded[2047] = 1, 1
    struct.pack_into("<H", long, TAG, CONTENT + 1)
    order8 = bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")
    rows = [
        ("the ephemeral key is zero", replaced(bytes(32)), "invalidEphemeral"),
        ("the ephemeral key has order 8", replaced(order8), "invalidEphemeral"),
        ("a bit of the ephemeral key", changed(0), "wrongMAC"),
        ("the ephemeral key's top bit, which X25519 ignores", topped(*made()), "wrongMAC"),
        ("a bit of the MAC", changed(32), "wrongMAC"),
        ("the last byte of the header", changed(HEADER - 1), "wrongMAC"),
        ("command 0", made(routing=routing_block(0, 0)), "malformedRouting"),
        ("command 7", made(routing=routing_block(7, 0)), "malformedRouting"),
        ("a reserved byte after the command", made(routing=bytes(odd)), "malformedRouting"),
        ("the routing block's last byte", made(routing=bytes(late)), "malformedRouting"),
        ("a bit of the payload", changed(HEADER + 2047), "tamperedPayload"),
        ("the zero tag's last byte", made(block=bytes(tagged)), "tamperedPayload"),
        ("a length of one too many", made(block=bytes(long)), "tamperedPayload"),
        ("the padding's last byte", made(block=bytes(padded)), "tamperedPayload"),
    ]
    out = []
    for name, (private, envelope), error in rows:
        try:
            content_of(unwrap(envelope, private)[1][HEADER:])
            raise AssertionError(name)
        except Refused as reason:
            assert str(reason) == error, name
        out.append({"name": name, "privateKey": private, "envelope": envelope, "error": error})
    return out


def topped(private, envelope):
    return private, envelope[:31] + bytes([envelope[31] ^ 128]) + envelope[32:]


def printable(value):
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: printable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [printable(item) for item in value]
    return str(value) if isinstance(value, int) else value


def write_vectors(path):
    source = random.Random(20261123)
    commands = (DELIVER, LOOP, DROP, CIRCUIT, DELIVER)
    sizes = (0, 1, 100, CONTENT - 1, CONTENT)
    cases = [case(source, "forward", count, commands[count - 1], sizes[count - 1]) for count in range(1, 6)]
    cases += [case(source, "reply", count, REPLY, sizes[5 - count]) for count in range(1, 6)]
    with open(path, "w") as file:
        json.dump(printable({"cases": cases, "refusals": refusals(source)}), file, indent=1)
        file.write("\n")


def generate(seed, count):
    source = random.Random(seed)
    for _ in range(count):
        kind = source.choice(("forward", "reply"))
        command = REPLY if kind == "reply" else source.choice((DELIVER, LOOP, DROP, CIRCUIT))
        made = case(source, kind, source.randint(1, HOPS), command, source.randint(0, CONTENT))
        print(json.dumps(printable(made)))


def answer(request):
    """Takes an envelope (or makes it, from a reply block and content) through all relays to its content."""
    envelope = bytes.fromhex(request.get("envelope", ""))
    if "replyBlock" in request:
        envelope = reply(bytes.fromhex(request["replyBlock"]), bytes.fromhex(request["content"]))
    out = {"envelope": envelope, "hops": [], "payload": b"", "content": b"", "error": ""}
    try:
        for key in request["keys"]:
            read, envelope = unwrap(envelope, bytes.fromhex(key))
            out["hops"].append(read)
        out["payload"] = block = envelope[HEADER:]
        keys = bytes.fromhex(request.get("replyKeys", ""))
        out["content"] = open_reply(keys, block) if keys else content_of(block)
    except Refused as reason:
        out["error"] = str(reason)
    return printable(out)


if __name__ == "__main__":
    mode = sys.argv[1:2]
    if mode == ["vectors"]:
        write_vectors(sys.argv[2])
    elif mode == ["generate"]:
        generate(int(sys.argv[2]), int(sys.argv[3]))
    elif mode == ["verify"]:
        for line in sys.stdin:
            print(json.dumps(answer(json.loads(line))), flush=True)
    else:
        sys.exit(__doc__)
