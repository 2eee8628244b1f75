"""A second implementation of specs/link.md, written from that text, for the interoperability tests.

It needs the PyPI package `noiseprotocol`, and `cryptography` with ML-KEM, which the first depends on.
Every message on standard input and output is a 4-byte little-endian length and that many bytes.
Arguments: stream | datagram, then initiator | responder, then own static key or "-", remote static key or "-"
(hexadecimal). Without an own key an initiator uses NK.

stream: handshake, then for each frame that arrives one of the same kind with the body reversed.
datagram responder: answers requests with their bytes reversed. Datagrams that it ignores give an empty message.
datagram initiator: sends a request in an initiation, obeys a cookie reply, then sends two requests in its session.
"""

import hashlib
import os
import struct
import sys
import time

from cryptography.hazmat.primitives.asymmetric import mlkem
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from noise.connection import Keypair, NoiseConnection

BODY = 2612
ZEROS = b"\0"


def read():
    header = sys.stdin.buffer.read(4)
    if len(header) < 4:
        sys.exit(0)
    return sys.stdin.buffer.read(struct.unpack("<I", header)[0])


def write(message):
    sys.stdout.buffer.write(struct.pack("<I", len(message)) + bytes(message))
    sys.stdout.buffer.flush()


def blake(size, key, personal, message):
    return hashlib.blake2b(message, digest_size=size, key=key, person=personal.encode().ljust(16, ZEROS)).digest()


def start(pattern, initiator, prologue, own, remote):
    noise = NoiseConnection.from_name(b"Noise_%s_25519_ChaChaPoly_BLAKE2b" % pattern.encode())
    noise.set_prologue(prologue)
    if own:
        noise.set_keypair_from_private_bytes(Keypair.STATIC, own)
    if remote:
        noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, remote)
    if initiator:
        noise.set_as_initiator()
    else:
        noise.set_as_responder()
    noise.start_handshake()
    return noise


def keys(noise):
    """Sending key, receiving key, handshake hash."""
    protocol = noise.noise_protocol
    return protocol.cipher_state_encrypt.k, protocol.cipher_state_decrypt.k, noise.get_handshake_hash()


def nonce(counter):
    return struct.pack("<IQ", 0, counter)


# Streams: sections 3 and 4.


def stream(initiator, own, remote):
    if initiator:
        pattern = 1 if own else 2
        noise = start("IK" if own else "NK", True, b"hulda/link/1" + bytes([pattern]), own, remote)
        private = mlkem.MLKEM768PrivateKey.generate()
        write(bytes([pattern]) + noise.write_message(private.public_key().public_bytes_raw()))
        secret = private.decapsulate(bytes(noise.read_message(read())))
    else:
        first = read()
        noise = start({1: "IK", 2: "NK"}[first[0]], False, b"hulda/link/1" + first[:1], own, None)
        public = mlkem.MLKEM768PublicKey.from_public_bytes(bytes(noise.read_message(first[1:])))
        secret, ciphertext = public.encapsulate()
        write(noise.write_message(ciphertext))
    send, receive, handshake_hash = keys(noise)
    send, receive = (
        ChaCha20Poly1305(blake(32, key, "hulda/link-pq", secret + handshake_hash)) for key in (send, receive)
    )
    counter = 0
    while True:
        frame = receive.decrypt(nonce(counter), read(), None)
        kind, length = struct.unpack("<BH", frame[:3])
        body = frame[3 : 3 + length][::-1]
        write(send.encrypt(nonce(counter), struct.pack("<BH", kind, length) + body.ljust(BODY, ZEROS), None))
        counter += 1


# Datagrams: sections 5 and 6.


def mac1_key(responder):
    return blake(32, b"", "hulda/udp-mac1", responder)


def quarter(x, a, b, c, d):
    for i, j, k, rotation in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        x[i] = (x[i] + x[j]) & 0xFFFFFFFF
        mixed = x[k] ^ x[i]
        x[k] = (mixed << rotation | mixed >> (32 - rotation)) & 0xFFFFFFFF


