import Primitives
import Records
import Storage
import Wire

/// A message on its way out.
struct OutgoingMessage: Sendable {
    let number: UInt64
    let messageID: Bytes16
    let recipient: NetworkID
    let kind: MessageKind
    let created: Timestamp
    private(set) var body: [UInt8]
    var state = SentMessage.State.queued
    /// One bit a part: whether the recipient's home has it.
    var acceptedParts: UInt64 = 0
    /// Times that it was sent, or could not be; on disk, so that the next run does not take it for a new one.
    var attempts: UInt32 = 0
    /// On disk for an accepted message, which the next run must not send again before its time.
    var nextAttempt: Timestamp
    /// Attempts of this run, which waits as if they were the first.
    var tries = 0
    /// Whether it was written in this run.
    var isNew = false
    /// Whether it waits because the recipient's home had no room for another message.
    var isPutOff = false

    /// After so many attempts a message waits behind all others.
    static let freshAttempts: UInt32 = 3

    /// Which turn the message gets.
    var urgency: PartQueue.Urgency {
        guard state == .queued, attempts < OutgoingMessage.freshAttempts else { return .repetition }
        return kind == .receipt ? .receipt : .fresh
    }

    var partCount: Int { SealedFragment.split(body).count }

    var isFullyAccepted: Bool { acceptedParts.nonzeroBitCount >= partCount }

    var openParts: [UInt8] {
        (0..<UInt8(clamping: partCount)).filter { acceptedParts & 1 << UInt64($0) == 0 }
    }

    var isFinal: Bool {
        switch state {
        case .queued, .accepted: false
        case .delivered, .expired: true
        }
    }

    func encode() -> [UInt8] {
        var writer = Writer(capacity: 96 + body.count)
        writer.fixed(messageID)
        writer.fixed(recipient.key.bytes)
        writer.uint8(kind.rawValue)
        writer.uint64(created.milliseconds)
        writer.uint8(state.rawValue)
        writer.uint64(acceptedParts)
        writer.uint32(attempts)
        writer.uint64(nextAttempt.milliseconds)
        writer.prefixed(body)
        return writer.bytes
    }

    init(
        number: UInt64, messageID: Bytes16, recipient: NetworkID, kind: MessageKind, created: Timestamp, body: [UInt8]
    ) {
        self.number = number
        self.messageID = messageID
        self.recipient = recipient
        self.kind = kind
        self.created = created
        self.body = body
        nextAttempt = created
    }

    /// Takes another message into a receipt that was not sent yet.
    /// - Returns: whether there was room.
    mutating func acknowledge(_ messageID: Bytes16) -> Bool {
        guard kind == .receipt, attempts == 0, body.count < Receipt.limit * Bytes16.count else { return false }
        body += messageID.bytes
        return true
    }

    /// - Parameter receiptRetry: what an accepted message waits for at most, whatever its row says.
    init(number: UInt64, decoding bytes: [UInt8], now: Timestamp, receiptRetry: UInt64) throws(WireError) {
        var reader = Reader(bytes)
        self.number = number
        messageID = try reader.fixed()
        recipient = NetworkID(key: VerifyingKey(try reader.fixed()))
        guard let kind = MessageKind(rawValue: try reader.uint8()) else { throw .outOfRange(field: "kind") }
        self.kind = kind
        created = Timestamp(milliseconds: try reader.uint64())
        guard let state = SentMessage.State(rawValue: try reader.uint8()) else { throw .outOfRange(field: "state") }
        self.state = state
        acceptedParts = try reader.uint64()
        attempts = try reader.uint32()
        let next = Timestamp(milliseconds: try reader.uint64())
        body = try reader.prefixed(limit: SealedFragment.bodyLimit, field: "body")
        try reader.finish()
        nextAttempt = state == .accepted ? min(next, now.adding(milliseconds: receiptRetry)) : now
    }
}

/// What a receipt says: the IDs of messages that are safe on its sender's disk (specs/correspondence.md, "Outbox").
enum Receipt {
    /// IDs in one receipt, which is a message of one part.
    static let limit = 64

    /// The IDs in a receipt's body; `nil` for a body that is none.
    static func messages(_ body: [UInt8]) -> [Bytes16]? {
        guard !body.isEmpty, body.count % Bytes16.count == 0, body.count <= limit * Bytes16.count else { return nil }
        return stride(from: 0, to: body.count, by: Bytes16.count).compactMap {
            Bytes16(body[$0..<$0 + Bytes16.count])
        }
    }
}

/// The messages that are not delivered yet, in memory and on disk.
struct Outbox: Sendable {
    static let table = Table("outbox")
    /// Delivered messages kept for the record.
    static let historyLimit = 1000

    private(set) var open: [Bytes16: OutgoingMessage] = [:]
    private var nextNumber: UInt64 = 1
    private var closed: [UInt64] = []

    /// The clock went back: what is queued is tried again, as after a restart; what is accepted waits no longer than it
    /// would from now on.
    mutating func turnBack(to now: Timestamp, receiptRetry: UInt64) {
        for (id, message) in open {
            let latest = message.state == .accepted ? now.adding(milliseconds: receiptRetry) : now
            open[id]?.nextAttempt = min(message.nextAttempt, latest)
        }
    }

