"""An independent computation of what an agent sends to a gateway and a home, and what they answer: mailboxes, service
requests, sealed messages, the home's requests and answers (specs/wire.md, specs/home.md, specs/correspondence.md).

Needs Python 3.9 with `cryptography`; X25519, Ed25519, ChaCha20-Poly1305 and BLAKE2b come through primitives.py beside
this file. Requests that open, take over and close an account are in account.py.

  delivery.py vectors F  writes specs/vectors/delivery.json to the file F
"""

import json
import os
import random
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from link import public as x25519_public
from link import text
from primitives import blake2b, blind, chachapoly, ed25519, x25519

BLOB, PART = 1353, 1180


def verifying_key(seed):
    return blind(seed, b"hulda/blind", 0, b"")["public"]


def hashed(domain, data):
    return blake2b(32, b"", domain, data)


def u16(value):
    return struct.pack("<H", value)


def u64(value):
    return struct.pack("<Q", value)


def mailbox(source, epoch):
    key, gateway = source.randbytes(32), source.randbytes(32)
    secret = blake2b(32, key, b"hulda/mbox-sec", gateway + u64(epoch))
    handle = hashed(b"hulda/mailbox", secret)[:16]
    return {"mailboxKey": key, "gateway": gateway, "epoch": str(epoch), "secret": secret, "handle": handle}


def message(source, kind, index, count, time, part):
    sender_seed, recipient_seed = source.randbytes(32), source.randbytes(32)
    sealing, ephemeral = source.randbytes(32), source.randbytes(32)
    identifier = source.randbytes(16)
    sender, recipient = verifying_key(sender_seed), verifying_key(recipient_seed)
    sealing_public, ephemeral_public = x25519_public(sealing), x25519_public(ephemeral)
    content = sender + identifier + bytes([kind, index, count]) + u64(time) + u16(len(part)) + part
    signed = hashed(b"hulda/seal-sig", recipient + ephemeral_public + content)
    signature = ed25519(sender_seed, signed)
    plain = (signature + content).ljust(BLOB - 32 - 16, b"\0")
    shared = x25519(ephemeral, sealing_public)
    key = blake2b(32, shared, b"hulda/seal", ephemeral_public + sealing_public)
    blob = ephemeral_public + chachapoly(key, bytes(12), b"", plain)
    assert len(blob) == BLOB
    return {
        "senderSeed": sender_seed, "sender": sender, "recipientSeed": recipient_seed, "recipient": recipient,
        "sealingPrivate": sealing, "sealingKey": sealing_public, "ephemeralPrivate": ephemeral,
        "ephemeral": ephemeral_public, "messageID": identifier, "kind": str(kind), "index": str(index),
        "count": str(count), "time": str(time), "part": part, "content": content, "signed": signed,
        "signature": signature, "sharedSecret": shared, "sealKey": key, "blob": blob,
        "fragmentID": hashed(b"hulda/fragment", identifier + u64(index))[:16],
    }


def attach(source, counter, flags, items, blocks):
    seed, home = source.randbytes(32), source.randbytes(32)
    account = hashed(b"hulda/account", verifying_key(seed))[:16]
    reply_blocks = source.randbytes(624 * blocks)
    blocks_hash = hashed(b"hulda/home-blk", reply_blocks)
    numbers = b"".join(u64(item) for item in items)
    signed = hashed(
        b"hulda/home-att", home + account + u64(counter) + bytes([flags]) + u16(len(items)) + numbers + blocks_hash
    )
    request = b"\x02" + account + u64(counter) + bytes([flags, len(items)]) + numbers + ed25519(seed, signed)
    return {
        "accountSeed": seed, "account": account, "home": home, "counter": str(counter), "flags": str(flags),
        "items": [str(item) for item in items], "replyBlocks": reply_blocks, "replyBlocksHash": blocks_hash,
        "signed": signed, "request": request,
        "envelopeContent": bytes([2, blocks]) + reply_blocks + request,
    }


def deliver(source, blob):
    account, identifier = source.randbytes(16), source.randbytes(16)
    request = b"\x03" + account + identifier + u16(len(blob)) + blob
    return {"account": account, "messageID": identifier, "blob": blob, "request": request}


def name(source, counter, epoch, releases):
    seed, home, label = source.randbytes(32), source.randbytes(32), source.randbytes(32)
    account = hashed(b"hulda/account", verifying_key(seed))[:16]
    pointer = b"" if releases else source.randbytes(137)
    fields = account + u64(counter) + bytes([releases]) + u64(epoch) + label + u16(len(pointer)) + pointer
    signed = hashed(b"hulda/home-nam", home + fields)
    return {
        "accountSeed": seed, "account": account, "home": home, "counter": str(counter), "flags": str(int(releases)),
        "epoch": str(epoch), "label": label, "pointer": pointer, "signed": signed,
        "request": b"\x07" + fields + ed25519(seed, signed),
    }


def answers(source, blob):
    account, identifier, label = source.randbytes(16), source.randbytes(16), source.randbytes(32)
    record = source.randbytes(711)
    item = u64(2**40) + struct.pack("<I", 7) + identifier + u16(len(blob)) + blob
    return {
        "account": account, "messageID": identifier, "label": label, "record": record, "blob": blob,
        "registered": b"\x41" + account,
        "attached": b"\x42" + struct.pack("<I", 1000) + b"\x0c",
        "item": b"\x43" + item,
        "accepted": b"\x44" + identifier,
        "refused": [b"\x45" + bytes([reason]) for reason in range(1, 15)],
        "takenOver": b"\x46" + u64(3),
        "closed": b"\x47" + account,
        "named": b"\x48" + label + u16(len(record)) + record,
        "released": b"\x49" + label + u16(len(record)) + record,
        "releasedBefore": b"\x49" + label + u16(0),
    }


def write_vectors(path):
    source = random.Random(20261202)
    messages = [
        message(source, 1, 0, 1, 1_764_000_000_000, "Grüße, schöne Welt".encode()),
        message(source, 1, 0, 1, 0, b""),
        message(source, 1, 0, 3, 2**64 - 1, source.randbytes(PART)),
        message(source, 1, 55, 56, 1_764_000_000_000, source.randbytes(65_535 - 55 * PART)),
        message(source, 2, 0, 1, 1_764_000_000_001, source.randbytes(16)),
    ]
    blob = messages[0]["blob"]
    vectors = {
        "mailboxes": [mailbox(source, 0), mailbox(source, 20_788)],
        "messages": messages,
        "attach": [
            attach(source, 1, 0, [], 0),
            attach(source, 2**63, 1, [1, 2, 2**64 - 1], 3),
            attach(source, 65, 0, list(range(1, 49)), 1),
        ],
        "deliver": [deliver(source, blob), deliver(source, b"")],
        "name": [name(source, 2, 20_788, False), name(source, 3, 20_788, True)],
        "answers": answers(source, blob),
    }
    with open(path, "w") as file:
        json.dump(text(vectors), file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    if sys.argv[1:2] != ["vectors"]:
        sys.exit(__doc__)
    write_vectors(sys.argv[2])
