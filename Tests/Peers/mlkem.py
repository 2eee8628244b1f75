"""ML-KEM-768 (FIPS 203), written out: key pair from a seed, encapsulation with a given random value, decapsulation.

Libraries draw that value themselves; vectors need it fixed. Not in constant time, so for tests alone.
"""

import hashlib

Q, N, K, DU, DV = 3329, 256, 3, 10, 4


def bit_reversed(value):
    return int(f"{value:07b}"[::-1], 2)


ZETAS = [pow(17, bit_reversed(i), Q) for i in range(128)]
GAMMAS = [pow(17, 2 * bit_reversed(i) + 1, Q) for i in range(128)]


def g(data):
    digest = hashlib.sha3_512(data).digest()
    return digest[:32], digest[32:]


def bits(data):
    return [byte >> i & 1 for byte in data for i in range(8)]


def packed(values, width):
    number = sum(value << (width * i) for i, value in enumerate(values))
    return number.to_bytes(len(values) * width // 8, "little")


def unpacked(data, width):
    number = int.from_bytes(data, "little")
    return [number >> (width * i) & (1 << width) - 1 for i in range(len(data) * 8 // width)]


def compress(values, width):
    return [((x << width) + Q // 2) // Q % (1 << width) for x in values]


def decompress(values, width):
    return [(x * Q + (1 << width - 1)) >> width for x in values]


def ntt(values):
    f, i, length = list(values), 1, 128
    while length >= 2:
        for start in range(0, N, 2 * length):
            zeta, i = ZETAS[i], i + 1
            for j in range(start, start + length):
                t = zeta * f[j + length] % Q
                f[j + length], f[j] = (f[j] - t) % Q, (f[j] + t) % Q
        length //= 2
    return f


def inverse_ntt(values):
    f, i, length = list(values), 127, 2
    while length <= 128:
        for start in range(0, N, 2 * length):
            zeta, i = ZETAS[i], i - 1
            for j in range(start, start + length):
                t = f[j]
                f[j], f[j + length] = (t + f[j + length]) % Q, zeta * (f[j + length] - t) % Q
        length *= 2
    return [x * 3303 % Q for x in f]


def product(a, b):
    out = []
    for i in range(128):
        a0, a1, b0, b1 = a[2 * i], a[2 * i + 1], b[2 * i], b[2 * i + 1]
        out += [(a0 * b0 + a1 * b1 * GAMMAS[i]) % Q, (a0 * b1 + a1 * b0) % Q]
    return out


def add(a, b):
    return [(x + y) % Q for x, y in zip(a, b)]


def dot(a, b):
    total = [0] * N
    for x, y in zip(a, b):
        total = add(total, product(x, y))
    return total


def uniform(rho, i, j):
    stream, out, place = hashlib.shake_128(rho + bytes([j, i])).digest(3 * N * 3), [], 0
    while len(out) < N:
        a, b, c = stream[place : place + 3]
        out += [x for x in (a + 256 * (b % 16), b // 16 + 16 * c) if x < Q]
        place += 3
    return out[:N]


def binomial(seed, number):
    b = bits(hashlib.shake_256(seed + bytes([number])).digest(128))
    return [(b[4 * i] + b[4 * i + 1] - b[4 * i + 2] - b[4 * i + 3]) % Q for i in range(N)]


def matrix(rho):
    return [[uniform(rho, i, j) for j in range(K)] for i in range(K)]


def key_pair(seed):
    """The decapsulation key's secret vector and the encapsulation key, of the seed `d ‖ z`."""
    rho, sigma = g(seed[:32] + bytes([K]))
    a = matrix(rho)
    s = [ntt(binomial(sigma, i)) for i in range(K)]
    e = [ntt(binomial(sigma, K + i)) for i in range(K)]
    t = [add(dot(a[i], s), e[i]) for i in range(K)]
    return s, b"".join(packed(x, 12) for x in t) + rho


def encrypt(public, message, randomness):
    t = [unpacked(public[384 * i : 384 * i + 384], 12) for i in range(K)]
    a = matrix(public[384 * K :])
    y = [ntt(binomial(randomness, i)) for i in range(K)]
    e1 = [binomial(randomness, K + i) for i in range(K)]
    e2 = binomial(randomness, 2 * K)
    u = [add(inverse_ntt(dot([a[j][i] for j in range(K)], y)), e1[i]) for i in range(K)]
    v = add(add(inverse_ntt(dot(t, y)), e2), decompress(bits(message), 1))
    return b"".join(packed(compress(x, DU), DU) for x in u) + packed(compress(v, DV), DV)


def encapsulate(public, message):
    """The secret and the ciphertext of an encapsulation that draws `message`."""
    secret, randomness = g(message + hashlib.sha3_256(public).digest())
    return secret, encrypt(public, message, randomness)


def decapsulate(seed, ciphertext):
    s, public = key_pair(seed)
    width = 32 * DU
    u = [decompress(unpacked(ciphertext[width * i : width * (i + 1)], DU), DU) for i in range(K)]
    v = decompress(unpacked(ciphertext[width * K :], DV), DV)
    w = [(x - y) % Q for x, y in zip(v, inverse_ntt(dot(s, [ntt(x) for x in u])))]
    secret, again = encapsulate(public, packed(compress(w, 1), 1))
    if again != ciphertext:
        return hashlib.shake_256(seed[32:] + ciphertext).digest(32)
    return secret
