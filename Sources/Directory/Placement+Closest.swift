import Primitives
import Records

/// Which nodes of the map are closest to a target by XOR (specs/directory.md, "Kademlia").
extension Placement {
    /// The `count` nodes whose IDs are closest to `target`, the closest first.
    func closest(to target: Bytes32, _ count: Int) -> [Node] {
        guard count > 0 else { return [] }
        // Those that share the target's first bits lie together: the range is halved while it has enough of them.
        var range = 0..<nodeCount
        for bit in 0..<256 {
            let middle = firstWith(bit, in: range)
            let half = target.hasBit(bit) ? middle..<range.upperBound : range.lowerBound..<middle
            if half.count < count { break }
            range = half
        }
        return range.map { place in
            let node = node(inOrderOfID: place)
            return (distance: node.id.distance(to: target), node: node)
        }.sorted { $0.distance.precedes($1.distance) }.prefix(count).map(\.node)
    }

    /// So many places has each record for searches without a map: one is looked at when nothing was found at the one before.
    public static let searchPlaces: UInt8 = 3

    /// Where searches without a map look for a record. It follows from the epoch's shared random value, as the holders do:
    /// nobody can have servers admitted beside it before that is known (specs/directory.md, "Kademlia").
    func searchTarget(of key: VerifyingKey, place: UInt8 = 0) -> Bytes32 {
        Placement.searchTarget(of: key, place: place, shared: shared)
    }

    static func searchTarget(of key: VerifyingKey, place: UInt8, shared: Bytes32) -> Bytes32 {
        var hash = BLAKE2b(outputCount: 32, domain: Domain("hulda/dir-kad"))
        hash.update(key.bytes)
        hash.update(shared)
        // The first place is the only one of earlier versions.
        if place > 0 { hash.update([place]) }
        return hash.finalize()
    }

    /// The nodes that keep copies for searches without a map: `count` beside each of the record's places; in a small
    /// network one may be beside several.
    func searched(for key: VerifyingKey, _ count: Int) -> [Node] {
        (0..<Placement.searchPlaces).flatMap { searched(searchTarget(of: key, place: $0), count) }
    }

    /// The `count` nodes that keep copies for searches without a map: the closest, of one prefix and one cluster one each
    /// while there are others among twice as many. Farther away searches would not come.
    func searched(_ target: Bytes32, _ count: Int) -> [Node] {
        var clusters: Set<VerifyingKey> = []
        var prefixes: Set<[UInt8]> = []
        var first: [Node] = []
        var rest: [Node] = []
        for node in closest(to: target, 2 * count) {
            let isNewCluster = clusters.insert(node.cluster).inserted
            if prefixes.insert(node.prefix).inserted, isNewCluster { first.append(node) } else { rest.append(node) }
        }
        return Array((first + rest).prefix(count))
    }

    /// Of a range in the order of IDs that share all bits before `bit`, the first place that has it.
    private func firstWith(_ bit: Int, in range: Range<Int>) -> Int {
        var low = range.lowerBound
        var high = range.upperBound
        while low < high {
            let middle = (low + high) / 2
            if node(inOrderOfID: middle).id.hasBit(bit) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

extension Bytes32 {
    /// The bit at a place, of which 0 is the highest.
    fileprivate func hasBit(_ place: Int) -> Bool {
        withUnsafeBytes { $0[place / 8] & (0x80 >> UInt8(place % 8)) != 0 }
    }
}
