"""An independent computation of directory records (specs/directory.md, "Record").

Needs Python 3.9 with `cryptography`; blinding comes from primitives.py beside this file, HChaCha20 is written out here.

  record.py            opens the records on standard input: one JSON object {user, record} a line, one answer a line
  record.py vectors F  writes specs/vectors/record.json to the file F
"""

import json
import os
import random
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from primitives import L, blake2b, blind, compress, decompress, ed25519, multiply, number

FIELDS = (
    ("home", 32),
    ("account", 16),
    ("sealing", 32),
    ("operational", 32),
    ("operationalExpiry", 8),
    ("certificate", 64),
    ("policy", 1),
    ("prekeys", 32),
)


def hchacha20(key, nonce):
    """draft-irtf-cfrg-xchacha section 2.2."""
    state = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce))

    def quarter(a, b, c, d):
        for left, right, target, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[left] = (state[left] + state[right]) & 0xFFFFFFFF
            mixed = state[target] ^ state[left]
            state[target] = (mixed << bits | mixed >> (32 - bits)) & 0xFFFFFFFF

    for _ in range(10):
        quarter(0, 4, 8, 12), quarter(1, 5, 9, 13), quarter(2, 6, 10, 14), quarter(3, 7, 11, 15)
        quarter(0, 5, 10, 15), quarter(1, 6, 11, 12), quarter(2, 7, 8, 13), quarter(3, 4, 9, 14)
    return struct.pack("<8I", *state[:4], *state[12:])


def cipher(key, nonce):
    return ChaCha20Poly1305(hchacha20(key, nonce[:16])), bytes(4) + nonce[16:]


def body_key(user, epoch):
    return blake2b(32, user, b"hulda/dir-key", struct.pack("<Q", epoch))


def certificate_message(user, operational, sealing, expiry):
    return blake2b(32, b"", b"hulda/opkey", user + operational + sealing + expiry)


def seal(seed, epoch, expiry, sequence, nonce, fields, size):
    user = blind(seed, b"hulda/blind", epoch, b"")["public"]
    message = certificate_message(user, fields["operational"], fields["sealing"], fields["operationalExpiry"])
    fields = dict(fields, certificate=ed25519(seed, message))
    plain = b"\x01" + b"".join(fields[name] for name, _ in FIELDS)
    plain += bytes(size - 16 - len(plain))
    blinded = blind(seed, b"hulda/blind", epoch, b"")["blinded"]
    head = b"\x01" + struct.pack("<QQQ", epoch, expiry, sequence) + blinded
    aead, short = cipher(body_key(user, epoch), nonce)
    ciphertext = aead.encrypt(short, plain, head)
    unsigned = head + nonce + struct.pack("<H", len(ciphertext)) + ciphertext
    signature = blind(seed, b"hulda/blind", epoch, unsigned)["signature"]
    return {
        "user": user,
        "blinded": blinded,
        "body_key": body_key(user, epoch),
        "body": plain,
        "record": unsigned + signature,
        **fields,
    }


def open_record(user, record):
    """The fields of a record after every check that needs no clock; raises when one fails."""
    version, epoch, expiry, sequence = struct.unpack("<BQQQ", record[:25])
    blinded, nonce = record[25:57], record[57:81]
    (size,) = struct.unpack("<H", record[81:83])
    ciphertext, signature = record[83 : 83 + size], record[83 + size :]
    if version != 1 or size not in (512, 768) or len(signature) != 64:
        raise ValueError("layout")
    b = number(blake2b(64, b"", b"hulda/blind", user + struct.pack("<Q", epoch))) % L
    if compress(multiply(b, decompress(user))) != blinded:
        raise ValueError("blinded key")
    Ed25519PublicKey.from_public_bytes(blinded).verify(signature, record[:-64])
    aead, short = cipher(body_key(user, epoch), nonce)
    plain = aead.decrypt(short, ciphertext, record[:57])
    if plain[0] != 1:
        raise ValueError("version of the body")
    fields, place = {}, 1
    for name, length in FIELDS:
        fields[name] = plain[place : place + length]
        place += length
    message = certificate_message(user, fields["operational"], fields["sealing"], fields["operationalExpiry"])
    Ed25519PublicKey.from_public_bytes(user).verify(fields["certificate"], message)
    out = {name: value.hex() for name, value in fields.items()}
    return dict(out, epoch=str(epoch), expiry=str(expiry), sequence=str(sequence))


def write_vectors(path):
    source = random.Random(20261123)
    cases = []
    for epoch, sequence, size in ((0, 0, 512), (20_780, 7, 512), (2**32, 2**64 - 1, 768)):
        seed, nonce = source.randbytes(32), source.randbytes(24)
        fields = {name: source.randbytes(length) for name, length in FIELDS if name != "certificate"}
        fields["policy"] = b"\x01"
        expiry = (epoch * 86_400 + 26 * 3600) % 2**64
        made = seal(seed, epoch, expiry, sequence, nonce, fields, size)
        case = {"seed": seed, "nonce": nonce, **made}
        case = {name: value.hex() for name, value in case.items()}
        cases.append(dict(case, epoch=str(epoch), expiry=str(expiry), sequence=str(sequence)))
        assert open_record(made["user"], made["record"])["home"] == case["home"]
    with open(path, "w") as file:
        json.dump({"cases": cases}, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["vectors"]:
        write_vectors(sys.argv[2])
    else:
        for line in sys.stdin:
            request = json.loads(line)
            answer = open_record(bytes.fromhex(request["user"]), bytes.fromhex(request["record"]))
            print(json.dumps(answer), flush=True)
