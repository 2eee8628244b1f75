"""An independent computation of the constructions in specs/primitives.md.

Needs Python 3.9 with `cryptography`. Ed25519 arithmetic, ChaCha20 and LIONESS are written out here; BLAKE2b, SHA-512 and
the rest come from Python and OpenSSL, so nothing is shared with libsodium.

  primitives.py            answers the requests on standard input: one JSON object a line, one answer a line
  primitives.py vectors D  writes blinding.json and lioness.json to the directory D
"""

import hashlib
import json
import random
import struct
import sys

# Ed25519 (RFC 8032 section 5.1), in affine big-integer arithmetic.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def recover_x(y, sign):
    xx = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(xx, (P + 3) // 8, P)
    if (x * x - xx) % P != 0:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - xx) % P != 0:
        raise ValueError("not on the curve")
    return P - x if x & 1 != sign else x


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = (recover_x(BASE_Y, 0), BASE_Y)


def add(a, b):
    (x1, y1), (x2, y2) = a, b
    t = D * x1 * x2 * y1 * y2 % P
    return (
        (x1 * y2 + x2 * y1) * pow(1 + t, P - 2, P) % P,
        (y1 * y2 + x1 * x2) * pow(1 - t, P - 2, P) % P,
    )


def multiply(scalar, point):
    result = (0, 1)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def compress(point):
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decompress(data):
    value = int.from_bytes(data, "little")
    y = value & (1 << 255) - 1
    return (recover_x(y, value >> 255), y)


def number(data):
    return int.from_bytes(data, "little")


def expand(seed):
    wide = hashlib.sha512(seed).digest()
    clamped = bytearray(wide[:32])
    clamped[0] &= 248
    clamped[31] &= 127
    clamped[31] |= 64
    return number(bytes(clamped)), wide[32:]


def blind(seed, domain, epoch, message, label=b""):
    """The public key, factor, blinded key and signature of specs/primitives.md, "Key blinding"."""
    a, prefix = expand(seed)
    public = compress(multiply(a, BASE))
    b = number(blake2b(64, b"", domain, public + label + struct.pack("<Q", epoch))) % L
    factor = b.to_bytes(32, "little")
    blinded = compress(multiply(b, decompress(public)))
    secret = a * b % L
    assert blinded == compress(multiply(secret, BASE))
    nonce_prefix = blake2b(32, prefix, b"hulda/blind-r", factor)
    r = number(hashlib.sha512(nonce_prefix + message).digest()) % L
    point = compress(multiply(r, BASE))
    k = number(hashlib.sha512(point + blinded + message).digest()) % L
    signature = point + ((r + k * secret) % L).to_bytes(32, "little")
    return {"public": public, "factor": factor, "blinded": blinded, "signature": signature}


def blake2b(size, key, person, message):
    return hashlib.blake2b(message, digest_size=size, key=key, person=person).digest()


def chacha20(key, nonce, counter, size):
    """The key stream of RFC 8439 section 2.4."""
    out = b""
    while len(out) < size:
        state = list(struct.unpack("<16I", b"expand 32-byte k" + key + struct.pack("<I", counter) + nonce))
        work = list(state)

        def quarter(a, b, c, d):
            for left, right, target, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                work[left] = (work[left] + work[right]) & 0xFFFFFFFF
                mixed = work[target] ^ work[left]
                work[target] = (mixed << bits | mixed >> (32 - bits)) & 0xFFFFFFFF

        for _ in range(10):
            quarter(0, 4, 8, 12), quarter(1, 5, 9, 13), quarter(2, 6, 10, 14), quarter(3, 7, 11, 15)
            quarter(0, 5, 10, 15), quarter(1, 6, 11, 12), quarter(2, 7, 8, 13), quarter(3, 4, 9, 14)
        out += struct.pack("<16I", *((x + y) & 0xFFFFFFFF for x, y in zip(state, work)))
        counter += 1
    return out[:size]


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def lioness(key, block, rounds):
    keys = [key[32 * i : 32 * i + 32] for i in range(4)]
    left, right = block[:32], block[32:]
    for index in rounds:
        if index % 2 == 0:
            right = xor(right, chacha20(xor(left, keys[index]), bytes(12), 0, len(right)))
        else:
            left = xor(left, blake2b(32, keys[index], b"hulda/lioness", right))
    return left + right


def x25519(scalar, point):
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    return X25519PrivateKey.from_private_bytes(scalar).exchange(X25519PublicKey.from_public_bytes(point))


def ed25519(seed, message):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def chachapoly(key, nonce, associated, message):
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    return ChaCha20Poly1305(key).encrypt(nonce, message, associated)


def argon2id(passphrase, salt, operations, memory):
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    kdf = Argon2id(salt=salt, length=32, iterations=operations, lanes=1, memory_cost=memory)
    return kdf.derive(passphrase)


def answer(request):
    def raw(name):
        return bytes.fromhex(request.get(name, ""))

    operation = request["operation"]
    if operation == "blake2b":
        result = blake2b(request["size"], raw("key"), request.get("domain", "").encode(), raw("message"))
    elif operation == "blind":
        result = blind(raw("seed"), request["domain"].encode(), request["epoch"], raw("message"))
        return {name: value.hex() for name, value in result.items()}
    elif operation == "lioness":
        result = lioness(raw("key"), raw("message"), range(4))
    elif operation == "x25519":
        result = x25519(raw("key"), raw("message"))
    elif operation == "ed25519":
        result = ed25519(raw("seed"), raw("message"))
    elif operation == "chachapoly":
        result = chachapoly(raw("key"), raw("nonce"), raw("associated"), raw("message"))
    elif operation == "argon2id":
        result = argon2id(raw("message"), raw("salt"), request["operations"], request["memory"])
    else:
        raise ValueError(operation)
    return {"result": result.hex()}


def write_vectors(directory):
    source = random.Random(20260701)
    blinding = []
    for epoch, size in ((0, 0), (1, 1), (20635, 32), (2**32, 100), (2**64 - 1, 1000)):
        seed, message = source.randbytes(32), source.randbytes(size)
        case = {"seed": seed.hex(), "epoch": str(epoch), "message": message.hex()}
        case.update({k: v.hex() for k, v in blind(seed, b"hulda/blind", epoch, message).items()})
        blinding.append(case)
    wide = []
    for size in (33, 64, 65, 512, 2048):
        key, block = source.randbytes(128), source.randbytes(size)
        sealed = lioness(key, block, range(4))
        assert lioness(key, sealed, reversed(range(4))) == block
        wide.append({"key": key.hex(), "plain": block.hex(), "cipher": sealed.hex()})
    for name, cases in (("blinding", {"domain": "hulda/blind", "cases": blinding}), ("lioness", {"cases": wide})):
        with open(f"{directory}/{name}.json", "w") as file:
            json.dump(cases, file, indent=2)
            file.write("\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["vectors"]:
        write_vectors(sys.argv[2])
    else:
        for line in sys.stdin:
            print(json.dumps(answer(json.loads(line))), flush=True)
