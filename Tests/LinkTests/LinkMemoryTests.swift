import Fuzz
import Primitives
import Testing
import Wire

@testable import Link

@Suite("A link's secrets in memory", .serialized)
struct LinkMemoryTests {
    private let scan = MemoryScan()

    private func bytes(_ key: borrowing X25519PrivateKey) -> SecretBytes {
        var copy = SecretBytes(count: 32)
        key.withUnsafeBytes { key in copy.withUnsafeMutableBytes { $0.copyMemory(from: key) } }
        return copy
    }

    @Test("of a handshake are gone when it is over: static keys are where they were, ephemeral ones nowhere")
    func handshake() throws {
        var entropy = Entropy.system()
        let key = X25519PrivateKey(&entropy)
        let identity = X25519PrivateKey(&entropy)
        let keyBytes = bytes(key)
        let identityBytes = bytes(identity)
        let ephemeral = X25519PrivateKey(&entropy)
        let ephemeralBytes = bytes(ephemeral)
        let shared = try ephemeral.sharedSecret(with: key.publicKey)
        func run(_ ephemeral: consuming X25519PrivateKey) throws -> (Int, Int) {
            var entropy = Entropy.system()
            var initiator = NoiseHandshake.initiator(
                .ik, prologue: [1], identity: identity.copy(), responder: key.publicKey, ephemeral: ephemeral)
            var responder = NoiseHandshake.responder(
                .ik, prologue: [1], identity: key.copy(), ephemeral: X25519PrivateKey(&entropy))
            _ = try responder.read(initiator.write([1, 2, 3]))
            _ = try initiator.read(responder.write([4]))
            let during = (try scan.count(keyBytes), try scan.count(ephemeralBytes))
            let sent = try initiator.split()
            let received = try responder.split()
            let isEqual = ConstantTime.equal(sent.fromInitiator, received.fromInitiator)
            #expect(isEqual)
            return during
        }
        let during = try run(ephemeral)
        #expect(during == (2, 1))
        #expect(try scan.count(keyBytes) == 1)
        #expect(try scan.count(identityBytes) == 1)
        #expect(try scan.count(ephemeralBytes) == 0)
        #expect(try scan.count(shared) == 0)
    }

    @Test("of a session are its two keys, each in one place on each side, and none when it has ended")
    func session() throws {
        var entropy = Entropy.system()
        var first = SecretBytes(count: 32)
        first.withUnsafeMutableBytes { entropy.fill($0) }
        var second = SecretBytes(count: 32)
        second.withUnsafeMutableBytes { entropy.fill($0) }
        do {
            let keys = NoiseKeys(fromInitiator: first.copy(), fromResponder: second.copy(), hash: Bytes64())
            var session = DatagramSession(
                peer: X25519PublicKey(entropy.bytes()), address: SocketAddress(v4: (127, 0, 0, 1), port: 1),
                remoteIndex: 1,
                created: Timestamp(seconds: 1_800_000_000), keys: keys,
                role: .initiator)
            let copy = session
            _ = try session.seal(TransportPayload(kind: .request, requestID: Bytes16(), body: [1]))
            // Beside the handshake's own.
            #expect(try scan.count(first) == 2)
            #expect(try scan.count(second) == 2)
            withExtendedLifetime((session, copy)) {}
        }
        #expect(try scan.count(first) == 0)
        #expect(try scan.count(second) == 0)
    }
}
