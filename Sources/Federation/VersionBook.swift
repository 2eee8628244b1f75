import Primitives
import Wire

/// How many newer versions of each descriptor came within the hour: whoever signs one after the other would have all maps
/// check, store and pass on each (specs/map.md, "Bounds").
struct VersionBook: Sendable {
    /// Newer versions of one descriptor that a map takes in an hour.
    static let limit = 64
    private static let window: UInt64 = 3600

    private var counts: [Bytes16: UInt8] = [:]
    private var end: Timestamp?

    /// Whether no more of this descriptor are taken now.
    mutating func isSpent(_ id: Bytes16, _ now: Timestamp) -> Bool {
        if let end, now >= end { forget() }
        return counts[id, default: 0] >= VersionBook.limit
    }

    /// Counts one that was taken. The book is no larger than a map: when it is full an hour begins anew.
    mutating func note(_ id: Bytes16, _ now: Timestamp, capacity: Int) {
        if counts.count >= capacity { forget() }
        end = end ?? now.adding(seconds: VersionBook.window)
        counts[id, default: 0] += 1
    }

    mutating func forget() {
        counts = [:]
        end = nil
    }
}
