"""An independent computation of account keys and of the requests that open, take over and close an account
(specs/home.md).

Needs Python 3.9 with `cryptography`; Ed25519 and BLAKE2b come through primitives.py beside this file.

  account.py vectors F  writes specs/vectors/account.json to the file F
"""

import json
import os
import random
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from primitives import blake2b, blind, ed25519


def public(seed):
    return blind(seed, b"hulda/blind", 0, b"")["public"]


def derived(seed, domain, home, value):
    return blake2b(32, seed, domain, home + struct.pack("<Q", value))


def text(value):
    return struct.pack("<H", len(value)) + value


def requests(user, operational, home, incarnation, token, serial, successor):
    account_seed = derived(operational, b"hulda/acct-key", home, incarnation)
    recovery_seed = derived(user, b"hulda/rec-key", home, 0)
    key, recovery = public(account_seed), public(recovery_seed)
    account = blake2b(32, b"", b"hulda/account", key)[:16]
    commitment = blake2b(32, b"", b"hulda/home-rec", recovery)
    signed = blake2b(32, b"", b"hulda/home-opn", home + key + commitment + text(token))
    register = b"\x04" + key + commitment + text(token) + ed25519(account_seed, signed)

    new_key = public(derived(successor, b"hulda/acct-key", home, incarnation))
    signed = blake2b(32, b"", b"hulda/home-tak", home + account + struct.pack("<Q", serial) + new_key)
    take_over = b"\x05" + account + recovery + struct.pack("<Q", serial) + new_key + ed25519(recovery_seed, signed)

    closings = []
    for discards in (b"\x00", b"\x01"):
        signed = blake2b(32, b"", b"hulda/home-cls", home + account + discards)
        closings.append(b"\x06" + account + recovery + discards + ed25519(recovery_seed, signed))
    return {
        "userSeed": user,
        "operationalSeed": operational,
        "successorSeed": successor,
        "home": home,
        "token": token,
        "accountKey": key,
        "account": account,
        "recoveryKey": recovery,
        "commitment": commitment,
        "register": register,
        "newAccountKey": new_key,
        "takeOver": take_over,
        "close": closings[0],
        "discard": closings[1],
    }


def write_vectors(path):
    source = random.Random(20261124)
    cases = []
    for incarnation, token, serial in ((1, b"", 1), (1_764_000_000_000, b"sesame", 2), (2**64 - 1, b"x" * 64, 2**63)):
        user, operational, successor, home = (source.randbytes(32) for _ in range(4))
        case = requests(user, operational, home, incarnation, token, serial, successor)
        case = {name: value.hex() for name, value in case.items()}
        cases.append(dict(case, incarnation=str(incarnation), serial=str(serial)))
    with open(path, "w") as file:
        json.dump({"cases": cases}, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    if sys.argv[1:2] != ["vectors"]:
        sys.exit(__doc__)
    write_vectors(sys.argv[2])
