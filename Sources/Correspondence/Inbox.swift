import Primitives
import Records
import Storage
import Wire

/// The messages that came, and what recognises them when they come again.
struct Inbox: Sendable {
    static let table = Table("inbox")
    static let seen = Table("seen")
    static let fragments = Table("fragments")

    /// Parts of incomplete messages of one sender.
    static let senderLimit = 256

    private var nextNumber: UInt64
    private(set) var fragmentCount: Int

    enum Outcome {
        /// Stored now.
        case stored(StoredMessage)
        /// A part of a message whose other parts are still missing.
        case partial
        /// Known already.
        case duplicate
        /// No room for more parts of incomplete messages now.
        case noRoom
        /// One sender has too many parts of incomplete messages here.
        case dropped
    }

    init(_ store: borrowing some (KeyValueStore & ~Copyable)) throws(StorageError) {
        var last: UInt64 = 0
        try store.scan(Inbox.table, from: []) { key, _ in
            last = max(last, number(key) ?? 0)
            return true
        }
        nextNumber = last &+ 1
        fragmentCount = try store.count(Inbox.fragments)
    }

    /// Whether the message is complete on this disk.
    static func isSeen(
        _ fragment: SealedFragment, _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Bool {
        try store.get(seen, prefix(fragment)) != nil
    }

    mutating func take(
        _ fragment: SealedFragment, limit: Int, now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Outcome {
        let prefix = Inbox.prefix(fragment)
        if try store.get(Inbox.seen, prefix) != nil { return .duplicate }
        var body = fragment.part
        if fragment.count > 1 {
            let key = prefix + [fragment.count, fragment.index]
            if try store.get(Inbox.fragments, key) == nil {
                guard try Inbox.count(of: fragment.sender, store) < Inbox.senderLimit else { return .dropped }
                guard fragmentCount < limit else { return .noRoom }
                try store.put(Inbox.fragments, key, numberKey(now.milliseconds) + fragment.part)
                fragmentCount += 1
            }
            guard let whole = try assemble(prefix, fragment.count, &store) else { return .partial }
            body = whole
        }
        try store.put(Inbox.seen, prefix, numberKey(now.milliseconds))
        let message = StoredMessage(
            number: nextNumber, messageID: fragment.messageID, sender: fragment.sender, sent: fragment.sent,
            received: now, body: body)
        if fragment.kind == .text {
            try store.put(Inbox.table, numberKey(nextNumber), Inbox.encode(message))
            nextNumber &+= 1
        }
        return .stored(message)
    }

    /// All parts in order, which are then deleted; `nil` while one is missing.
    private mutating func assemble(
        _ prefix: [UInt8], _ count: UInt8, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [UInt8]? {
        var body: [UInt8] = []
        for index in 0..<count {
            guard let part = try store.get(Inbox.fragments, prefix + [count, index]) else { return nil }
            body.append(contentsOf: part.dropFirst(8))
        }
        for index in 0..<count { try store.delete(Inbox.fragments, prefix + [count, index]) }
        fragmentCount -= Int(count)
        return body
    }

    private static func count(
        of sender: NetworkID, _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Int {
        let prefix = sender.key.bytes.bytes
        var count = 0
        try store.scan(fragments, from: prefix) { key, _ in
            guard key.starts(with: prefix) else { return false }
            count += 1
            return true
        }
        return count
    }

    /// Deletes parts that came before `limit`: their senders have given up.
    mutating func expire(
        before limit: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        var outdated: [[UInt8]] = []
        try store.scan(Inbox.fragments, from: []) { key, value in
            if number(Array(value.prefix(8))) ?? 0 < limit.milliseconds { outdated.append(key) }
            return true
        }
        for key in outdated { try store.delete(Inbox.fragments, key) }
        fragmentCount -= outdated.count
    }

    private static func prefix(_ fragment: SealedFragment) -> [UInt8] {
        fragment.sender.key.bytes.bytes + fragment.messageID.bytes
    }

    /// Every message, oldest first.
    static func messages(
        _ store: borrowing some (KeyValueStore & ~Copyable), from first: UInt64 = 0
    ) throws(StorageError) -> [StoredMessage] {
        var messages: [StoredMessage] = []
        try store.scan(table, from: numberKey(first)) { key, value in
            if let number = number(key), let message = try? decode(number, value) { messages.append(message) }
            return true
        }
        return messages
    }

    private static func encode(_ message: StoredMessage) -> [UInt8] {
        var writer = Writer(capacity: 80 + message.body.count)
        writer.fixed(message.messageID)
        writer.fixed(message.sender.key.bytes)
        writer.uint64(message.sent.milliseconds)
        writer.uint64(message.received.milliseconds)
        writer.append(message.body)
        return writer.bytes
    }

    private static func decode(_ number: UInt64, _ bytes: [UInt8]) throws(WireError) -> StoredMessage {
        var reader = Reader(bytes)
        return StoredMessage(
            number: number, messageID: try reader.fixed(),
            sender: NetworkID(key: VerifyingKey(try reader.fixed())),
            sent: Timestamp(milliseconds: try reader.uint64()), received: Timestamp(milliseconds: try reader.uint64()),
            body: reader.rest())
    }
}
