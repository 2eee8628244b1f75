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

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from primitives import L, blake2b, blind, compress, decompress, ed25519, multiply, number

FIELDS = (
    ("sealing", 32),
    ("operational", 32),
    ("operationalExpiry", 8),
    ("certificate", 64),
    ("policy", 1),
    ("prekeys", 32),
)


# Seconds for which a reader lets an operational key be certified.
LIFETIME = 90 * 86_400


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


def sequence_base(key, domain, epoch):
    """To which the second of publication is added."""
    return struct.unpack("<Q", blake2b(32, key, domain, struct.pack("<Q", epoch))[:8])[0] >> 2


def certificate_message(user, serial, homes, operational, sealing, expiry):
    text = user + struct.pack("<Q", serial) + operational + sealing + expiry + bytes([len(homes)]) + b"".join(homes)
    return blake2b(32, b"", b"hulda/opkey", text)


def body_head(serial, homes):
    """What stands before the keys."""
    return b"\x01" + struct.pack("<Q", serial) + bytes([len(homes)]) + b"".join(homes)


def read_head(plain):
    """Serial, homes, and where the other fields begin."""
    (serial,) = struct.unpack("<Q", plain[1:9])
    count, homes = plain[9], [plain[10:58], plain[58:106]][: plain[9]]
    if plain[0] != 1 or count not in (1, 2) or len({h[:32] for h in homes}) != count:
        raise ValueError("head of the body")
    return serial, homes, 10 + 48 * count


def seal(seed, epoch, published, nonce, serial, homes, fields, change=lambda plain: plain):
    user = blind(seed, b"hulda/blind", epoch, b"")["public"]
    keys = fields["operational"], fields["sealing"], fields["operationalExpiry"]
    fields = dict(fields, certificate=ed25519(seed, certificate_message(user, serial, homes, *keys)))
    plain = body_head(serial, homes) + b"".join(fields[name] for name, _ in FIELDS)
    plain = change(plain + bytes(496 - len(plain)))
    blinded = blind(seed, b"hulda/blind", epoch, b"")["blinded"]
    base = sequence_base(user, b"hulda/dir-seq", epoch)
    head = b"\x01" + struct.pack("<QQ", epoch, base + published) + blinded
    aead, short = cipher(body_key(user, epoch), nonce)
    unsigned = head + nonce + aead.encrypt(short, plain, head)
    signature = blind(seed, b"hulda/blind", epoch, unsigned)["signature"]
    return {
        "user": user,
        "blinded": blinded,
        "body_key": body_key(user, epoch),
        "body": plain,
        "record": unsigned + signature,
        "homes": b"".join(homes),
        "base": struct.pack("<Q", base),
        **fields,
    }


def readable(fields):
    """Hexadecimal digits; of numbers decimal ones."""
    numbers = ("operationalExpiry", "policy", "base")
    return {name: str(number(value)) if name in numbers else value.hex() for name, value in fields.items()}


def open_record(user, record, now=None):
    """The fields of a record after all checks of a reader but those of the epoch; raises when one fails."""
    version, epoch, sequence = struct.unpack("<BQQ", record[:17])
    blinded, nonce, ciphertext, signature = record[17:49], record[49:73], record[73:585], record[585:]
    if version != 1 or len(signature) != 64:
        raise ValueError("layout")
    b = number(blake2b(64, b"", b"hulda/blind", user + struct.pack("<Q", epoch))) % L
    if compress(multiply(b, decompress(user))) != blinded:
        raise ValueError("blinded key")
    Ed25519PublicKey.from_public_bytes(blinded).verify(signature, record[:-64])
    aead, short = cipher(body_key(user, epoch), nonce)
    plain = aead.decrypt(short, ciphertext, record[:49])
    serial, homes, place = read_head(plain)
    fields = {"homes": b"".join(homes)}
    for name, length in FIELDS:
        fields[name] = plain[place : place + length]
        place += length
    if fields["policy"] != b"\x01" or fields["prekeys"] != bytes(32) or any(plain[place:]):
        raise ValueError("form of the body")
    keys = fields["operational"], fields["sealing"], fields["operationalExpiry"]
    if now is not None and not now < number(keys[2]) <= now + LIFETIME:
        raise ValueError("time of the operational key")
    message = certificate_message(user, serial, homes, *keys)
    Ed25519PublicKey.from_public_bytes(user).verify(fields["certificate"], message)
    out = readable(fields)
    published = sequence - sequence_base(user, b"hulda/dir-seq", epoch)
    return dict(out, serial=str(serial), epoch=str(epoch), sequence=str(sequence), published=str(published))


