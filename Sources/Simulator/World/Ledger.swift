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
        /// A holder served, or a lookup ended with, a lower sequence than was acknowledged before.
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
    /// The highest sequence that a holder acknowledged, and the latest expiry.
    private(set) var acknowledged: [Pair<VerifyingKey>: (sequence: UInt64, expiry: UInt64)] = [:]
    /// The highest sequence that a majority of a key's holders acknowledged.
    private(set) var majority: [VerifyingKey: UInt64] = [:]
    private var acknowledgers: [VerifyingKey: [Int: UInt64]] = [:]
    private(set) var violations: [Violation] = []
    private(set) var shownCount = 0

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
    /// - Parameter holders: those whom the map makes responsible.
    mutating func acknowledged(_ record: DirectoryRecord, by server: Int, holders: [Int]) {
        let key = record.blindedKey
        let place = Pair(place: server, value: key)
        let known = acknowledged[place]
        acknowledged[place] = (max(known?.sequence ?? 0, record.sequence), max(known?.expiry ?? 0, record.expiry))
        acknowledgers[key, default: [:]][server] = acknowledged[place]?.sequence
        let sequences = holders.compactMap { acknowledgers[key]?[$0] }.sorted(by: >)
        // The sequence that more than half of the holders have at least.
        if sequences.count > holders.count / 2 {
            majority[key] = max(majority[key] ?? 0, sequences[holders.count / 2])
        }
    }

    mutating func served(_ record: DirectoryRecord, by server: Int, at time: UInt64) {
        guard let own = acknowledged[Pair(place: server, value: record.blindedKey)], record.sequence < own.sequence
        else { return }
        violate(
            .recordOutdated, at: time,
            "server \(server) served sequence \(record.sequence) of \(record.blindedKey.bytes.hex) after \(own.sequence)"
        )
    }
}
