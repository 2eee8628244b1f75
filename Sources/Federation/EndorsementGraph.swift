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

    /// Endorsements as each cluster's latest descriptor gives them, ascending: arrays, because sets of keys would take
    /// twice the memory.
    private var endorsed: [VerifyingKey: [VerifyingKey]] = [:]

    mutating func set(_ cluster: VerifyingKey, endorsing: some Sequence<VerifyingKey>) {
        endorsed[cluster] = Set(endorsing).sorted()
    }

    mutating func remove(_ cluster: VerifyingKey) { endorsed[cluster] = nil }

    func knows(_ cluster: VerifyingKey) -> Bool { endorsed[cluster] != nil }

    func endorsements(of cluster: VerifyingKey) -> [VerifyingKey] { endorsed[cluster] ?? [] }

    func endorses(_ cluster: VerifyingKey, _ other: VerifyingKey) -> Bool {
        cluster != other && endorsed[cluster]?.contains(other) == true
    }

    /// Clusters that endorse `cluster` and that it endorses, ascending.
    func peers(of cluster: VerifyingKey) -> [VerifyingKey] {
        endorsements(of: cluster).filter { endorses($0, cluster) }
    }

    /// Clusters that endorse `cluster` without being endorsed by it, ascending: linear in the size of the map.
    func oneSided(_ cluster: VerifyingKey) -> [VerifyingKey] {
        endorsed.keys.filter { endorses($0, cluster) && !endorses(cluster, $0) }.sorted()
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
        guard search.order.count + roots.count >= EndorsementGraph.smallMap else {
            return roots.union(search.order)
        }
        return roots.union(search.twice)
    }

    /// A depth-first search from the roots, without recursion: maps may be deep.
    private struct Search {
        /// All that is reached, roots left out, in the order of discovery.
        private(set) var order: [VerifyingKey] = []
        /// What is reached twice.
        private(set) var twice: Set<VerifyingKey> = []
        private let graph: EndorsementGraph
        private let roots: Set<VerifyingKey>
        private let ration: EndorsementRation?
        private var index: [VerifyingKey: Int] = [:]
        /// The least index that a cluster's subtree reaches; 0 is the roots.
        private var low: [Int] = [0]

        private struct Frame {
            let cluster: VerifyingKey
            let parent: VerifyingKey?
            let neighbours: [VerifyingKey]
            var next = 0
        }

        init(_ graph: EndorsementGraph, _ roots: Set<VerifyingKey>, _ ration: EndorsementRation?) {
            self.graph = graph
            self.roots = roots
            self.ration = ration
        }

        private func peers(of cluster: VerifyingKey) -> [VerifyingKey] {
            ration?.peers(of: cluster, in: graph) ?? graph.peers(of: cluster)
        }

        mutating func run() {
            for root in roots.sorted() {
                for first in peers(of: root) where !roots.contains(first) && index[first] == nil {
                    component(from: first)
                }
            }
        }

        /// Everything below one neighbour of the roots. Of the subtree, whoever lies in the roots' own biconnected
        /// component is reached twice, if that has more than one member here.
        private mutating func component(from first: VerifyingKey) {
            var stack = [Frame(cluster: first, parent: nil, neighbours: discover(first))]
            /// Clusters of components that are not closed yet.
            var open = [first]
            while var frame = stack.popLast() {
                guard frame.next < frame.neighbours.count else {
                    guard let above = stack.last, let own = index[frame.cluster], let parent = index[above.cluster]
                    else { continue }
                    low[parent] = min(low[parent], low[own])
                    // Nothing below reaches past the parent: a component of its own, which hangs on one cluster.
                    if low[own] >= parent {
                        while let last = open.popLast(), last != frame.cluster {}
                    }
                    continue
                }
                let neighbour = frame.neighbours[frame.next]
                frame.next += 1
                let cluster = frame.cluster
                let parent = frame.parent
                stack.append(frame)
                if roots.contains(neighbour) {
                    if let own = index[cluster] { low[own] = 0 }
                } else if let known = index[neighbour] {
                    if neighbour != parent, let own = index[cluster] { low[own] = min(low[own], known) }
                } else {
                    open.append(neighbour)
                    stack.append(Frame(cluster: neighbour, parent: cluster, neighbours: discover(neighbour)))
                }
            }
            if open.count > 1 { twice.formUnion(open) }
        }

        private mutating func discover(_ cluster: VerifyingKey) -> [VerifyingKey] {
            order.append(cluster)
            index[cluster] = order.count
            low.append(order.count)
            let peers = peers(of: cluster)
            if peers.count(where: { roots.contains($0) }) >= 2 { twice.insert(cluster) }
            return peers
        }
    }
}
