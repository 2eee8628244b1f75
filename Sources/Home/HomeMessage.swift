import Envelope
import Primitives
import Wire

/// What comes to a home in an envelope (specs/home.md, "Requests").
public enum HomeRequest: Hashable, Sendable {
    /// Kinds of requests, known or not, are at most this; answers lie above.
    public static let highestKind: UInt8 = 64

    /// Opens an account for an operational key; opening it again changes nothing.
    case register(Registration)
    /// The owner is there: here are reply blocks, and these items arrived.
    case attach(Attachment)
    /// A message for an account, from somebody whom the home does not know.
    case deliver(Delivery)
    /// The account gets another key, by the word of its recovery key.
    case takeOver(TakeOver)
    /// The account is over, by the word of its recovery key.
    case close(Closing)
    /// A name for the account.
    case name(Naming)

    public struct Registration: Hashable, Sendable {
        /// UTF-8 bytes of a registration token.
        public static let tokenLimit = 64

        public var key: VerifyingKey
        /// ``Account/commitment(to:)`` of the recovery key; `nil` in the first version of the request.
        public var recovery: Bytes32?
        public var token: String
        public var signature: Signature
    }

    public struct Attachment: Hashable, Sendable {
        /// Items that one attachment acknowledges.
        public static let acknowledgementLimit = 48
        /// So many fit beside three reply blocks.
        public static let acknowledgementsBesideThreeBlocks = 6

        public var account: Bytes16
        /// Grows with each attachment, so that none can be replayed.
        public var counter: UInt64
        /// Whether the owner has just come back, so that what was sent before may be lost.
        public var isReturning: Bool
        /// The numbers of items that are safe on the owner's disk.
        public var acknowledged: [UInt64]
        public var signature: Signature
    }

    public struct Delivery: Hashable, Sendable {
        /// The longest sealed message beside one reply block, in bytes.
        public static let blobLimit = ServiceRequest.bodyLimit(replyBlocks: 1) - overhead
        /// Kind, account, message ID, length.
        private static let overhead = 1 + 16 + 16 + 2

        public var account: Bytes16
        public var messageID: Bytes16
        /// Sealed to the account's owner; the home cannot read it.
        public var blob: [UInt8]

        public init(account: Bytes16, messageID: Bytes16, blob: [UInt8]) {
            self.account = account
            self.messageID = messageID
            self.blob = blob
        }
    }

    /// A registration signed by the account's key.
    /// - Parameter recovery: the commitment to the recovery key.
    public static func register(
        home: Bytes32, token: String, recovery: Bytes32? = nil, key: borrowing SigningKey
    ) -> HomeRequest {
        let message = Registration.message(home: home, key: key.publicKey, recovery: recovery, token: token)
        return .register(
            Registration(key: key.publicKey, recovery: recovery, token: token, signature: key.sign(message)))
    }

    /// An attachment signed by the account's key, bound to the reply blocks that travel with it.
    /// - Parameter account: `nil` for the one that `key` opened.
    public static func attach(
        home: Bytes32, account: Bytes16? = nil, counter: UInt64, isReturning: Bool, acknowledged: [UInt64],
        blocks: [UInt8], key: borrowing SigningKey
    ) -> HomeRequest {
        let account = account ?? Account.id(of: key.publicKey)
        let signature = key.sign(
            Attachment.message(
                home: home, account: account, counter: counter, isReturning: isReturning, acknowledged: acknowledged,
                blocks: blocks))
        return .attach(
            Attachment(
                account: account, counter: counter, isReturning: isReturning, acknowledged: acknowledged,
                signature: signature))
    }

