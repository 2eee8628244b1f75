"""The other end of the interoperability tests: the PyPI package `noiseprotocol` behind pipes.

Every message on standard input and output is a 4-byte little-endian length and that many bytes.
Arguments: protocol name, role (initiator or responder), prologue, own static key or "-", remote static key or "-"
(all in hexadecimal). After the handshake the peer sends its handshake hash, and then echoes each transport message
with its bytes reversed; an empty message makes it change both keys (REKEY).
"""

import struct
import sys

from noise.connection import Keypair, NoiseConnection


def read():
    header = sys.stdin.buffer.read(4)
    if len(header) < 4:
        sys.exit(0)
    return sys.stdin.buffer.read(struct.unpack("<I", header)[0])


def write(message):
    sys.stdout.buffer.write(struct.pack("<I", len(message)) + bytes(message))
    sys.stdout.buffer.flush()


def main():
    name, role, prologue, own, remote = sys.argv[1:6]
    noise = NoiseConnection.from_name(name.encode())
    noise.set_prologue(bytes.fromhex(prologue))
    if own != "-":
        noise.set_keypair_from_private_bytes(Keypair.STATIC, bytes.fromhex(own))
    if remote != "-":
        noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, bytes.fromhex(remote))
    if role == "initiator":
        noise.set_as_initiator()
    else:
        noise.set_as_responder()
    noise.start_handshake()
    sending = role == "initiator"
    while not noise.handshake_finished:
        if sending:
            write(noise.write_message(b"payload of " + role.encode()))
        else:
            write(noise.read_message(read()))
        sending = not sending
    write(noise.get_handshake_hash())
    while True:
        message = read()
        if not message:
            noise.rekey_inbound_cipher()
            noise.rekey_outbound_cipher()
            continue
        write(noise.encrypt(bytes(reversed(noise.decrypt(message)))))


main()
