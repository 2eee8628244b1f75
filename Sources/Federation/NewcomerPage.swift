import Primitives
import Records
import Wire

/// Part of what a server says about who came onto its map lately (specs/map.md, "Newcomers").
public struct NewcomerPage: Equatable, Sendable {
    public struct Entry: Equatable, Sendable {
        /// ``name(_:)`` of the server's identifier.
        public var name: UInt64
        /// Whether it came in the page's epoch; otherwise in the one before.
        public var isOfToday: Bool
    }

    /// What fits into a reply.
    public static let entryLimit = 200

    /// The epoch of whoever answers.
    public var epoch: UInt64
    /// Whether the answerer has followed the map since the epoch before began.
    public var isComplete: Bool
    /// Whether there are more with higher names.
    public var hasMore: Bool
    /// Ascending by name.
    public var entries: [Entry]

    /// The first 8 bytes of a descriptor's identifier, little-endian.
    static func name(_ id: Bytes16) -> UInt64 {
        id.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
    }

    init(epoch: UInt64, isComplete: Bool, hasMore: Bool, entries: [Entry]) {
        self.epoch = epoch
        self.isComplete = isComplete
        self.hasMore = hasMore
        self.entries = entries
    }

    init(_ reader: inout Reader) throws(WireError) {
        epoch = try reader.uint64()
        let flags = try reader.uint8()
        isComplete = flags & 1 != 0
        hasMore = flags & 2 != 0
        let count = Int(try reader.uint8())
        guard flags <= 3, count <= NewcomerPage.entryLimit, epoch < SnapshotRoot.epochLimit else {
            throw .outOfRange(field: "newcomers")
        }
        entries = []
        for _ in 0..<count {
            let name = try reader.uint64()
            let age = try reader.uint8()
            guard age <= 1 else { throw .outOfRange(field: "newcomers") }
            entries.append(Entry(name: name, isOfToday: age == 1))
        }
        guard zip(entries, entries.dropFirst()).allSatisfy({ $0.name < $1.name }), !hasMore || count > 0 else {
            throw .outOfRange(field: "newcomers")
        }
    }

    func encode(into writer: inout Writer) {
        writer.uint64(epoch)
        writer.uint8((isComplete ? 1 : 0) | (hasMore ? 2 : 0))
        writer.uint8(UInt8(truncatingIfNeeded: entries.count))
        for entry in entries {
            writer.uint64(entry.name)
            writer.uint8(entry.isOfToday ? 1 : 0)
        }
    }
}
