import Primitives
import Storage

/// Since which epoch each cluster has been on the map without a gap, as one server noted it: in the store, changed only
/// for those that come and go.
struct ClusterHistory: Sendable {
    /// ClusterID → epoch 8, high byte first.
    static let table = Table("shared/history")
    /// The table's other key, shorter than any cluster's: the epoch that was noted last.
    private static let lastKey: [UInt8] = [0]
    /// With more epochs missing in between, what was noted before says nothing any more.
    private static let gapLimit: UInt64 = 3

    private(set) var last: UInt64?

    init() {}

    init(_ store: borrowing some (KeyValueStore & ~Copyable)) throws(StorageError) {
        last = ClusterHistory.number(try store.get(ClusterHistory.table, ClusterHistory.lastKey))
    }

    mutating func note(
        _ clusters: Set<VerifyingKey>, epoch: UInt64, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let isUsable = last.map { epoch > $0 && epoch - $0 <= ClusterHistory.gapLimit + 1 } ?? false
        var known: Set<VerifyingKey> = []
        for (key, _) in try ClusterHistory.entries(store) {
            if isUsable, clusters.contains(key) {
                known.insert(key)
            } else {
                try store.delete(ClusterHistory.table, key.bytes.bytes)
            }
        }
        for cluster in clusters.subtracting(known).sorted() {
            try store.put(ClusterHistory.table, cluster.bytes.bytes, ClusterHistory.bytes(epoch))
        }
        try store.put(ClusterHistory.table, ClusterHistory.lastKey, ClusterHistory.bytes(epoch))
        last = epoch
    }

    /// These begin anew when they are noted next.
    static func forget(
        _ clusters: [VerifyingKey], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for cluster in clusters { try store.delete(table, cluster.bytes.bytes) }
    }

    /// Those of the clusters on the map that were noted, with the least address prefix of each.
    func candidates(
        _ nodes: [Placement.Node], epoch: UInt64, _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [SharedRandom.Candidate] {
        guard let last, last <= epoch, epoch - last <= ClusterHistory.gapLimit else { return [] }
        var prefixes: [VerifyingKey: [UInt8]] = [:]
        for node in nodes {
            if let other = prefixes[node.cluster], !node.prefix.lexicographicallyPrecedes(other) { continue }
            prefixes[node.cluster] = node.prefix
        }
        return try ClusterHistory.entries(store).compactMap { cluster, since in
            prefixes[cluster].map { SharedRandom.Candidate(cluster: cluster, admitted: since, prefix: $0) }
        }
    }

    private static func entries(
        _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [(VerifyingKey, UInt64)] {
        var entries: [(VerifyingKey, UInt64)] = []
        try store.scan(table, from: []) { key, value in
            if let cluster = Bytes32(key), let epoch = number(value) { entries.append((VerifyingKey(cluster), epoch)) }
            return true
        }
        return entries
    }

    private static func bytes(_ epoch: UInt64) -> [UInt8] { withUnsafeBytes(of: epoch.bigEndian) { Array($0) } }

    private static func number(_ bytes: [UInt8]?) -> UInt64? {
        guard let bytes, bytes.count == 8 else { return nil }
        return bytes.reduce(0) { $0 << 8 | UInt64($1) }
    }
}
