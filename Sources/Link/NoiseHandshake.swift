import Primitives

/// The Noise patterns that links use (Noise revision 34, section 7.5), each of two messages.
enum NoisePattern: UInt8, Sendable {
    /// Both static keys are known or sent: between servers.
    case ik = 1
    /// The initiator has no static key: from agent to gateway.
    case nk = 2

    enum Token: Sendable { case e, s, ee, es, se, ss }

    var protocolName: String {
        switch self {
        case .ik: "Noise_IK_25519_ChaChaPoly_BLAKE2b"
        case .nk: "Noise_NK_25519_ChaChaPoly_BLAKE2b"
        }
    }

    var messages: [[Token]] {
        switch self {
        case .ik: [[.e, .es, .s, .ss], [.e, .ee, .se]]
        case .nk: [[.e, .es], [.e, .ee]]
        }
    }

    /// Bytes of the first message beyond its payload: ephemeral, sealed static, tag of the payload.
    var firstOverhead: Int { self == .ik ? 32 + 48 + 16 : 32 + 16 }
    /// Bytes of the second message beyond its payload.
    static let secondOverhead = 32 + 16
}

/// Noise's `HandshakeState` (section 5.3). The responder's static key is always known beforehand.
struct NoiseHandshake: ~Copyable, Sendable {
    enum Role: Sendable { case initiator, responder }

    private var symmetric: NoiseSymmetric
    private let pattern: NoisePattern
    private let role: Role
    private let identity: X25519PrivateKey?
    private let ephemeral: X25519PrivateKey
    /// The peer's static key; a responder learns it from the first message of IK.
    private(set) var remoteStatic: X25519PublicKey?
    private(set) var remoteEphemeral: X25519PublicKey?
    private var step = 0

    /// - Parameter ephemeral: a fresh key; fixed only in tests with known answers.
    static func initiator(
        _ pattern: NoisePattern, prologue: [UInt8], identity: consuming X25519PrivateKey?,
        responder: X25519PublicKey, ephemeral: consuming X25519PrivateKey
    ) -> NoiseHandshake {
        NoiseHandshake(
            pattern, .initiator, prologue: prologue, identity: identity, ephemeral: ephemeral,
            remote: responder, responder: responder)
    }

    /// - Parameter ephemeral: a fresh key; fixed only in tests with known answers.
    static func responder(
        _ pattern: NoisePattern, prologue: [UInt8], identity: consuming X25519PrivateKey,
        ephemeral: consuming X25519PrivateKey
    ) -> NoiseHandshake {
        let own = identity.publicKey
        return NoiseHandshake(
            pattern, .responder, prologue: prologue, identity: identity, ephemeral: ephemeral,
            remote: nil, responder: own)
    }

    private init(
        _ pattern: NoisePattern, _ role: Role, prologue: [UInt8], identity: consuming X25519PrivateKey?,
        ephemeral: consuming X25519PrivateKey, remote: X25519PublicKey?, responder: X25519PublicKey
    ) {
        self.pattern = pattern
        self.role = role
        self.identity = identity
        self.ephemeral = ephemeral
        remoteStatic = remote
        symmetric = NoiseSymmetric(protocolName: pattern.protocolName)
        symmetric.mixHash(prologue)
        symmetric.mixHash(responder.bytes.bytes)
    }

    private init(copying other: borrowing NoiseHandshake) {
        symmetric = other.symmetric.copy()
        pattern = other.pattern
        role = other.role
        switch other.identity {
        case .some(let key): identity = key.copy()
        case .none: identity = nil
        }
        ephemeral = other.ephemeral.copy()
        remoteStatic = other.remoteStatic
        remoteEphemeral = other.remoteEphemeral
        step = other.step
    }

    /// Another owner of the same state: reading a forged message spoils the copy only.
    borrowing func copy() -> NoiseHandshake { NoiseHandshake(copying: self) }

    /// Whether both messages were handled, so that ``split()`` is due.
    var isComplete: Bool { step == pattern.messages.count }

    /// The next message, which must be this side's.
    mutating func write(_ payload: [UInt8]) throws(LinkError) -> [UInt8] {
        let tokens = try nextTokens(sending: true)
        var message: [UInt8] = []
        for token in tokens {
            switch token {
            case .e:
                message += ephemeral.publicKey.bytes.bytes
                symmetric.mixHash(ephemeral.publicKey.bytes.bytes)
            case .s:
                try symmetric.seal(try ownStatic().bytes.bytes, onto: &message)
            default:
                try mix(token)
            }
        }
        try symmetric.seal(payload, onto: &message)
        step += 1
        return message
    }

    /// Reads the other side's next message and returns its payload. After a failure this state is of no use.
    mutating func read(_ message: [UInt8]) throws(LinkError) -> [UInt8] {
        let tokens = try nextTokens(sending: false)
        var rest = message[...]
        for token in tokens {
            switch token {
            case .e:
                let field = try NoiseHandshake.take(32, &rest)
                remoteEphemeral = try NoiseHandshake.key(field)
                symmetric.mixHash(Array(field))
            case .s:
                let field = try NoiseHandshake.take(32 + symmetric.overhead, &rest)
                remoteStatic = try NoiseHandshake.key(try symmetric.open(field)[...])
            default:
                try mix(token)
            }
        }
        guard rest.count >= symmetric.overhead else { throw .malformed }
        let payload = try symmetric.open(rest)
        step += 1
        return payload
    }

    /// The transport keys and handshake hash.
    consuming func split() throws(LinkError) -> NoiseKeys {
        guard isComplete else { throw .outOfTurn }
        return symmetric.split()
    }

    private func nextTokens(sending: Bool) throws(LinkError) -> [NoisePattern.Token] {
        let messages = pattern.messages
        guard step < messages.count, ((step % 2 == 0) == (role == .initiator)) == sending else { throw .outOfTurn }
        return messages[step]
    }

    private func ownStatic() throws(LinkError) -> X25519PublicKey {
        switch identity {
        case .some(let key): return key.publicKey
        case .none: throw .invalidKey
        }
    }

    /// Mixes the Diffie–Hellman secret that `token` names: first letter the initiator's key, second the responder's.
    private mutating func mix(_ token: NoisePattern.Token) throws(LinkError) {
        let ownIsStatic: Bool
        let remoteIsStatic: Bool
        switch token {
        case .ee: (ownIsStatic, remoteIsStatic) = (false, false)
        case .ss: (ownIsStatic, remoteIsStatic) = (true, true)
        case .es: (ownIsStatic, remoteIsStatic) = (role == .responder, role == .initiator)
        case .se: (ownIsStatic, remoteIsStatic) = (role == .initiator, role == .responder)
        case .e, .s: return
        }
        guard let remote = remoteIsStatic ? remoteStatic : remoteEphemeral else { throw .invalidKey }
        do throws(PrimitiveError) {
            if ownIsStatic {
                switch identity {
                case .some(let key): symmetric.mixKey(try key.sharedSecret(with: remote))
                case .none: throw PrimitiveError.invalidPublicKey
                }
            } else {
                symmetric.mixKey(try ephemeral.sharedSecret(with: remote))
            }
        } catch {
            throw LinkError(error)
        }
    }

    private static func take(_ count: Int, _ rest: inout ArraySlice<UInt8>) throws(LinkError) -> ArraySlice<UInt8> {
        guard rest.count >= count else { throw .malformed }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }

    private static func key(_ bytes: ArraySlice<UInt8>) throws(LinkError) -> X25519PublicKey {
        guard let raw = Bytes32(bytes) else { throw .malformed }
        return X25519PublicKey(raw)
    }
}