    public init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        let kind = try reader.uint8()
        switch kind {
        case 1, 4:
            self = .register(
                Registration(
                    key: VerifyingKey(try reader.fixed()),
                    recovery: kind == 4 ? try reader.fixed() : nil,
                    token: try reader.string(limit: Registration.tokenLimit, field: "token"),
                    signature: Signature(try reader.fixed())))
        case 2:
            let account: Bytes16 = try reader.fixed()
            let counter = try reader.uint64()
            let flags = try reader.uint8()
            guard flags <= 1 else { throw .outOfRange(field: "flags") }
            let count = Int(try reader.uint8())
            guard count <= Attachment.acknowledgementLimit else { throw .outOfRange(field: "acknowledged") }
            var acknowledged: [UInt64] = []
            for _ in 0..<count { acknowledged.append(try reader.uint64()) }
            self = .attach(
                Attachment(
                    account: account, counter: counter, isReturning: flags == 1, acknowledged: acknowledged,
                    signature: Signature(try reader.fixed())))
        case 3:
            self = .deliver(
                Delivery(
                    account: try reader.fixed(), messageID: try reader.fixed(),
                    blob: try reader.prefixed(limit: Delivery.blobLimit, field: "blob")))
        case 5: self = .takeOver(try TakeOver(&reader))
        case 6: self = .close(try Closing(&reader))
        case 7: self = .name(try Naming(&reader))
        default: throw .unknownKind(kind)
        }
        try reader.finish()
    }

    public func encode() -> [UInt8] {
        var writer = Writer(capacity: 256)
        switch self {
        case .register(let registration):
            writer.uint8(registration.recovery == nil ? 1 : 4)
            writer.fixed(registration.key.bytes)
            if let recovery = registration.recovery { writer.fixed(recovery) }
            writer.string(registration.token)
            writer.fixed(registration.signature.bytes)
        case .attach(let attachment):
            writer.uint8(2)
            writer.fixed(attachment.account)
            writer.uint64(attachment.counter)
            writer.uint8(attachment.isReturning ? 1 : 0)
            writer.uint8(UInt8(truncatingIfNeeded: attachment.acknowledged.count))
            for item in attachment.acknowledged { writer.uint64(item) }
            writer.fixed(attachment.signature.bytes)
        case .deliver(let delivery):
            writer.uint8(3)
            writer.fixed(delivery.account)
            writer.fixed(delivery.messageID)
            writer.prefixed(delivery.blob)
        case .takeOver(let takeOver):
            writer.uint8(5)
            takeOver.encode(&writer)
        case .close(let closing):
            writer.uint8(6)
            closing.encode(&writer)
        case .name(let naming):
            writer.uint8(7)
            naming.encode(&writer)
        }
        return writer.bytes
    }
}

extension HomeRequest.Registration {
    static func message(home: Bytes32, key: VerifyingKey, recovery: Bytes32?, token: String) -> [UInt8] {
        var writer = Writer()
        writer.fixed(home)
        writer.fixed(key.bytes)
        if let recovery { writer.fixed(recovery) }
        writer.string(token)
        return BLAKE2b.h(Domain(recovery == nil ? "hulda/home-reg" : "hulda/home-opn"), writer.bytes).bytes
    }
}

extension HomeRequest.Attachment {
    static func message(
        home: Bytes32, account: Bytes16, counter: UInt64, isReturning: Bool, acknowledged: [UInt64], blocks: [UInt8]
    ) -> [UInt8] {
        var writer = Writer()
        writer.fixed(home)
        writer.fixed(account)
        writer.uint64(counter)
        writer.uint8(isReturning ? 1 : 0)
        writer.uint16(UInt16(truncatingIfNeeded: acknowledged.count))
        for item in acknowledged { writer.uint64(item) }
        writer.fixed(BLAKE2b.h(Domain("hulda/home-blk"), blocks))
        return BLAKE2b.h(Domain("hulda/home-att"), writer.bytes).bytes
    }
}

