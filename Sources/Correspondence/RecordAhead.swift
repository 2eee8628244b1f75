import Primitives
import Records
import Storage
import Wire

/// When the record of the next epoch is published, and what became of it (specs/correspondence.md, "Registration and
/// publishing").
///
/// Its moment is drawn over the three hours before the epoch, for each agent and day, and apart from the refreshing of
/// today's record: neither do all agents publish at once, nor does one agent's traffic show two days' records together.
struct RecordAhead: Sendable {
    /// Seconds before the epoch from which on the record is published, and until which at the latest.
    static let earliest: UInt64 = 3 * 3600
    static let latest: UInt64 = 900
    /// Milliseconds that the record waits when something else was published at the same moment: at most.
    static let apart = 10_000
    private static let key = Array("record-ahead".utf8)

    /// The epoch whose record it is.
    private(set) var epoch: UInt64 = 0
    /// When it is published; `nil` when it is, and says what is to be said.
    private(set) var due: Timestamp?
    /// Whether enough holders took it.
    private(set) var isConfirmed = false
    /// Stands for what it says; zero before the first.
    private var content = Bytes32()
    /// When it is published anew once its epoch has begun.
    private(set) var refresh = Timestamp(milliseconds: 0)

    init(_ store: borrowing some (KeyValueStore & ~Copyable)) throws(StorageError) {
        guard let bytes = try store.get(AgentCore.state, RecordAhead.key) else { return }
        do throws(WireError) {
            var reader = Reader(bytes)
            epoch = try reader.uint64()
            let due = try reader.uint64()
            self.due = due == 0 ? nil : Timestamp(milliseconds: due)
            isConfirmed = try reader.uint8() == 1
            content = try reader.fixed()
            refresh = Timestamp(milliseconds: try reader.uint64())
            try reader.finish()
        } catch { throw .corrupt("the next record: \(error)") }
    }

    func save(_ store: inout some (KeyValueStore & ~Copyable)) throws(StorageError) {
        var writer = Writer(capacity: 57)
        writer.uint64(epoch)
        writer.uint64(due?.milliseconds ?? 0)
        writer.uint8(isConfirmed ? 1 : 0)
        writer.fixed(content)
        writer.uint64(refresh.milliseconds)
        try store.put(AgentCore.state, RecordAhead.key, writer.bytes)
    }

    var isPublished: Bool { content != Bytes32() }

    /// Draws the moment for the epoch after this one, once.
    /// - Returns: whether it did.
    mutating func plan(_ now: Timestamp, _ entropy: inout Entropy) -> Bool {
        guard epoch != now.epoch &+ 1 else { return false }
        epoch = now.epoch &+ 1
        isConfirmed = false
        content = Bytes32()
        let first = Timestamp(seconds: epoch * Timestamp.secondsPerEpoch - RecordAhead.earliest)
        guard now < first else {
            // Who comes when it is time already does so at a moment of its own.
            due = RecordAhead.soon(now, &entropy)
            return true
        }
        let span = Int((RecordAhead.earliest - RecordAhead.latest) * 1000)
        due = first.adding(milliseconds: UInt64(entropy.below(span)))
        return true
    }

    /// Today's record is being published, and says this: so must the next one, but not in the same moment.
    mutating func follow(_ content: Bytes32, _ now: Timestamp, _ entropy: inout Entropy) {
        let isBehind = isPublished && self.content != content
        if isBehind || due.map({ $0 <= now }) ?? false { due = RecordAhead.soon(now, &entropy) }
    }

    /// It is sent to its holders.
    mutating func published(_ content: Bytes32, refresh: Timestamp) {
        self.content = content
        self.refresh = refresh
        due = nil
        isConfirmed = false
    }

    /// Enough holders have it.
    mutating func confirmed() { isConfirmed = true }

    /// It has to be published again.
    mutating func repeated(at moment: Timestamp) { due = due.map { min($0, moment) } ?? moment }

    private static func soon(_ now: Timestamp, _ entropy: inout Entropy) -> Timestamp {
        now.adding(milliseconds: UInt64(1000 + entropy.below(apart - 1000)))
    }
}
