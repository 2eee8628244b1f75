import Primitives
import Wire

extension SharedRandom.Message {
    public var participant: VerifyingKey {
        switch self {
        case .commit(let participant, _, _, _), .reveal(let participant, _, _), .vote(let participant, _, _, _):
            participant
        }
    }

    var epoch: UInt64 {
        switch self {
        case .commit(_, let epoch, _, _), .reveal(_, let epoch, _), .vote(_, let epoch, _, _): epoch
        }
    }

    /// The commitment, the secret or the value.
    var content: Bytes32 {
        switch self {
        case .commit(_, _, let content, _), .reveal(_, _, let content), .vote(_, _, let content, _): content
        }
    }

    private var kind: UInt8 {
        switch self {
        case .commit: 1
        case .reveal: 2
        case .vote: 3
        }
    }

    private var signature: Signature? {
        switch self {
        case .commit(_, _, _, let signature), .vote(_, _, _, let signature): signature
        case .reveal: nil
        }
    }

    /// What is signed: `H("hulda/srv-sign", kind 1 ‖ epoch 8 ‖ content 32)`.
    static func digest(_ kind: UInt8, _ epoch: UInt64, _ content: Bytes32) -> [UInt8] {
        var writer = Writer(capacity: 41)
        writer.uint8(kind)
        writer.uint64(epoch)
        writer.fixed(content)
        return BLAKE2b.h(Domain("hulda/srv-sign"), writer.bytes).bytes
    }

    /// Whether the participant's signature fits; a reveal has none and is proven by the commitment.
    var isSigned: Bool {
        signature.map { participant.isValid($0, for: SharedRandom.Message.digest(kind, epoch, content)) } ?? false
    }

    /// Kind 1 ‖ participant 32 ‖ epoch 8 ‖ content 32 ‖ signature 64, which a reveal has not.
    public init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        let kind = try reader.uint8()
        let participant = VerifyingKey(try reader.fixed())
        let epoch = try reader.uint64()
        let content: Bytes32 = try reader.fixed()
        switch kind {
        case 1:
            let signature = Signature(try reader.fixed())
            self = .commit(participant: participant, epoch: epoch, commitment: content, signature: signature)
        case 2: self = .reveal(participant: participant, epoch: epoch, secret: content)
        case 3:
            let signature = Signature(try reader.fixed())
            self = .vote(participant: participant, epoch: epoch, value: content, signature: signature)
        default: throw .unknownKind(kind)
        }
        try reader.finish()
    }

    public func encode() -> [UInt8] {
        var writer = Writer(capacity: 137)
        writer.uint8(kind)
        writer.fixed(participant.bytes)
        writer.uint64(epoch)
        writer.fixed(content)
        if let signature { writer.fixed(signature.bytes) }
        return writer.bytes
    }
}