def xchacha_open(key, long_nonce, sealed, associated):
    """XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha): HChaCha20, then the IETF construction."""
    x = list(struct.unpack("<16I", b"expand 32-byte k" + key + long_nonce[:16]))
    for _ in range(10):
        for column in range(4):
            quarter(x, column, 4 + column, 8 + column, 12 + column)
        for a, b, c, d in ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            quarter(x, a, b, c, d)
    subkey = struct.pack("<8I", *x[:4], *x[12:])
    return ChaCha20Poly1305(subkey).decrypt(bytes(4) + long_nonce[16:], sealed, associated)


class Session:
    def __init__(self, noise, remote_index):
        send, receive, _ = keys(noise)
        self.send, self.receive = ChaCha20Poly1305(send), ChaCha20Poly1305(receive)
        self.remote_index, self.counter = remote_index, 0

    def seal(self, kind, request_id, body):
        header = struct.pack("<BIQ", 4, self.remote_index, self.counter)
        content = struct.pack("<B16sH", kind, request_id, len(body)) + body
        sealed = self.send.encrypt(nonce(self.counter), content.ljust(1203, ZEROS), header)
        self.counter += 1
        return header + sealed

    def open(self, datagram):
        header = datagram[:13]
        content = self.receive.decrypt(nonce(struct.unpack("<Q", header[5:])[0]), datagram[13:], header)
        kind, request_id, length = struct.unpack("<B16sH", content[:19])
        return kind, request_id, content[19 : 19 + length]


def datagram_initiator(own, remote):
    prologue_index = os.urandom(4)
    noise = start("IK", True, b"hulda/datagram/1" + prologue_index, own, remote)
    request = b"request in message 1"
    payload = struct.pack("<Q16sH", int(time.time() * 1000), os.urandom(16), len(request)) + request
    body = b"\1" + prologue_index + noise.write_message(payload.ljust(1099, ZEROS))
    mac1 = blake(16, mac1_key(remote), "hulda/udp-mac1", body)
    write(body + mac1 + bytes(16))
    reply = read()
    if reply[0] == 3:
        assert len(reply) == 61 and reply[1:5] == prologue_index
        key = blake(32, b"", "hulda/udp-reply", remote)
        cookie = xchacha_open(key, reply[5:29], reply[29:], mac1)
        write(body + mac1 + blake(16, cookie, "hulda/udp-mac2", body + mac1))
        reply = read()
    assert len(reply) == 1232 and reply[:5] == b"\2" + prologue_index
    answer = bytes(noise.read_message(reply[5:]))
    remote_index, length = struct.unpack("<IH", answer[:6])
    assert answer[6 : 6 + length] == request[::-1]
    session = Session(noise, remote_index)
    for number in range(2):
        request_id, request = os.urandom(16), b"request %d in the session" % number
        write(session.seal(1, request_id, request))
        assert session.open(read()) == (2, request_id, request[::-1])
    write(b"done")


def datagram_responder(own, own_public):
    sessions = {}
    while True:
        datagram = read()
        body, mac1 = datagram[:1200], datagram[1200:1216]
        if datagram[0] == 1 and mac1 == blake(16, mac1_key(own_public), "hulda/udp-mac1", body):
            noise = start("IK", False, b"hulda/datagram/1" + datagram[1:5], own, None)
            payload = bytes(noise.read_message(datagram[5:1200]))
            timestamp, _, length = struct.unpack("<Q16sH", payload[:26])
            assert abs(timestamp - time.time() * 1000) < 60_000
            answer = payload[26 : 26 + length][::-1]
            index = os.urandom(4)
            message = noise.write_message((index + struct.pack("<H", length) + answer).ljust(1179, ZEROS))
            sessions[index] = Session(noise, struct.unpack("<I", datagram[1:5])[0])
            write(b"\2" + datagram[1:5] + message)
        elif datagram[0] == 4 and datagram[1:5] in sessions:
            session = sessions[datagram[1:5]]
            _, request_id, request = session.open(datagram)
            write(session.seal(2, request_id, request[::-1]))
        else:
            write(b"")


def main():
    kind, role = sys.argv[1:3]
    own, remote = (b"" if text == "-" else bytes.fromhex(text) for text in sys.argv[3:5])
    if kind == "stream":
        stream(role == "initiator", own, remote)
    elif role == "initiator":
        datagram_initiator(own, remote)
    else:
        datagram_responder(own, remote)


main()