def drawn_fields(source, expiry):
    fields = {name: source.randbytes(length) for name, length in FIELDS if name != "certificate"}
    return dict(fields, operationalExpiry=struct.pack("<Q", expiry), policy=b"\x01", prekeys=bytes(32))


def refusals(source):
    """Records that are signed and sealed as they should be, and have one fault that a reader must not pass over."""
    epoch, now = 20_790, 20_790 * 86_400 + 43_200
    plain_size = 496

    def replaced(place, value):
        return lambda plain: plain[:place] + value + plain[place + len(value) :]

    # Where the fields of a body with one home, and with two, begin.
    one, two = 10 + 48, 10 + 96
    policy, prekeys = 32 + 32 + 8 + 64, 32 + 32 + 8 + 64 + 1
    twice = source.randbytes(32)
    plans = (
        ("version of the body", 1, LIFETIME, replaced(0, b"\x02")),
        ("no home", 1, LIFETIME, replaced(9, b"\x00")),
        ("three homes", 2, LIFETIME, replaced(9, b"\x03")),
        ("one server as both homes", 2, LIFETIME, lambda plain: replaced(58, plain[10:42])(plain)),
        ("policy 0", 1, LIFETIME, replaced(one + policy, b"\x00")),
        ("policy 7", 2, LIFETIME, replaced(two + policy, b"\x07")),
        ("prekeys", 1, LIFETIME, replaced(one + prekeys, twice)),
        ("first byte of the padding", 1, LIFETIME, replaced(one + prekeys + 32, b"\x01")),
        ("last byte of the padding", 2, LIFETIME, replaced(plain_size - 1, b"\x80")),
        ("serial", 1, LIFETIME, replaced(1, b"\x09")),
        ("certificate", 1, LIFETIME, replaced(one + 72, bytes(64))),
        ("operational key is over", 1, 0, lambda plain: plain),
        ("operational key lasts too long", 1, LIFETIME + 1, lambda plain: plain),
    )
    out = []
    for name, count, lasts, change in plans:
        seed, nonce = source.randbytes(32), source.randbytes(24)
        homes = [source.randbytes(48) for _ in range(count)]
        made = seal(seed, epoch, now, nonce, 0, homes, drawn_fields(source, now + lasts), change)
        try:
            open_record(made["user"], made["record"], now)
            raise AssertionError(name)
        except (ValueError, InvalidSignature):
            pass
        out.append({"name": name, "now": str(now), "user": made["user"].hex(), "record": made["record"].hex()})
    return out


def write_vectors(path):
    source = random.Random(20261123)
    cases = []
    plans = (
        (0, 0, 0, 1),
        (20_780, 1_795_392_001, 0, 1),
        (2**32, 2**40, 0, 1),
        (20_781, 1_795_480_000, 0, 2),
        (20_781, 1_795_480_001, 1, 1),
        (20_782, 1_795_560_000, 2**64 - 1, 2),
    )
    for epoch, published, serial, count in plans:
        seed, nonce = source.randbytes(32), source.randbytes(24)
        fields = drawn_fields(source, (epoch * 86_400 + LIFETIME) % 2**64)
        homes = [source.randbytes(48) for _ in range(count)]
        made = seal(seed, epoch, published, nonce, serial, homes, fields)
        case = readable({"seed": seed, "nonce": nonce, **made})
        opened = open_record(made["user"], made["record"], epoch * 86_400)
        assert opened["homes"] == case["homes"] and opened["published"] == str(published)
        numbers = {name: opened[name] for name in ("serial", "epoch", "sequence", "published")}
        cases.append(dict(case, **numbers))
    with open(path, "w") as file:
        json.dump({"cases": cases, "refusals": refusals(source)}, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["vectors"]:
        write_vectors(sys.argv[2])
    else:
        for line in sys.stdin:
            request = json.loads(line)
            answer = open_record(bytes.fromhex(request["user"]), bytes.fromhex(request["record"]))
            print(json.dumps(answer), flush=True)