    init(
        _ now: Timestamp, receiptRetry: UInt64, _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        var last: UInt64 = 0
        var messages: [OutgoingMessage] = []
        try store.scan(Outbox.table, from: []) { key, value in
            guard let number = number(key) else { return true }
            last = max(last, number)
            let message = try? OutgoingMessage(
                number: number, decoding: value, now: now, receiptRetry: receiptRetry)
            if let message { messages.append(message) }
            return true
        }
        nextNumber = last &+ 1
        for message in messages {
            if message.isFinal { closed.append(message.number) } else { open[message.messageID] = message }
        }
    }

    mutating func add(
        _ messageID: Bytes16, to recipient: NetworkID, _ kind: MessageKind, _ body: [UInt8], now: Timestamp,
        after wait: UInt64 = 0, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        var message = OutgoingMessage(
            number: nextNumber, messageID: messageID, recipient: recipient, kind: kind, created: now, body: body)
        message.nextAttempt = now.adding(milliseconds: wait)
        message.isNew = true
        try store.put(Outbox.table, numberKey(nextNumber), message.encode())
        nextNumber &+= 1
        open[messageID] = message
    }

    /// Lets a receipt that was not sent yet speak for another message too.
    /// - Returns: whether there was room.
    mutating func acknowledge(
        _ messageID: Bytes16, in receipt: Bytes16, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Bool {
        guard var message = open[receipt], message.acknowledge(messageID) else { return false }
        open[receipt] = message
        try store.put(Outbox.table, numberKey(message.number), message.encode())
        return true
    }

    /// Changes a message in memory only: what a restart may forget.
    mutating func touch(_ messageID: Bytes16, _ change: (inout OutgoingMessage) -> Void) {
        guard var message = open[messageID] else { return }
        change(&message)
        open[messageID] = message
    }

    /// Changes a message on disk too. Receipts are deleted when the home has them.
    mutating func update(
        _ messageID: Bytes16, _ store: inout some (KeyValueStore & ~Copyable),
        _ change: (inout OutgoingMessage) -> Void
    ) throws(StorageError) {
        guard var message = open[messageID] else { return }
        change(&message)
        let isDone = message.isFinal || (message.kind == .receipt && message.state != .queued)
        if message.kind == .receipt, isDone {
            try store.delete(Outbox.table, numberKey(message.number))
        } else {
            try store.put(Outbox.table, numberKey(message.number), message.encode())
            if isDone { closed.append(message.number) }
        }
        open[messageID] = isDone ? nil : message
        while closed.count > Outbox.historyLimit {
            try store.delete(Outbox.table, numberKey(closed.removeFirst()))
        }
    }

    /// What is due, in the order in which it gets its turn.
    func due(_ now: Timestamp) -> [OutgoingMessage] {
        open.values.filter { $0.nextAttempt <= now }.sorted {
            // What waits for its first tries goes in the order in which it was written, repetitions as they came due.
            if $0.urgency != $1.urgency { return $0.urgency < $1.urgency }
            // What the user writes now goes before what earlier runs left.
            if $0.isNew != $1.isNew { return $0.isNew }
            if $0.urgency == .repetition, $0.nextAttempt != $1.nextAttempt { return $0.nextAttempt < $1.nextAttempt }
            return $0.number < $1.number
        }
    }

    /// A run waits for so many messages that earlier ones left queued; for none when there are more.
    private static let awaitedRest = 16

    /// Whether a run may end: what was written in it is with the recipients' homes, and what earlier runs left as well,
    /// or it was tried often and once more now, or is too much to wait for.
    var isSettled: Bool {
        let queued = open.values.filter { $0.state == .queued }
        guard !queued.contains(where: { $0.isNew && $0.urgency != .repetition }) else { return false }
        return queued.count > Outbox.awaitedRest || queued.allSatisfy { $0.urgency == .repetition && $0.tries > 0 }
    }

    /// The recipient's home has no room: all that waits for it is put off, so that one message a time asks.
    mutating func putOff(to recipient: NetworkID, until time: Timestamp) {
        for (id, message) in open where message.recipient == recipient && message.state == .queued {
            guard message.nextAttempt < time else { continue }
            open[id]?.nextAttempt = time
            open[id]?.isPutOff = true
        }
    }

    /// The recipient's home takes messages again.
    mutating func resume(to recipient: NetworkID, at now: Timestamp) {
        for (id, message) in open where message.recipient == recipient && message.isPutOff {
            open[id]?.nextAttempt = min(message.nextAttempt, now)
            open[id]?.isPutOff = false
        }
    }

    /// Every message of the outbox and its recent history, oldest first; receipts are left out.
    static func messages(
        _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [SentMessage] {
        var messages: [SentMessage] = []
        try store.scan(table, from: []) { key, value in
            if let number = number(key),
                let message = try? OutgoingMessage(
                    number: number, decoding: value, now: Timestamp(seconds: 0), receiptRetry: 0),
                message.kind != .receipt
            {
                messages.append(
                    SentMessage(
                        messageID: message.messageID, recipient: message.recipient, created: message.created,
                        state: message.state, body: message.body))
            }
            return true
        }
        return messages
    }
}

/// A number as a key: big-endian, so that entries are in order.
func numberKey(_ number: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: number >> UInt64(56 - 8 * $0)) } }

func number(_ key: [UInt8]) -> UInt64? { key.count == 8 ? key.reduce(0) { $0 << 8 | UInt64($1) } : nil }
