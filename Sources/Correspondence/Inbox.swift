import Primitives
import Records
import Storage
import Wire

/// The messages that came, and what recognises them when they come again.
struct Inbox: Sendable {
    static let table = Table("inbox")
    static let seen = Table("seen")
    static let fragments = Table("fragments")
    /// The number of the next message, when that does not follow from those that are there.
    static let numbers = Table("inbox-numbers")
    private static let nextKey = Array("next".utf8)

    /// Parts of incomplete messages of one sender.
    static let senderLimit = 256
    /// What a row takes beside its value, about: keys, and the encryption on disk.
    static let rowSize = 128
    /// Senders' clocks may differ by this much, in milliseconds: who is further off finds nobody's record.
    static let clockSkew: UInt64 = 2 * 86_400_000

    private var nextNumber: UInt64
    private(set) var fragmentCount: Int
    /// Of complete messages, and of the rows by which they are recognised.
    private(set) var size = 0

    enum Outcome {
        /// Stored now.
        case stored(StoredMessage)
        /// A part of a message whose other parts are still missing.
        case partial
        /// Known already.
        case duplicate
        /// No room for more messages, or parts of incomplete ones, now.
        case noRoom
        /// One sender has too many parts of incomplete messages here, or the message is of another time.
        case dropped
    }

    init(_ store: borrowing some (KeyValueStore & ~Copyable)) throws(StorageError) {
        let next = try store.get(Inbox.numbers, Inbox.nextKey).flatMap(number) ?? 1
        var last = next &- 1
        var size = Inbox.rowSize * (try store.count(Inbox.seen))
        try store.scan(Inbox.table, from: []) { key, value in
            last = max(last, number(key) ?? 0)
            size += Inbox.rowSize + value.count
            return true
        }
        nextNumber = last &+ 1
        fragmentCount = try store.count(Inbox.fragments)
        self.size = size
    }

    /// Whether the message is complete on this disk.
    static func isSeen(
        _ fragment: SealedFragment, _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Bool {
        try store.get(seen, prefix(fragment)) != nil
    }

    mutating func take(
        _ fragment: SealedFragment, _ configuration: AgentConfiguration, now: Timestamp,
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Outcome {
        let age = configuration.messageLifetime + Inbox.clockSkew
        guard now.milliseconds(since: fragment.sent) <= age,
            fragment.sent.milliseconds(since: now) <= Inbox.clockSkew
        else { return .dropped }
        let prefix = Inbox.prefix(fragment)
        if try store.get(Inbox.seen, prefix) != nil { return .duplicate }
        if fragment.kind == .text, size >= configuration.inboxLimit { return .noRoom }
        var body = fragment.part
        if fragment.count > 1 {
            let key = Inbox.partKey(fragment, fragment.index)
            if try store.get(Inbox.fragments, key) == nil {
                guard try Inbox.count(of: fragment.sender, store) < Inbox.senderLimit else { return .dropped }
                guard fragmentCount < configuration.fragmentLimit else { return .noRoom }
                try store.put(Inbox.fragments, key, numberKey(now.milliseconds) + fragment.part)
                fragmentCount += 1
            }
            guard let whole = try assemble(fragment, &store) else { return .partial }
            body = whole
        }
        let message = StoredMessage(
            number: nextNumber, messageID: fragment.messageID, sender: fragment.sender, sent: fragment.sent,
            received: now, body: body)
        if fragment.kind == .text {
            // A receipt that comes again finds nothing to change.
            try store.put(Inbox.seen, prefix, numberKey(fragment.sent.milliseconds))
            let bytes = Inbox.encode(message)
            try store.put(Inbox.table, numberKey(nextNumber), bytes)
            nextNumber &+= 1
            size += 2 * Inbox.rowSize + bytes.count
        }
        return .stored(message)
    }

    /// All parts in order, which are then deleted; `nil` while one is missing.
    private mutating func assemble(
        _ fragment: SealedFragment, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [UInt8]? {
        var body: [UInt8] = []
        for index in 0..<fragment.count {
            guard let part = try store.get(Inbox.fragments, Inbox.partKey(fragment, index)) else { return nil }
            body.append(contentsOf: part.dropFirst(8))
        }
        for index in 0..<fragment.count { try store.delete(Inbox.fragments, Inbox.partKey(fragment, index)) }
        fragmentCount -= Int(fragment.count)
        return body
    }

    /// Parts that differ in number or time are not of one message.
    private static func partKey(_ fragment: SealedFragment, _ index: UInt8) -> [UInt8] {
        prefix(fragment) + [fragment.count] + numberKey(fragment.sent.milliseconds) + [index]
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

    /// Deletes parts whose senders have given up, and what recognises messages that would be too old to be taken again.
    mutating func expire(
        _ configuration: AgentConfiguration, now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let lifetime = configuration.messageLifetime
        let parts = try Inbox.delete(Inbox.fragments, olderThan: lifetime, now, &store)
        let messages = try Inbox.delete(Inbox.seen, olderThan: lifetime + Inbox.clockSkew, now, &store)
        fragmentCount -= parts
        size -= messages * Inbox.rowSize
    }

    /// Deletes rows whose value begins with a time that is longer ago than `age`, in milliseconds.
    private static func delete(
        _ table: Table, olderThan age: UInt64, _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Int {
        var outdated: [[UInt8]] = []
        try store.scan(table, from: []) { key, value in
            let time = Timestamp(milliseconds: number(Array(value.prefix(8))) ?? 0)
            if now.milliseconds(since: time) > age { outdated.append(key) }
            return true
        }
        for key in outdated { try store.delete(table, key) }
        return outdated.count
    }

    /// Deletes messages; they are still recognised when they come again.
    /// - Returns: how many there were.
    mutating func delete(
        _ selection: InboxSelection, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Int {
        let selected = try Inbox.messages(store).filter(selection.contains)
        // Numbers are not given twice, even when the last message is deleted: what was read is known by them.
        if !selected.isEmpty { try store.put(Inbox.numbers, Inbox.nextKey, numberKey(nextNumber)) }
        for message in selected {
            try store.delete(Inbox.table, numberKey(message.number))
            size -= Inbox.rowSize + Inbox.encode(message).count
        }
        return selected.count
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
