import Primitives
import Records

/// Who has endorsed whom, and who is admitted by it: clusters that two vertex-disjoint paths of mutual endorsements
/// reach from the trust roots (specs/map.md, "Admission").
///
/// The roots are trusted, so paths may share a root; they may share nothing else. A single cluster that is admitted can
/// therefore never bring in others by its own word: every path to them would lead through it.
struct EndorsementGraph: Sendable {
    /// Below so many clusters, roots included, that the roots reach at all, one path is enough.
    static let smallMap = 5

    /// Clusters are numbered, because their keys are eight times as long.
    private(set) var names = KeyNumbers()
    /// By number: where the endorsements stand in `flat` that the cluster's latest descriptor gives; `nil` for a cluster
    /// that is only endorsed.
    private var lists: [Range<UInt32>?] = []
    /// All endorsements; each list ascending by key.
    private var flat: [UInt32] = []
    /// How much of `flat` is used.
    private var used = 0

    mutating func set(_ cluster: VerifyingKey, endorsing: some Sequence<VerifyingKey>) {
        let number = names.retain(cluster)
        let others = Set(endorsing).sorted().map { names.retain($0) }
        // What it said before is given up last, so that numbers stay.
        remove(cluster)
        while lists.count < names.limit {
            lists.reserveOneMore()
            lists.append(nil)
        }
        if flat.count > 2 * used + 1024 { compact() }
        let start = flat.count
        if flat.capacity < start + others.count { flat.reserveCapacity(start + start / 8 + others.count) }
        flat += others
        used += others.count
        lists[Int(number)] = UInt32(truncatingIfNeeded: start)..<UInt32(truncatingIfNeeded: flat.count)
    }

    mutating func remove(_ cluster: VerifyingKey) {
        guard let number = names[cluster], let list = list(number) else { return }
        for other in flat[list] { names.release(other) }
        used -= list.count
        lists[Int(number)] = nil
        names.release(number)
    }

    /// Closes the gaps that lists have left behind.
    private mutating func compact() {
        var dense: [UInt32] = []
        dense.reserveCapacity(used)
        for number in lists.indices {
            guard let list = list(UInt32(truncatingIfNeeded: number)) else { continue }
            let start = UInt32(truncatingIfNeeded: dense.count)
            dense += flat[list]
            lists[number] = start..<UInt32(truncatingIfNeeded: dense.count)
        }
        flat = dense
    }

    private func list(_ number: UInt32) -> Range<Int>? {
        guard Int(number) < lists.count, let list = lists[Int(number)] else { return nil }
        return Int(list.lowerBound)..<Int(list.upperBound)
    }

    func knows(_ cluster: VerifyingKey) -> Bool { names[cluster].flatMap(list) != nil }

    func endorsements(of cluster: VerifyingKey) -> [VerifyingKey] {
        names[cluster].map { endorsements(of: $0).map(names.key) } ?? []
    }

    func endorses(_ cluster: VerifyingKey, _ other: VerifyingKey) -> Bool {
        guard let cluster = names[cluster], let other = names[other] else { return false }
        return endorses(cluster, other)
    }

    /// Clusters that endorse `cluster` and that it endorses, ascending.
    func peers(of cluster: VerifyingKey) -> [VerifyingKey] {
        guard let number = names[cluster] else { return [] }
        return endorsements(of: number).filter { endorses($0, number) }.map(names.key)
    }

    /// Clusters that endorse `cluster` without being endorsed by it, ascending: linear in the size of the map.
    func oneSided(_ cluster: VerifyingKey) -> [VerifyingKey] {
        guard let number = names[cluster] else { return [] }
        return lists.indices.lazy.map { UInt32(truncatingIfNeeded: $0) }
            .filter { endorses($0, number) && !endorses(number, $0) }.map(names.key).sorted()
    }

    // MARK: By number

    func endorsements(of cluster: UInt32) -> ArraySlice<UInt32> { flat[list(cluster) ?? 0..<0] }

    func endorses(_ cluster: UInt32, _ other: UInt32) -> Bool {
        cluster != other && endorsements(of: cluster).contains(other)
    }

    /// The roots and whoever is admitted from them: linear in the number of mutual endorsements.
    ///
    /// All roots count as one vertex. A cluster has two paths that share nothing but that vertex when it lies with it in
    /// one biconnected component of at least three vertices (Menger, 1927; components after Hopcroft and Tarjan, 1973),
    /// or when two different roots endorse it.
    /// - Parameter ration: what counts of endorsements in this epoch; `nil` when all do.
    func admitted(roots: Set<VerifyingKey>, ration: EndorsementRation? = nil) -> Set<VerifyingKey> {
        var search = Search(self, roots, ration)
        search.run()
        let isSmall = search.order.count + roots.count < EndorsementGraph.smallMap
        var admitted = roots
        admitted.reserveCapacity(roots.count + search.order.count)
        for number in search.order where isSmall || search.isTwice[Int(number)] { admitted.insert(names.key(number)) }
        return admitted
    }
}
