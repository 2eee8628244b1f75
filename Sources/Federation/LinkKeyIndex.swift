import Primitives

/// Finds the servers of a table that announce a link key, in eight bytes a server.
///
/// Keys are told apart by a hash that is seeded at random in each process, so nobody can announce many that it confuses;
/// whoever asks compares the keys themselves.
public struct LinkKeyIndex: Sendable {
    private struct Entry {
        let hash: UInt32
        let place: UInt32
    }

    /// Ascending by hash.
    private var entries: [Entry] = []

    public init() {}

    public init(_ table: ServerTable) {
        entries.reserveCapacity(table.count)
        for place in 0..<table.count {
            guard let server = table.glance(at: place) else { continue }
            entries.append(
                Entry(hash: LinkKeyIndex.hash(server.linkKey), place: UInt32(truncatingIfNeeded: place)))
        }
        entries.sort { ($0.hash, $0.place) < ($1.hash, $1.place) }
    }

    /// Places in the table of those that may announce the key.
    public func places(of key: X25519PublicKey) -> some Sequence<Int> {
        let hash = LinkKeyIndex.hash(key)
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].hash < hash { low = middle + 1 } else { high = middle }
        }
        return entries[low...].prefix { $0.hash == hash }.map { Int($0.place) }
    }

    private static func hash(_ key: X25519PublicKey) -> UInt32 { UInt32(truncatingIfNeeded: key.hashValue) }
}