/// What a home answers through a reply block (specs/home.md, "Answers").
public enum HomeAnswer: Hashable, Sendable {
    /// The account stands.
    case registered(account: Bytes16)
    /// The attachment counts; so many items wait and so many reply blocks are in stock.
    case attached(pending: UInt32, blocks: UInt8)
    /// A message from the inbox; it comes again until it is acknowledged.
    case item(Item)
    /// The message is on the home's disk.
    case accepted(messageID: Bytes16)
    /// The account has the new key; of which serial.
    case takenOver(serial: UInt64)
    /// There is no such account any more.
    case closed(account: Bytes16)
    /// The account has the name; this record, signed for the epoch asked for, says so to the directory.
    case named(label: Bytes32, record: [UInt8])
    /// The account has the name no more; this record, signed for the epoch asked for, says so to the directory. Empty when
    /// the account did not have it.
    case released(label: Bytes32, record: [UInt8])
    /// The home did not take it.
    case refused(Refusal)

    public struct Item: Hashable, Sendable {
        /// Its number in this inbox.
        public var number: UInt64
        /// Items that wait, this one included.
        public var pending: UInt32
        public var messageID: Bytes16
        public var blob: [UInt8]
    }

    public enum Refusal: UInt8, CaseIterable, Sendable, Error {
        /// A request of a known kind that does not have its layout.
        case malformed = 1
        case unknownAccount = 2
        case wrongSignature = 3
        /// An attachment that was seen before or is too old.
        case replayed = 4
        case inboxFull = 5
        /// The server itself has no room.
        case serverFull = 6
        case wrongToken = 7
        /// The account has another key or another recovery commitment by now, or is closed.
        case superseded = 8
        /// An account is closed only when nothing waits in it, unless its owner says otherwise.
        case notEmpty = 9
        /// Not the recovery key that was committed to.
        case wrongRecovery = 10
        /// Another account has the name.
        case nameTaken = 11
        /// The home gives no names, or this account no more.
        case noMoreNames = 12
        /// Names are signed for the present epoch and, near its end, for the next.
        case wrongEpoch = 13
        /// A request (1 to ``HomeRequest/highestKind``) that this home does not know.
        case unsupported = 14
    }

    public init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        let kind = try reader.uint8()
        switch kind {
        case 65: self = .registered(account: try reader.fixed())
        case 66: self = .attached(pending: try reader.uint32(), blocks: try reader.uint8())
        case 67:
            self = .item(
                Item(
                    number: try reader.uint64(), pending: try reader.uint32(), messageID: try reader.fixed(),
                    blob: try reader.prefixed(limit: HomeRequest.Delivery.blobLimit, field: "blob")))
        case 68: self = .accepted(messageID: try reader.fixed())
        case 69:
            guard let refusal = Refusal(rawValue: try reader.uint8()) else { throw .outOfRange(field: "refusal") }
            self = .refused(refusal)
        case 70: self = .takenOver(serial: try reader.uint64())
        case 71: self = .closed(account: try reader.fixed())
        case 72:
            self = .named(
                label: try reader.fixed(), record: try reader.prefixed(limit: Limits.recordSize, field: "record"))
        case 73:
            self = .released(
                label: try reader.fixed(), record: try reader.prefixed(limit: Limits.recordSize, field: "record"))
        default: throw .unknownKind(kind)
        }
        try reader.finish()
    }

    public func encode() -> [UInt8] {
        var writer = Writer()
        switch self {
        case .registered(let account):
            writer.uint8(65)
            writer.fixed(account)
        case .attached(let pending, let blocks):
            writer.uint8(66)
            writer.uint32(pending)
            writer.uint8(blocks)
        case .item(let item):
            writer.uint8(67)
            writer.uint64(item.number)
            writer.uint32(item.pending)
            writer.fixed(item.messageID)
            writer.prefixed(item.blob)
        case .accepted(let messageID):
            writer.uint8(68)
            writer.fixed(messageID)
        case .refused(let refusal):
            writer.uint8(69)
            writer.uint8(refusal.rawValue)
        case .takenOver(let serial):
            writer.uint8(70)
            writer.uint64(serial)
        case .closed(let account):
            writer.uint8(71)
            writer.fixed(account)
        case .named(let label, let record):
            writer.uint8(72)
            writer.fixed(label)
            writer.prefixed(record)
        case .released(let label, let record):
            writer.uint8(73)
            writer.fixed(label)
            writer.prefixed(record)
        }
        return writer.bytes
    }
}
