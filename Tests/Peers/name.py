"""An independent computation of friendly addresses (specs/directory.md, "Friendly addresses").

Needs Python 3.9 with `cryptography`; primitives come from primitives.py and record.py beside this file.

  name.py vectors F  writes specs/vectors/name.json to the file F
"""

import json
import os
import random
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from primitives import argon2id, blake2b, blind, ed25519
from record import cipher, sequence_base


def seal(key, nonce, associated, plain):
    aead, short = cipher(key, nonce)
    return aead.encrypt(short, plain, associated)


def case(name, server_seed, user_seed, nonce, operations, memory, epoch, published):
    server = blind(server_seed, b"hulda/blind", 0, b"")["public"]
    user = blind(user_seed, b"hulda/blind", 0, b"")["public"]
    salt = blake2b(32, b"", b"hulda/name-salt", server)[:16]
    stretched = argon2id(name.encode(), salt, operations, memory)
    label = blake2b(32, stretched, b"hulda/name-lab", b"")
    pointer_key = blake2b(32, stretched, b"hulda/name-ptr", b"")

    owned = ed25519(user_seed, blake2b(32, b"", b"hulda/name-own", server + label))
    pointer = nonce + seal(pointer_key, nonce, server + label, b"\x01" + user + owned)

    blinded = blind(server_seed, b"hulda/name-bld", epoch, b"", label)["blinded"]
    sequence = sequence_base(label, b"hulda/name-seq", epoch) + published
    body_key = blake2b(32, label, b"hulda/name-key", struct.pack("<Q", epoch))

    def record(pointer, sequence):
        body = b"\x01" + struct.pack("<H", len(pointer)) + pointer
        head = b"\x01" + struct.pack("<QQ", epoch, sequence) + blinded
        record_nonce = blake2b(32, b"", b"hulda/name-non", head + body)[:24]
        ciphertext = seal(body_key, record_nonce, head, body + bytes(512 - 16 - len(body)))
        unsigned = head + record_nonce + ciphertext
        return unsigned + blind(server_seed, b"hulda/name-bld", epoch, unsigned, label)["signature"]

    values = {
        "serverSeed": server_seed,
        "server": server,
        "userSeed": user_seed,
        "user": user,
        "pointerNonce": nonce,
        "label": label,
        "pointerKey": pointer_key,
        "pointer": pointer,
        "blinded": blinded,
        "record": record(pointer, sequence),
        "released": record(b"", sequence + 1),
    }
    out = {key: value.hex() for key, value in values.items()}
    numbers = {
        "operations": operations,
        "memoryKiB": memory,
        "epoch": epoch,
        "sequence": sequence,
        "published": published,
    }
    return dict(out, name=name, **{key: str(value) for key, value in numbers.items()})


def write_vectors(path):
    source = random.Random(20261125)
    cases = []
    plans = (
        ("ada", 2, 65_536, 20_780, 1_795_392_001),
        ("a", 1, 8, 0, 0),
        ("0.very-long-name.of-32-characters", 1, 64, 2**32, 2**40),
    )
    for name, operations, memory, epoch, published in plans:
        server, user, nonce = source.randbytes(32), source.randbytes(32), source.randbytes(24)
        cases.append(case(name[:32], server, user, nonce, operations, memory, epoch, published))
    with open(path, "w") as file:
        json.dump({"cases": cases}, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    if sys.argv[1:2] != ["vectors"]:
        sys.exit(__doc__)
    write_vectors(sys.argv[2])
