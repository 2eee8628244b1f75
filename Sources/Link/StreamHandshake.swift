import Primitives

/// Layout and post-quantum part that both sides of a stream handshake share. Spec: specs/link.md, section 3.
///
/// - First message: pattern byte ‖ Noise message 1 with the ML-KEM-768 encapsulation key as payload.
/// - Second message: Noise message 2 with the ML-KEM-768 ciphertext as payload.
enum StreamHandshake {
    private static let label = "hulda/link/1"

    static func prologue(_ pattern: NoisePattern) -> [UInt8] { Array(label.utf8) + [pattern.rawValue] }

    static func firstSize(_ pattern: NoisePattern) -> Int { 1 + pattern.firstOverhead + MLKEM768.publicKeySize }

    static let secondSize = NoisePattern.secondOverhead + MLKEM768.ciphertextSize

    /// The session keys: each Noise transport key keys a hash of the ML-KEM secret and the handshake hash.
    ///
    /// The keyed hash is a pseudorandom function of either part, so an adversary needs to break both exchanges.
    static func session(
        _ keys: borrowing NoiseKeys, secret: borrowing SecretBytes, role: NoiseHandshake.Role
    ) -> StreamSession {
        let initiator = mix(keys.fromInitiator, secret, keys.hash)
        let responder = mix(keys.fromResponder, secret, keys.hash)
        switch role {
        case .initiator:
            return StreamSession(
                sending: NoiseCipher(key: initiator), receiving: NoiseCipher(key: responder), handshakeHash: keys.hash)
        case .responder:
            return StreamSession(
                sending: NoiseCipher(key: responder), receiving: NoiseCipher(key: initiator), handshakeHash: keys.hash)
        }
    }

    static func mix(_ key: borrowing SecretBytes, _ secret: borrowing SecretBytes, _ hash: Bytes64) -> SecretBytes {
        var message = SecretBytes(count: secret.count + Bytes64.count)
        message.withUnsafeMutableBytes { message in
            secret.withUnsafeBytes { message.copyMemory(from: $0) }
            let rest = UnsafeMutableRawBufferPointer(rebasing: message[secret.count...])
            hash.withUnsafeBytes { rest.copyMemory(from: $0) }
        }
        var mixed = SecretBytes(count: 32)
        mixed.withUnsafeMutableBytes { out in
            key.withUnsafeBytes { key in
                message.withUnsafeBytes { BLAKE2b.hash(into: out, $0, key: key, domain: Domain("hulda/link-pq")) }
            }
        }
        return mixed
    }
}

/// The side that opened the connection.
public struct StreamInitiator: ~Copyable, Sendable {
    /// Bytes of the responder's answer.
    public static let secondMessageSize = StreamHandshake.secondSize

    /// To be sent at once; its first byte tells the pattern: 1 Noise_IK, 2 Noise_NK.
    public let firstMessage: [UInt8]
    private var noise: NoiseHandshake
    private let postQuantum: MLKEM768.PrivateKey

    /// A server that proves its link key to `responder`: Noise_IK.
    public init(
        identity: borrowing X25519PrivateKey, responder: X25519PublicKey, entropy: inout Entropy
    ) throws(LinkError) {
        try self.init(.ik, identity: identity.copy(), responder: responder, entropy: &entropy)
    }

    /// An agent, which stays anonymous: Noise_NK.
    public init(responder: X25519PublicKey, entropy: inout Entropy) throws(LinkError) {
        try self.init(.nk, identity: nil, responder: responder, entropy: &entropy)
    }

    private init(
        _ pattern: NoisePattern, identity: consuming X25519PrivateKey?, responder: X25519PublicKey,
        entropy: inout Entropy
    ) throws(LinkError) {
        var seed = SecretBytes(count: 64)
        seed.withUnsafeMutableBytes { entropy.fill($0) }
        let postQuantum: MLKEM768.PrivateKey
        do throws(PrimitiveError) { postQuantum = try MLKEM768.PrivateKey(seed: seed) } catch { throw LinkError(error) }
        var noise = NoiseHandshake.initiator(
            pattern, prologue: StreamHandshake.prologue(pattern), identity: identity, responder: responder,
            ephemeral: X25519PrivateKey(&entropy))
        firstMessage = [pattern.rawValue] + (try noise.write(postQuantum.publicKey))
        self.noise = noise
        self.postQuantum = postQuantum
    }

    /// Checks the responder's answer.
    /// - Parameter second: ``secondMessageSize`` bytes.
    /// - Throws: ``LinkError/malformed``, ``LinkError/authenticationFailed``, ``LinkError/invalidKey``
    public consuming func finish(_ second: [UInt8]) throws(LinkError) -> StreamSession {
        guard second.count == StreamInitiator.secondMessageSize else { throw .malformed }
        let ciphertext = try noise.read(second)
        let secret: SecretBytes
        do throws(PrimitiveError) { secret = try postQuantum.decapsulate(ciphertext) } catch { throw LinkError(error) }
        let keys = try noise.split()
        return StreamHandshake.session(keys, secret: secret, role: .initiator)
    }
}

/// The side that accepted the connection.
public enum StreamResponder {
    /// Bytes of a first message by its first byte, so that a caller knows how many to wait for.
    /// - Returns: `nil` for an unknown pattern byte, or none.
    public static func firstMessageSize(startingWith byte: UInt8?) -> Int? {
        byte.flatMap(NoisePattern.init(rawValue:)).map(StreamHandshake.firstSize)
    }

    /// An answered handshake.
    public struct Accepted: ~Copyable, Sendable {
        /// To be sent before any frame.
        public let reply: [UInt8]
        /// The initiator's link key, or `nil` for an anonymous agent.
        ///
        /// A replayed first message also gets here: the peer is there only once its first frame opens.
        public let peer: X25519PublicKey?
        private let session: StreamSession

        init(reply: [UInt8], peer: X25519PublicKey?, session: consuming StreamSession) {
            self.reply = reply
            self.peer = peer
            self.session = session
        }

        public consuming func takeSession() -> StreamSession { session }
    }

    /// Answers a first message.
    /// - Parameter first: as many bytes as ``firstMessageSize(startingWith:)`` tells.
    /// - Throws: ``LinkError/malformed``, ``LinkError/authenticationFailed``, ``LinkError/invalidKey``
    public static func respond(
        to first: [UInt8], key: borrowing X25519PrivateKey, entropy: inout Entropy
    ) throws(LinkError) -> Accepted {
        guard let byte = first.first, let pattern = NoisePattern(rawValue: byte),
            first.count == StreamHandshake.firstSize(pattern)
        else { throw .malformed }
        var noise = NoiseHandshake.responder(
            pattern, prologue: StreamHandshake.prologue(pattern), identity: key.copy(),
            ephemeral: X25519PrivateKey(&entropy))
        let encapsulationKey = try noise.read(Array(first.dropFirst()))
        let encapsulation: MLKEM768.Encapsulation
        do throws(PrimitiveError) {
            encapsulation = try MLKEM768.encapsulate(to: encapsulationKey)
        } catch {
            throw LinkError(error)
        }
        let reply = try noise.write(encapsulation.ciphertext)
        let peer = noise.remoteStatic
        let keys = try noise.split()
        let session = StreamHandshake.session(keys, secret: encapsulation.secret, role: .responder)
        return Accepted(reply: reply, peer: peer, session: session)
    }
}
