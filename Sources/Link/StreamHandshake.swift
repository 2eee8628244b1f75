import Primitives

/// The handshake of stream links: Noise with an ML-KEM-768 exchange in its payloads (specs/link.md, "Streams").
enum StreamHandshake {
    static let prologue = Array("hulda/link/1".utf8)

    /// Mixes the ML-KEM secret into both keys after the split, so that the Noise part stays standard.
    static func session(
        _ keys: consuming TransportKeys, kem: borrowing SecretBytes, isInitiator: Bool
    ) -> StreamSession {
        let initiator = mix(keys.initiator, kem, keys.handshakeHash)
        let responder = mix(keys.responder, kem, keys.handshakeHash)
        return isInitiator
            ? StreamSession(sending: initiator, receiving: responder)
            : StreamSession(sending: responder, receiving: initiator)
    }

    /// BLAKE2b-256 keyed with the transport key over the ML-KEM secret and the handshake hash.
    private static func mix(
        _ key: borrowing SecretBytes, _ kem: borrowing SecretBytes, _ handshakeHash: [UInt8]
    ) -> SecretBytes {
        var hash = key.withUnsafeBytes { BLAKE2b(outputCount: 32, key: $0, domain: Domain("hulda/link-pq")) }
        kem.withUnsafeBytes { hash.update($0) }
        hash.update(handshakeHash)
        return hash.finalizeSecret()
    }
}

/// The connecting side.
public struct StreamInitiator: ~Copyable {
    /// Bytes of the answer.
    public static let secondMessageSize = NoisePattern.secondOverhead + MLKEM768.ciphertextSize

    /// What is sent first; its first byte names the pattern.
    public let firstMessage: [UInt8]
    private var handshake: NoiseHandshake
    private let kem: MLKEM768.PrivateKey

    /// A server that proves its own static key (Noise_IK).
    public init(
        identity: borrowing X25519PrivateKey, responder: X25519PublicKey, entropy: inout Entropy
    ) throws(LinkError) {
        try self.init(.ik, identity.copy(), responder, &entropy)
    }

    /// An agent that stays anonymous (Noise_NK).
    public init(anonymousTo responder: X25519PublicKey, entropy: inout Entropy) throws(LinkError) {
        try self.init(.nk, X25519PrivateKey(&entropy), responder, &entropy)
    }

    private init(
        _ pattern: NoisePattern, _ identity: consuming X25519PrivateKey, _ responder: X25519PublicKey,
        _ entropy: inout Entropy
    ) throws(LinkError) {
        let kem: MLKEM768.PrivateKey
        do throws(PrimitiveError) { kem = try MLKEM768.PrivateKey() } catch { throw .invalidKey }
        var handshake = NoiseHandshake(
            initiator: pattern, prologue: StreamHandshake.prologue, identity: identity, responder: responder,
            ephemeral: X25519PrivateKey(&entropy))
        firstMessage = [pattern.rawValue] + (try handshake.write(kem.publicKey))
        self.handshake = handshake
        self.kem = kem
    }

    /// Takes the answer of ``secondMessageSize`` bytes.
    /// - Throws: ``LinkError/malformed``, ``LinkError/authenticationFailed``, ``LinkError/invalidKey``
    public consuming func finish(_ second: [UInt8]) throws(LinkError) -> StreamSession {
        guard second.count == StreamInitiator.secondMessageSize else { throw .malformed }
        var handshake = self.handshake
        let ciphertext = try handshake.read(second)
        let secret: SecretBytes
        do throws(PrimitiveError) { secret = try kem.decapsulate(ciphertext) } catch { throw .authenticationFailed }
        return StreamHandshake.session(try handshake.split(), kem: secret, isInitiator: true)
    }
}

/// The accepting side: one step.
public enum StreamResponder {
    /// What came of a first message.
    public struct Accepted: ~Copyable {
        /// What is sent back.
        public let reply: [UInt8]
        /// The initiator's static key; `nil` when it is anonymous.
        public let peer: X25519PublicKey?
        private let session: StreamSession

        init(reply: [UInt8], peer: X25519PublicKey?, session: consuming StreamSession) {
            self.reply = reply
            self.peer = peer
            self.session = session
        }

        public consuming func takeSession() -> StreamSession { session }
    }

    /// Bytes of the first message; `nil` when its first byte names no pattern.
    public static func firstMessageSize(startingWith byte: UInt8?) -> Int? {
        guard let byte, let pattern = NoisePattern(rawValue: byte) else { return nil }
        return 1 + pattern.firstOverhead + MLKEM768.publicKeySize
    }

    /// Answers a first message.
    /// - Throws: ``LinkError/malformed``, ``LinkError/authenticationFailed``, ``LinkError/invalidKey``
    public static func respond(
        to first: [UInt8], key: borrowing X25519PrivateKey, entropy: inout Entropy
    ) throws(LinkError) -> Accepted {
        guard let pattern = first.first.flatMap({ NoisePattern(rawValue: $0) }),
            first.count == firstMessageSize(startingWith: first.first)
        else { throw .malformed }
        var handshake = NoiseHandshake(
            responder: pattern, prologue: StreamHandshake.prologue, identity: key,
            ephemeral: X25519PrivateKey(&entropy))
        let encapsulationKey = try handshake.read(Array(first.dropFirst()))
        let encapsulation: MLKEM768.Encapsulation
        do throws(PrimitiveError) {
            encapsulation = try MLKEM768.encapsulate(to: encapsulationKey)
        } catch { throw .invalidKey }
        let reply = try handshake.write(encapsulation.ciphertext)
        let peer = handshake.remoteStatic
        let session = StreamHandshake.session(
            try handshake.split(), kem: encapsulation.secret, isInitiator: false)
        return Accepted(reply: reply, peer: peer, session: session)
    }
}
