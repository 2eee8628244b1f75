import Storage
import Wire

/// For which epochs the user's own record was made, and of which enough holders have it, across restarts: a run that ends
/// before tomorrow's record is out would else leave nobody to find the user after midnight.
struct RecordDays: Sendable {
    private static let key = Array("record-days".utf8)

    /// The last epoch of the publication that was begun last.
    private(set) var made: UInt64 = 0
    /// The last epoch of it of which enough holders have the record.
    private(set) var published: UInt64 = 0

    init(_ store: borrowing some (KeyValueStore & ~Copyable)) throws(StorageError) {
        guard let bytes = try store.get(AgentCore.state, RecordDays.key) else { return }
        do throws(WireError) {
            var reader = Reader(bytes)
            made = try reader.uint64()
            published = try reader.uint64()
            try reader.finish()
        } catch { throw .corrupt("the days of the record: \(error)") }
    }

    /// Whether there is nothing to publish again: enough holders have today's record, and whatever else was made.
    func isComplete(_ now: Timestamp) -> Bool { published >= max(made, now.epoch) }

    mutating func begun(
        _ epochs: [UInt64], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let last = epochs.max() else { return }
        made = last
        published = 0
        try save(&store)
    }

    mutating func finished(
        _ epoch: UInt64, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard epoch > published else { return }
        published = epoch
        try save(&store)
    }

    private func save(_ store: inout some (KeyValueStore & ~Copyable)) throws(StorageError) {
        var writer = Writer(capacity: 16)
        writer.uint64(made)
        writer.uint64(published)
        try store.put(AgentCore.state, RecordDays.key, writer.bytes)
    }
}
