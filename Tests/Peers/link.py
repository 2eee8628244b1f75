"""An independent computation of handshakes, frames and datagrams (specs/link.md), with every value on the way.

Needs Python 3.9 with `cryptography` for X25519 and ChaCha20-Poly1305; Noise and ML-KEM-768 are written out here and in
mlkem.py, since libraries draw the values that vectors need fixed.

  link.py vectors F  writes specs/vectors/link.json to the file F
"""

import hashlib
import hmac
import json
import os
import random
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import mlkem
from primitives import blake2b, chachapoly, x25519

BASE = b"\x09" + bytes(31)
BODY = 2612
PATTERNS = {"IK": (["e", "es", "s", "ss"], ["e", "ee", "se"]), "NK": (["e", "es"], ["e", "ee"])}


def public(private):
    return x25519(private, BASE)


def nonce(counter):
    return struct.pack("<IQ", 0, counter)


def sealed(key, counter, associated, plain):
    return chachapoly(key, nonce(counter), associated, plain)


def wide_hash(data):
    return hashlib.blake2b(data).digest()


def expand(chaining_key, material):
    """HKDF of Noise section 4.3, two outputs."""
    temporary = hmac.new(chaining_key, material, hashlib.blake2b).digest()
    one = hmac.new(temporary, b"\x01", hashlib.blake2b).digest()
    return one, hmac.new(temporary, one + b"\x02", hashlib.blake2b).digest()


class Noise:
    """Both sides at once, as the writer of the vectors knows all keys: `keys` has statics and ephemerals."""

    def __init__(self, pattern, prologue, keys):
        name = f"Noise_{pattern}_25519_ChaChaPoly_BLAKE2b".encode()
        self.hash = name.ljust(64, b"\0")
        self.chaining_key, self.key, self.counter = self.hash, None, 0
        self.keys = keys
        self.mix_hash(prologue)
        self.mix_hash(public(keys["responderStatic"]))

    def mix_hash(self, data):
        self.hash = wide_hash(self.hash + data)

    def mix_key(self, material):
        self.chaining_key, key = expand(self.chaining_key, material)
        self.key, self.counter = key[:32], 0

    def encrypt(self, plain):
        out = sealed(self.key, self.counter, self.hash, plain)
        self.counter += 1
        self.mix_hash(out)
        return out

    def write(self, tokens, sender, payload):
        message = b""
        for token in tokens:
            if token == "e":
                field = public(self.keys[sender + "Ephemeral"])
                self.mix_hash(field)
                message += field
            elif token == "s":
                message += self.encrypt(public(self.keys[sender + "Static"]))
            else:
                # The first letter is the initiator's key, the second the responder's.
                own = self.keys["initiator" + {"e": "Ephemeral", "s": "Static"}[token[0]]]
                other = self.keys["responder" + {"e": "Ephemeral", "s": "Static"}[token[1]]]
                self.mix_key(x25519(own, public(other)))
        return message + self.encrypt(payload)

    def state(self):
        return {"hash": self.hash, "chainingKey": self.chaining_key, "key": self.key}

    def split(self):
        one, two = expand(self.chaining_key, b"")
        return {"initiator": one[:32], "responder": two[:32]}


def draw(source, names):
    return {name: source.randbytes(32) for name in names}


def rekeyed(key):
    return sealed(key, 2**64 - 1, b"", bytes(32))[:32]


def stream(pattern, source):
    names = ["responderStatic", "initiatorEphemeral", "responderEphemeral"] + ["initiatorStatic"] * (pattern == "IK")
    keys = draw(source, names)
    seed, encapsulated = source.randbytes(64), source.randbytes(32)
    number = {"IK": b"\x01", "NK": b"\x02"}[pattern]
    prologue = b"hulda/link/1" + number
    noise = Noise(pattern, prologue, keys)
    first_tokens, second_tokens = PATTERNS[pattern]
    _, encapsulation_key = mlkem.key_pair(seed)
    first = number + noise.write(first_tokens, "initiator", encapsulation_key)
    after_first = noise.state()
    secret, ciphertext = mlkem.encapsulate(encapsulation_key, encapsulated)
    assert mlkem.decapsulate(seed, ciphertext) == secret
    second = noise.write(second_tokens, "responder", ciphertext)
    noise_keys = noise.split()
    transport = {
        side: blake2b(32, key, b"hulda/link-pq", secret + noise.hash) for side, key in noise_keys.items()
    }
    frames = []
    for sender, counter, kind, size in (("initiator", 0, 3, 32), ("initiator", 1, 6, 0), ("responder", 0, 4, 16),
                                        ("responder", 2**20, 1, 2608)):
        body = source.randbytes(size)
        key = transport[sender] if counter < 2**20 else rekeyed(transport[sender])
        frame = sealed(key, counter, b"", struct.pack("<BH", kind, size) + body.ljust(BODY, b"\0"))
        frames.append({"sender": sender, "counter": str(counter), "kind": str(kind), "body": body, "frame": frame})
    return {
        "pattern": pattern, **keys, "seed": seed, "encapsulated": encapsulated, "prologue": prologue,
        "encapsulationKey": encapsulation_key, "first": first, "afterFirst": after_first, "ciphertext": ciphertext,
        "second": second, "secret": secret, "handshakeHash": noise.hash, "noiseKeys": noise_keys,
        "transportKeys": transport, "rekeyed": {side: rekeyed(key) for side, key in transport.items()},
        "frames": frames,
    }


# XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha): HChaCha20, then the IETF construction.


def xchacha_seal(key, long_nonce, associated, plain):
    x = list(struct.unpack("<16I", b"expand 32-byte k" + key + long_nonce[:16]))

    def quarter(a, b, c, d):
        for i, j, k, rotation in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[i] = (x[i] + x[j]) & 0xFFFFFFFF
            mixed = x[k] ^ x[i]
            x[k] = (mixed << rotation | mixed >> (32 - rotation)) & 0xFFFFFFFF

    for _ in range(10):
        for column in range(4):
            quarter(column, 4 + column, 8 + column, 12 + column)
        for a, b, c, d in ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            quarter(a, b, c, d)
    return chachapoly(struct.pack("<8I", *x[:4], *x[12:]), bytes(4) + long_nonce[16:], associated, plain)


def datagrams(source):
    keys = draw(source, ["initiatorStatic", "responderStatic", "initiatorEphemeral", "responderEphemeral"])
    request_id, request, answer = source.randbytes(16), source.randbytes(41), source.randbytes(1073)
    initiator_index, responder_index, timestamp = 0x01020304, 0xF0E0D0C0, 1_764_000_000_123
    responder = public(keys["responderStatic"])

    prologue = b"hulda/datagram/1" + struct.pack("<I", initiator_index)
    noise = Noise("IK", prologue, keys)
    initiation_payload = (
        struct.pack("<Q", timestamp) + request_id + struct.pack("<H", len(request)) + request
    ).ljust(1099, b"\0")
    head = b"\x01" + struct.pack("<I", initiator_index)
    body = head + noise.write(PATTERNS["IK"][0], "initiator", initiation_payload)
    mac1_key = blake2b(32, b"", b"hulda/udp-mac1", responder)
    mac1 = blake2b(16, mac1_key, b"hulda/udp-mac1", body)
    initiation = body + mac1 + bytes(16)
    after_first = noise.state()

    secret, address, port = source.randbytes(32), bytes(10) + b"\xff\xff" + bytes([203, 0, 113, 9]), 7411
    cookie = blake2b(16, secret, b"hulda/udp-cookie", address + struct.pack("<H", port))
    reply_key, reply_nonce = blake2b(32, b"", b"hulda/udp-reply", responder), source.randbytes(24)
    reply = b"\x03" + struct.pack("<I", initiator_index) + reply_nonce
    reply += xchacha_seal(reply_key, reply_nonce, mac1, cookie)
    mac2 = blake2b(16, cookie, b"hulda/udp-mac2", body + mac1)

    response_payload = (struct.pack("<IH", responder_index, len(answer)) + answer).ljust(1179, b"\0")
    response = b"\x02" + struct.pack("<I", initiator_index)
    response += noise.write(PATTERNS["IK"][1], "responder", response_payload)
    transport_keys = noise.split()

    transport = []
    for sender, counter, kind, size in (("initiator", 0, 1, 33), ("responder", 0, 2, 1073), ("initiator", 2**40, 1, 0)):
        index = responder_index if sender == "initiator" else initiator_index
        identifier, content = source.randbytes(16), source.randbytes(size)
        header = b"\x04" + struct.pack("<IQ", index, counter)
        plain = (bytes([kind]) + identifier + struct.pack("<H", size) + content).ljust(1203, b"\0")
        transport.append({
            "sender": sender, "counter": str(counter), "kind": str(kind), "requestID": identifier, "body": content,
            "associated": header, "datagram": header + sealed(transport_keys[sender], counter, header, plain),
        })
    for datagram in [initiation, response] + [entry["datagram"] for entry in transport]:
        assert len(datagram) == 1232
    return {
        **keys, "initiatorIndex": str(initiator_index), "responderIndex": str(responder_index),
        "timestamp": str(timestamp), "requestID": request_id, "request": request, "answer": answer,
        "prologue": prologue, "initiationPayload": initiation_payload, "mac1Key": mac1_key, "mac1": mac1,
        "initiation": initiation, "afterFirst": after_first,
        "cookieSecret": secret, "address": address, "port": str(port), "cookie": cookie, "replyKey": reply_key,
        "replyNonce": reply_nonce, "cookieReply": reply, "mac2": mac2, "initiationWithCookie": body + mac1 + mac2,
        "responsePayload": response_payload, "response": response, "handshakeHash": noise.hash,
        "transportKeys": transport_keys, "transport": transport,
    }


def text(value):
    """Bytes as hexadecimal digits; numbers are text already."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: text(entry) for name, entry in value.items()}
    return [text(entry) for entry in value] if isinstance(value, list) else value


def write_vectors(path):
    source = random.Random(20261201)
    vectors = {"streams": [stream("IK", source), stream("NK", source)], "datagrams": [datagrams(source)]}
    with open(path, "w") as file:
        json.dump(text(vectors), file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    if sys.argv[1:2] != ["vectors"]:
        sys.exit(__doc__)
    write_vectors(sys.argv[2])
