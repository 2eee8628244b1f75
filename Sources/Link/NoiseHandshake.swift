import Primitives

/// The handshake patterns that links use (The Noise Protocol Framework, section 7).
enum NoisePattern: UInt8, Sendable {
    /// Both sides know each other's static key: servers.
    case ik = 1
    /// Only the responder has a static key: an agent stays anonymous.
    case nk = 2

    var protocolName: String {
        switch self {
        case .ik: "Noise_IK_25519_ChaChaPoly_BLAKE2b"
        case .nk: "Noise_NK_25519_ChaChaPoly_BLAKE2b"
        }
    }

    /// Bytes of the first message beside its payload: ephemeral key, sealed static key, payload tag.
    var firstOverhead: Int {
        switch self {
        case .ik: 32 + 48 + 16
        case .nk: 32 + 16
        }
    }

    /// Bytes of the second message beside its payload.
    static let secondOverhead = 32 + 16
}

/// One side of a Noise_IK or Noise_NK handshake; two messages, then the transport keys.
struct NoiseHandshake: ~Copyable {
    private let pattern: NoisePattern
    private let isInitiator: Bool
    private var symmetric: SymmetricState
    /// Of an anonymous initiator a key that is never used.
    private let identity: X25519PrivateKey
    private let ephemeral: X25519PrivateKey
    private(set) var remoteStatic: X25519PublicKey?
    private var remoteEphemeral: X25519PublicKey?
    private var step = 0

    /// The initiator's side.
    /// - Parameter identity: used by IK only.
    init(
        initiator pattern: NoisePattern, prologue: [UInt8], identity: consuming X25519PrivateKey,
        responder: X25519PublicKey, ephemeral: consuming X25519PrivateKey
    ) {
        self.pattern = pattern
        isInitiator = true
        var symmetric = SymmetricState(protocolName: pattern.protocolName)
        symmetric.mixHash(prologue)
        symmetric.mixHash(responder.bytes.bytes)
        self.symmetric = symmetric
        self.identity = identity
        self.ephemeral = ephemeral
        remoteStatic = responder
    }

    /// The responder's side.
    init(
        responder pattern: NoisePattern, prologue: [UInt8], identity: borrowing X25519PrivateKey,
        ephemeral: consuming X25519PrivateKey
    ) {
        self.pattern = pattern
        isInitiator = false
        var symmetric = SymmetricState(protocolName: pattern.protocolName)
        symmetric.mixHash(prologue)
        symmetric.mixHash(identity.publicKey.bytes.bytes)
        self.symmetric = symmetric
        self.identity = identity.copy()
        self.ephemeral = ephemeral
        remoteStatic = nil
    }

    /// `-> e, es, s, ss` or `-> e, es`; `<- e, ee, se` or `<- e, ee`.
    mutating func write(_ payload: [UInt8]) throws(LinkError) -> [UInt8] {
        guard step == (isInitiator ? 0 : 1) else { throw .outOfTurn }
        step += 1
        var out = ephemeral.publicKey.bytes.bytes
        symmetric.mixHash(out)
        if isInitiator {
            guard let responder = remoteStatic else { throw .invalidKey }
            try mixEphemeral(responder)
            if pattern == .ik {
                out += symmetric.encryptAndHash(identity.publicKey.bytes.bytes)
                try mixIdentity(responder)
            }
        } else {
            guard let initiator = remoteEphemeral else { throw .outOfTurn }
            try mixEphemeral(initiator)
            if pattern == .ik {
                guard let remoteStatic else { throw .outOfTurn }
                try mixEphemeral(remoteStatic)
            }
        }
        return out + symmetric.encryptAndHash(payload)
    }

    mutating func read(_ message: [UInt8]) throws(LinkError) -> [UInt8] {
        guard step == (isInitiator ? 1 : 0) else { throw .outOfTurn }
        step += 1
        guard let raw = Bytes32(message.prefix(32)) else { throw .malformed }
        let remote = X25519PublicKey(raw)
        remoteEphemeral = remote
        symmetric.mixHash(raw.bytes)
        var rest = Array(message.dropFirst(32))
        if isInitiator {
            try mixEphemeral(remote)
            if pattern == .ik { try mixIdentity(remote) }
        } else {
            try mixIdentity(remote)
            if pattern == .ik {
                guard rest.count >= 48, let key = Bytes32(try symmetric.decryptAndHash(Array(rest[0..<48]))) else {
                    throw .malformed
                }
                remoteStatic = X25519PublicKey(key)
                rest.removeFirst(48)
                try mixIdentity(X25519PublicKey(key))
            }
        }
        guard rest.count >= ChaChaPoly.tagSize else { throw .malformed }
        return try symmetric.decryptAndHash(rest)
    }

    /// The transport keys after both messages.
    consuming func split() throws(LinkError) -> TransportKeys {
        guard step == 2 else { throw .outOfTurn }
        return symmetric.split()
    }

    private static func shared(
        _ own: borrowing X25519PrivateKey, _ other: X25519PublicKey
    ) throws(LinkError) -> SecretBytes {
        do throws(PrimitiveError) { return try own.sharedSecret(with: other) } catch { throw .invalidKey }
    }

    private mutating func mixEphemeral(_ other: X25519PublicKey) throws(LinkError) {
        let shared = try NoiseHandshake.shared(ephemeral, other)
        symmetric.mixKey(shared)
    }

    private mutating func mixIdentity(_ other: X25519PublicKey) throws(LinkError) {
        let shared = try NoiseHandshake.shared(identity, other)
        symmetric.mixKey(shared)
    }
}
