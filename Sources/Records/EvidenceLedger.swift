import Primitives

/// Which pieces of evidence are in a table of the store, and of whom: nobody may fill it with contradictions of his own,
/// for server keys cost a cluster nothing, and days pass by themselves (specs/map.md, "Gossip of roots").
package struct EvidenceLedger: Sendable {
    /// The most pieces in all.
    package static let limit = 1024
    /// The most of one kind, the keys' first byte, of one cluster; that it lies is proven by the first.
    package static let kindLimit = 4

    /// Keys as in the store, by the accused cluster, ascending.
    private var keys: [VerifyingKey: [[UInt8]]] = [:]
    package private(set) var count = 0

    package init() {}

    /// Notes one more piece, if there is room: where all places are taken, the cluster with the most gives up its last, if
    /// it has more than the accused one will have.
    /// - Returns: whether the piece is to be kept, and the key of one that gives way to it.
    package mutating func insert(_ key: [UInt8], of cluster: VerifyingKey) -> (isKept: Bool, evicted: [UInt8]?) {
        let own = keys[cluster] ?? []
        guard !own.contains(key), own.count(where: { $0.first == key.first }) < EvidenceLedger.kindLimit else {
            return (false, nil)
        }
        var evicted: [UInt8]?
        if count >= EvidenceLedger.limit {
            let most = keys.max { ($0.value.count, $1.key) < ($1.value.count, $0.key) }
            guard let most, most.value.count > own.count + 1 else { return (false, nil) }
            evicted = keys[most.key]?.popLast()
            count -= 1
        }
        note(key, of: cluster)
        return (true, evicted)
    }

    /// Notes what is in the store already.
    package mutating func note(_ key: [UInt8], of cluster: VerifyingKey) {
        let own = keys[cluster] ?? []
        let place = own.firstIndex { key.lexicographicallyPrecedes($0) } ?? own.count
        keys[cluster, default: []].insert(key, at: place)
        count += 1
    }
}
