import Primitives
import Records

/// Parts of messages that wait for their turn in the Poisson process (specs/correspondence.md, "Outbox").
///
/// What is new goes before receipts, and both before what is sent once more. A message gets in only while its lane has
/// room; until then it stays due in the ``Outbox``, so nothing is dropped here, however much is undelivered.
struct PartQueue: Sendable {
    /// In the order of turns.
    enum Urgency: Int, CaseIterable, Comparable, Sendable {
        case fresh
        case receipt
        case repetition

        static func < (left: Urgency, right: Urgency) -> Bool { left.rawValue < right.rawValue }
    }

    struct Part: Sendable {
        let message: Bytes16
        let fragment: UInt8
        let recipient: NetworkID
    }

    /// Parts in one lane beyond which no further message gets in.
    static let limit = 64
    /// Parts in one lane beyond which no further message to the same recipient gets in, so that one to another need not wait
    /// for a hundred.
    static let recipientLimit = 8
    /// One turn in so many is a repetition's while anything else waits.
    private static let repetitionTurn = 8

    private var lanes: [[Part]] = Urgency.allCases.map { _ in [] }
    /// Parts that wait in each lane, by recipient.
    private var recipients: [[NetworkID: Int]] = Urgency.allCases.map { _ in [:] }
    /// Parts that wait, by message.
    private var waiting: [Bytes16: Int] = [:]
    private var turns = 0

    var count: Int { lanes.reduce(0) { $0 + $1.count } }

    func hasRoom(_ urgency: Urgency, for recipient: NetworkID) -> Bool {
        lanes[urgency.rawValue].count < PartQueue.limit
            && recipients[urgency.rawValue][recipient, default: 0] < PartQueue.recipientLimit
    }

    func holds(_ message: Bytes16) -> Bool { waiting[message] != nil }

    mutating func add(_ fragments: [UInt8], of message: Bytes16, to recipient: NetworkID, _ urgency: Urgency) {
        guard !fragments.isEmpty else { return }
        lanes[urgency.rawValue] += fragments.map { Part(message: message, fragment: $0, recipient: recipient) }
        waiting[message, default: 0] += fragments.count
        recipients[urgency.rawValue][recipient, default: 0] += fragments.count
    }

    /// Whether a part goes now, or one of the requests that wait: they take turns, so that a long letter does not keep an
    /// agent from its home, nor a full inbox its receipts from going out.
    /// - Returns: `nil` when it is a request's turn, or nothing waits.
    mutating func next(requestsWait: Bool) -> Part? {
        turns &+= 1
        if turns % PartQueue.repetitionTurn == 0, let part = take(.repetition) { return part }
        if requestsWait, turns % 2 == 0 { return nil }
        if let part = take(.fresh) ?? take(.receipt) { return part }
        return requestsWait ? nil : take(.repetition)
    }

    private mutating func take(_ urgency: Urgency) -> Part? {
        guard !lanes[urgency.rawValue].isEmpty else { return nil }
        let part = lanes[urgency.rawValue].removeFirst()
        let left = waiting[part.message, default: 1] - 1
        waiting[part.message] = left > 0 ? left : nil
        let others = recipients[urgency.rawValue][part.recipient, default: 1] - 1
        recipients[urgency.rawValue][part.recipient] = others > 0 ? others : nil
        return part
    }
}
