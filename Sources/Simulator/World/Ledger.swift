import Primitives
import Records
import Wire

/// An invariant that did not hold.
public struct Violation: Equatable, Sendable, CustomStringConvertible {
    public enum Invariant: String, Sendable, CaseIterable {
        /// A message that its sender was told is queued, accepted or delivered is not where that says.
        case messageLost = "message lost"
        /// A user saw a message twice, or has it twice.
        case messageTwice = "message shown twice"
        /// A relay took an envelope that it had taken before.
        case replayAccepted = "replay accepted"
        /// A holder does not have the record that it acknowledged, nor a later one.
        case recordLost = "record lost"
        /// A holder served a lower sequence than it had acknowledged, or a lookup ended with a lower one than enough holders
        /// had acknowledged when it began.
        case recordOutdated = "lower sequence served"
        /// A queue or a table is longer than its bound.
        case boundExceeded = "bound exceeded"
        /// There is evidence that an honest server or cluster contradicted itself.
        case honestAccused = "honest server accused"
    }

    public let invariant: Invariant
    /// Milliseconds since the beginning of the run.
    public let time: UInt64
    public let detail: String

    public var description: String { "\(invariant.rawValue) after \(time) ms: \(detail)" }
}

/// How often the rule about lower sequences was put to the test: a run in which it could not fail says nothing.
public struct Exercise: Equatable, Sendable {
    /// Records served by servers that had acknowledged an older one before.
    public var servedInPlace = 0
    /// Lookups of which was known what they must find at least.
    public var lookups = 0
    /// Of those, with something lower acknowledged somewhere.
    public var lookupsWithOlder = 0

    static func += (sum: inout Exercise, more: Exercise) {
        sum.servedInPlace += more.servedInPlace
        sum.lookups += more.lookups
        sum.lookupsWithOlder += more.lookupsWithOlder
    }
}

/// What the world saw from outside: what was acknowledged to whom, shown, served and taken.
struct Ledger {
    static let violationLimit = 100

    struct Sent {
        let sender: Int
        let recipient: Int
        var isAccepted = false
        var isDelivered = false
    }

    /// Messages of which their senders were told that they are queued, by ID.
    private(set) var sent: [Bytes16: Sent] = [:]
    /// How often each message was shown to a user.
    private var shown: [Pair<Bytes16>: Int] = [:]
    private var tags: Set<Pair<Bytes16>> = []
    /// What a holder acknowledged of a key.
    struct Acknowledged {
        var highest: UInt64
        var lowest: UInt64
        /// The latest.
        var expiry: UInt64
    }

    private(set) var acknowledged: [Pair<VerifyingKey>: Acknowledged] = [:]
    /// The lowest sequence that anybody acknowledged.
    private var lowest: [VerifyingKey: UInt64] = [:]
    private(set) var violations: [Violation] = []
    private(set) var shownCount = 0
    private(set) var exercise = Exercise()

    struct Pair<Value: Hashable>: Hashable {
        let place: Int
        let value: Value
    }

    mutating func violate(_ invariant: Violation.Invariant, at time: UInt64, _ detail: String) {
        guard violations.count < Ledger.violationLimit else { return }
        violations.append(Violation(invariant: invariant, time: time, detail: detail))
    }

    // MARK: Messages

    mutating func queued(_ message: Bytes16, from sender: Int, to recipient: Int) {
        sent[message] = Sent(sender: sender, recipient: recipient)
    }

    mutating func accepted(_ message: Bytes16) { sent[message]?.isAccepted = true }

    mutating func delivered(_ message: Bytes16) { sent[message]?.isDelivered = true }

    mutating func shown(_ message: Bytes16, to agent: Int, at time: UInt64) {
        let times = (shown[Pair(place: agent, value: message)] ?? 0) + 1
        shown[Pair(place: agent, value: message)] = times
        shownCount += 1
        if times > 1 { violate(.messageTwice, at: time, "agent \(agent) was shown \(message.hex) \(times) times") }
    }

    // MARK: Envelopes

    /// A relay has an envelope's tag on disk and passes the envelope on.
    mutating func took(_ tag: Bytes16, server: Int, at time: UInt64) {
        guard !tags.insert(Pair(place: server, value: tag)).inserted else { return }
        violate(.replayAccepted, at: time, "server \(server) took the envelope with tag \(tag.hex) again")
    }

    // MARK: Records

    /// A server has told that it holds a record.
    mutating func acknowledged(_ record: DirectoryRecord, by server: Int) {
        let (sequence, key) = (record.sequence, record.blindedKey)
        let known = acknowledged[Pair(place: server, value: key)]
        acknowledged[Pair(place: server, value: key)] = Acknowledged(
            highest: max(known?.highest ?? 0, sequence), lowest: min(known?.lowest ?? .max, sequence),
            expiry: max(known?.expiry ?? 0, record.expiry))
        lowest[key] = min(lowest[key] ?? .max, sequence)
    }

    /// The highest sequence that each of so many servers acknowledged.
    func acknowledgements(of key: VerifyingKey, among servers: Int) -> [Int: UInt64] {
        var known: [Int: UInt64] = [:]
        for server in 0..<servers { known[server] = acknowledged[Pair(place: server, value: key)]?.highest }
        return known
    }

    func expiry(of key: VerifyingKey, at server: Int) -> UInt64 {
        acknowledged[Pair(place: server, value: key)]?.expiry ?? 0
    }

    mutating func served(_ record: DirectoryRecord, by server: Int, at time: UInt64) {
        guard let own = acknowledged[Pair(place: server, value: record.blindedKey)] else { return }
        if own.lowest < own.highest { exercise.servedInPlace += 1 }
        guard record.sequence < own.highest else { return }
        violate(
            .recordOutdated, at: time,
            "server \(server) served sequence \(record.sequence) of \(record.blindedKey.bytes.hex) after \(own.highest)"
        )
    }

    /// A lookup found a sequence where it had to find `floor` at least.
    mutating func lookedUp(
        _ sequence: UInt64, of key: VerifyingKey, atLeast floor: UInt64, by agent: Int, at time: UInt64
    ) {
        exercise.lookups += 1
        if let lowest = lowest[key], lowest < floor { exercise.lookupsWithOlder += 1 }
        guard sequence < floor else { return }
        violate(
            .recordOutdated, at: time,
            "agent \(agent) found sequence \(sequence) of \(key.bytes.hex) after enough had acknowledged \(floor)")
    }
}
