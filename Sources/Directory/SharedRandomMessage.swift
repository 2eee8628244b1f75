import Primitives
import Records
import Wire

extension SharedRandom {
    /// A signed commitment or vote. A server's key signs, under its certificate, because the cluster's key may be kept
    /// offline; so the statement needs nothing else to be checked, now or later.
    public struct Statement: Hashable, Sendable {
        public let epoch: UInt64
        /// The commitment or the value.
        public let content: Bytes32
        public let certificate: ServerCertificate
        public let signature: Signature

        public var participant: VerifyingKey { certificate.clusterID }
    }

    /// What a participant sends, and everybody passes on.
    public enum Message: Hashable, Sendable {
        case commit(Statement)
        case reveal(participant: VerifyingKey, epoch: UInt64, secret: Bytes32)
        case vote(Statement)

        package enum Kind: UInt8, Sendable {
            case commit = 1
            case reveal = 2
            case vote = 3
        }
    }
}

extension SharedRandom.Message {
    public var participant: VerifyingKey {
        switch self {
        case .commit(let statement), .vote(let statement): statement.participant
        case .reveal(let participant, _, _): participant
        }
    }

    var epoch: UInt64 {
        switch self {
        case .commit(let statement), .vote(let statement): statement.epoch
        case .reveal(_, let epoch, _): epoch
        }
    }

    /// The commitment, the secret or the value.
    var content: Bytes32 {
        switch self {
        case .commit(let statement), .vote(let statement): statement.content
        case .reveal(_, _, let secret): secret
        }
    }

    var kind: Kind {
        switch self {
        case .commit: .commit
        case .reveal: .reveal
        case .vote: .vote
        }
    }

    /// What is signed: `H("hulda/srv-sign", kind 1 ‖ epoch 8 ‖ content 32)`.
    static func digest(_ kind: Kind, _ epoch: UInt64, _ content: Bytes32) -> [UInt8] {
        var writer = Writer(capacity: 41)
        writer.uint8(kind.rawValue)
        writer.uint64(epoch)
        writer.fixed(content)
        return BLAKE2b.h(Domain("hulda/srv-sign"), writer.bytes).bytes
    }

    /// Whether the signatures fit, and the certificate held when the epoch of the exchange began: the answer is the same
    /// for ever. A reveal has no signature and is proven by the commitment.
    var isSigned: Bool {
        switch self {
        case .reveal: false
        case .commit(let statement), .vote(let statement):
            statement.certificate.serverID.isValid(
                statement.signature, for: SharedRandom.Message.digest(kind, statement.epoch, statement.content))
                && SharedRandom.isCertified(statement.certificate, for: statement.epoch)
        }
    }

    /// Kind 1 ‖ epoch 8 ‖ content 32 ‖ certificate 137 ‖ signature 64; a reveal has the participant 32 after the secret.
    public init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        try self.init(&reader)
        try reader.finish()
    }

    init(_ reader: inout Reader) throws(WireError) {
        let number = try reader.uint8()
        guard let kind = Kind(rawValue: number) else { throw .unknownKind(number) }
        let epoch = try reader.uint64()
        guard epoch > 0, epoch < SharedRandom.epochLimit else { throw .outOfRange(field: "epoch") }
        let content: Bytes32 = try reader.fixed()
        switch kind {
        case .commit: self = .commit(try SharedRandom.Statement(epoch, content, &reader))
        case .reveal:
            self = .reveal(participant: VerifyingKey(try reader.fixed()), epoch: epoch, secret: content)
        case .vote: self = .vote(try SharedRandom.Statement(epoch, content, &reader))
        }
    }

    public func encode() -> [UInt8] {
        var writer = Writer(capacity: SharedRandom.messageSize)
        writer.uint8(kind.rawValue)
        writer.uint64(epoch)
        switch self {
        case .commit(let statement), .vote(let statement):
            writer.fixed(statement.content)
            writer.append(statement.certificate.encode())
            writer.fixed(statement.signature.bytes)
        case .reveal(let participant, _, let secret):
            writer.fixed(secret)
            writer.fixed(participant.bytes)
        }
        return writer.bytes
    }
}

extension SharedRandom {
    /// The highest epoch that can be written: keeps its first second within 64 bits.
    public static let epochLimit: UInt64 = 1 << 32
    /// The size of a commitment or a vote; a reveal has 73 bytes.
    static let messageSize = 242

    /// Whether a certificate held when the epoch of an exchange began: the answer is the same for ever.
    static func isCertified(_ certificate: ServerCertificate, for epoch: UInt64) -> Bool {
        guard epoch > 0 else { return false }
        let start = Timestamp(seconds: (epoch - 1) * Timestamp.secondsPerEpoch)
        do throws(DescriptorError) { try certificate.verify(at: start) } catch { return false }
        return true
    }
}

extension SharedRandom.Statement {
    package init(_ kind: SharedRandom.Message.Kind, epoch: UInt64, content: Bytes32, by signer: CertifiedSigner) {
        self.epoch = epoch
        self.content = content
        certificate = signer.certificate
        signature = signer.sign(SharedRandom.Message.digest(kind, epoch, content))
    }

    fileprivate init(_ epoch: UInt64, _ content: Bytes32, _ reader: inout Reader) throws(WireError) {
        self.epoch = epoch
        self.content = content
        certificate = try ServerCertificate(decoding: try reader.bytes(ServerCertificate.encodedSize))
        signature = Signature(try reader.fixed())
    }
}
