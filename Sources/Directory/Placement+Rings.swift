import Primitives
import Records

/// Who holds a record (specs/directory.md, "Placement").
extension Placement {
    /// How the holders of one record were found: the places on the circle that were looked at.
    struct Walk: Sendable {
        fileprivate(set) var rings: [[NodeID]] = []
        /// In each ring the first place, and how many places were looked at from there.
        fileprivate var arcs: [(start: Int, steps: Int)] = []
        fileprivate var size = 0

        /// Whether nodes at these places were looked at: if not, it makes no difference whether they answer.
        func passes(_ places: [Int]) -> Bool {
            places.contains { place in arcs.contains { (place - $0.start + size) % size < $0.steps } }
        }
    }

    /// The holders by ring; no two of one cluster or prefix while alternatives are near.
    /// - Parameter silent: nodes that are passed over, because they do not answer.
    public func rings(of key: VerifyingKey, without silent: Set<NodeID> = []) -> [[NodeID]] {
        walk(key, without: silent).rings
    }

    /// All holders of a key: twenty, or every node of a smaller network.
    public func holders(of key: VerifyingKey, without silent: Set<NodeID> = []) -> [NodeID] {
        rings(of: key, without: silent).flatMap(\.self)
    }

    func walk(_ key: VerifyingKey, without silent: Set<NodeID> = []) -> Walk {
        var out = Walk(rings: [[NodeID]](repeating: [], count: Placement.rings))
        guard !ordered.isEmpty else { return out }
        out.size = ordered.count
        out.arcs = (0..<Placement.rings).map { (start(Placement.index(of: key, ring: $0)), 0) }
        let limit = min(ordered.count, Placement.walkLimit)
        // Twenty at most, so looking through them is faster than a set.
        var taken: [Int] = []
        taken.reserveCapacity(Placement.rings * Placement.holdersPerRing)
        // One of each ring in turn, so that a small network is shared out evenly.
        for _ in 0..<Placement.holdersPerRing {
            for ring in 0..<Placement.rings where taken.count < ordered.count {
                var choice: Int?
                var step = 0
                while step < limit {
                    let place = (out.arcs[ring].start + step) % ordered.count
                    step += 1
                    let isNew = isNew(place, taken)
                    guard !taken.contains(place), isNew || choice == nil, !isSilent(place, silent) else { continue }
                    choice = place
                    if isNew { break }
                }
                out.arcs[ring].steps = max(out.arcs[ring].steps, step)
                guard let choice else { continue }
                taken.append(choice)
                out.rings[ring].append(ordered[choice].node.id)
            }
        }
        return out
    }

    /// Whether nobody of the same cluster or prefix was taken.
    private func isNew(_ place: Int, _ taken: [Int]) -> Bool {
        let own = groups[place]
        return !taken.contains { groups[$0].cluster == own.cluster || groups[$0].prefix == own.prefix }
    }

    private func isSilent(_ place: Int, _ silent: Set<NodeID>) -> Bool {
        !silent.isEmpty && silent.contains(ordered[place].node.id)
    }

    /// A number for a prefix, of which there are some with two bytes and some with four.
    static func number(of prefix: [UInt8]) -> UInt64 {
        prefix.prefix(7).reduce(UInt64(prefix.count)) { $0 << 8 | UInt64($1) }
    }
}
