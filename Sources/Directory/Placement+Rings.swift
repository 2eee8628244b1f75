import Primitives
import Records

/// Who holds a record (specs/directory.md, "Placement").
extension Placement {
    /// Places on the circle that are passed over, because whoever is there does not answer.
    struct Silence: Sendable {
        private var words: [UInt64] = []

        init() {}

        init(_ silent: Set<NodeID>, on placement: Placement) {
            guard !silent.isEmpty else { return }
            words = [UInt64](repeating: 0, count: placement.nodeCount / 64 + 1)
            for node in silent {
                guard let place = placement.place(of: node) else { continue }
                words[place / 64] |= 1 << UInt64(place % 64)
            }
        }

        func contains(_ place: Int) -> Bool {
            !words.isEmpty && words[place / 64] & 1 << UInt64(place % 64) != 0
        }
    }

    /// The holders of one record by their places on the circle, and which places were looked at for them.
    struct Walk: Sendable {
        /// Ring by ring, as many in each as ``counts`` says.
        private var places = [Int](repeating: -1, count: Placement.rings * Placement.holdersPerRing)
        private(set) var counts = InlineArray<4, Int>(repeating: 0)
        fileprivate let starts: Starts
        fileprivate var steps = InlineArray<4, Int>(repeating: 0)
        private let size: Int

        fileprivate init(_ starts: Starts, size: Int) {
            self.starts = starts
            self.size = size
        }

        fileprivate mutating func take(_ place: Int, ring: Int) {
            places[ring * Placement.holdersPerRing + counts[ring]] = place
            counts[ring] += 1
        }

        /// The place of a holder.
        func place(ring: Int, _ number: Int) -> Int { places[ring * Placement.holdersPerRing + number] }

        func contains(_ place: Int) -> Bool { places.contains(place) }

        /// Whether nodes at these places were looked at: if not, it makes no difference whether they answer.
        func passes(_ places: [Int]) -> Bool {
            for place in places {
                for ring in 0..<Placement.rings where starts.steps(to: place, ring: ring, of: size) < steps[ring] {
                    return true
                }
            }
            return false
        }
    }

    /// The holders by ring; no two of one cluster or prefix while alternatives are near.
    /// - Parameter silent: nodes that are passed over, because they do not answer.
    public func rings(of key: VerifyingKey, without silent: Set<NodeID> = []) -> [[NodeID]] {
        let walk = walk(starts(of: key), without: Silence(silent, on: self))
        return (0..<Placement.rings).map { ring in
            (0..<walk.counts[ring]).map { ordered[walk.place(ring: ring, $0)].node.id }
        }
    }

    /// All holders of a key: twenty, or every node of a smaller network.
    public func holders(of key: VerifyingKey, without silent: Set<NodeID> = []) -> [NodeID] {
        rings(of: key, without: silent).flatMap(\.self)
    }

    func walk(_ starts: Starts, without silent: Silence = Silence()) -> Walk {
        let size = ordered.count
        var out = Walk(starts, size: size)
        guard size > 0 else { return out }
        let limit = min(size, Placement.walkLimit)
        let groups = self.groups
        var taken = Taken()
        /// Steps behind which the next of a ring is looked for: what lies before is silent, taken or related.
        var reached = InlineArray<4, Int>(repeating: 0)
        // One of each ring in turn, so that a small network is shared out evenly.
        for _ in 0..<Placement.holdersPerRing {
            for ring in 0..<Placement.rings where taken.count < size {
                var step = reached[ring]
                var choice: Int?
                while step < limit, choice == nil {
                    let next = starts.places[ring] + step
                    let place = next < size ? next : next - size
                    step += 1
                    if !silent.contains(place), !taken.isRelated(to: groups[place]) { choice = place }
                }
                out.steps[ring] = max(out.steps[ring], step)
                reached[ring] = step
                if choice == nil {
                    choice = (0..<limit).lazy.map { (starts.places[ring] + $0) % size }.first {
                        !silent.contains($0) && !out.contains($0)
                    }
                }
                guard let choice else { continue }
                taken.insert(groups[choice])
                out.take(choice, ring: ring)
            }
        }
        return out
    }

    /// The clusters and prefixes of holders that were chosen. Who was chosen is related to himself.
    private struct Taken {
        // An array and not an inline one, of which the compiler (6.3) makes a copy for each look at an element.
        private var groups: [(cluster: UInt64, prefix: UInt64)] = []
        /// A bit for each that was chosen, so that of most others one look tells that they are not related.
        private var clusterBits: UInt64 = 0
        private var prefixBits: UInt64 = 0
        var count: Int { groups.count }

        init() { groups.reserveCapacity(Placement.rings * Placement.holdersPerRing) }

        mutating func insert(_ group: (cluster: UInt64, prefix: UInt64)) {
            groups.append(group)
            clusterBits |= Taken.bit(group.cluster)
            prefixBits |= Taken.bit(group.prefix)
        }

        func isRelated(to group: (cluster: UInt64, prefix: UInt64)) -> Bool {
            guard clusterBits & Taken.bit(group.cluster) | prefixBits & Taken.bit(group.prefix) != 0 else {
                return false
            }
            return groups.contains { $0.cluster == group.cluster || $0.prefix == group.prefix }
        }

        private static func bit(_ number: UInt64) -> UInt64 { 1 << ((number &* 0x9e37_79b9_7f4a_7c15) >> 58) }
    }

    /// A number for a prefix, of which there are some with two bytes and some with four.
    static func number(of prefix: [UInt8]) -> UInt64 {
        prefix.prefix(7).reduce(UInt64(prefix.count)) { $0 << 8 | UInt64($1) }
    }
}
