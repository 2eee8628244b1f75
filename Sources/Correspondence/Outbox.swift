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
    let body: [UInt8]
    var state = SentMessage.State.queued
    /// One bit a part: whether the recipient's home has it.
    var acceptedParts: UInt64 = 0
    var attempts = 0
    var nextAttempt: Timestamp

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

    init(number: UInt64, decoding bytes: [UInt8], now: Timestamp) throws(WireError) {
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
        body = try reader.prefixed(limit: SealedFragment.bodyLimit, field: "body")
        try reader.finish()
        nextAttempt = now
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

    /// The clock went back: everything is tried again, as after a restart.
    mutating func turnBack(to now: Timestamp) {
        for id in open.keys { open[id]?.nextAttempt = now }
    }

    init(_ now: Timestamp, _ store: borrowing some (KeyValueStore & ~Copyable)) throws(StorageError) {
        var last: UInt64 = 0
        var messages: [OutgoingMessage] = []
        try store.scan(Outbox.table, from: []) { key, value in
            guard let number = number(key) else { return true }
            last = max(last, number)
            if let message = try? OutgoingMessage(number: number, decoding: value, now: now) {
                messages.append(message)
            }
            return true
        }
        nextNumber = last &+ 1
        for message in messages {
            if message.isFinal { closed.append(message.number) } else { open[message.messageID] = message }
        }
    }

    mutating func add(
        _ messageID: Bytes16, to recipient: NetworkID, _ kind: MessageKind, _ body: [UInt8], now: Timestamp,
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let message = OutgoingMessage(
            number: nextNumber, messageID: messageID, recipient: recipient, kind: kind, created: now, body: body)
        try store.put(Outbox.table, numberKey(nextNumber), message.encode())
        nextNumber &+= 1
        open[messageID] = message
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

    /// Every message of the outbox and its recent history, oldest first; receipts are left out.
    static func messages(
        _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [SentMessage] {
        var messages: [SentMessage] = []
        try store.scan(table, from: []) { key, value in
            if let number = number(key),
                let message = try? OutgoingMessage(number: number, decoding: value, now: Timestamp(seconds: 0)),
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
