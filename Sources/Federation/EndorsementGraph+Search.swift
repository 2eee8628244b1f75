import Primitives

extension EndorsementGraph {
    /// A depth-first search from the roots, without recursion: maps may be deep.
    struct Search {
        /// All that is reached, roots left out, in the order of discovery.
        private(set) var order: [UInt32] = []
        /// By number: whether it is reached twice.
        private(set) var isTwice: [Bool]
        private let graph: EndorsementGraph
        private let roots: [UInt32]
        private let ration: EndorsementRation?
        private let isRoot: [Bool]
        /// By number: the place in `order`, from 1; 0 is undiscovered.
        private var index: [UInt32]
        /// By number: the least index that a cluster's subtree reaches; 0 is the roots.
        private var low: [UInt32]

        private struct Frame {
            let cluster: UInt32
            let parent: UInt32?
            /// Which of the cluster's endorsements is looked at next.
            var next = 0
        }

        init(_ graph: EndorsementGraph, _ roots: Set<VerifyingKey>, _ ration: EndorsementRation?) {
            self.graph = graph
            self.ration = ration
            let limit = graph.names.limit
            self.roots = roots.sorted().compactMap { graph.names[$0] }
            var isRoot = [Bool](repeating: false, count: limit)
            for root in self.roots { isRoot[Int(root)] = true }
            self.isRoot = isRoot
            isTwice = [Bool](repeating: false, count: limit)
            index = [UInt32](repeating: 0, count: limit)
            low = index
        }

        /// Whether two clusters peer, as far as that counts in this epoch; the first endorses the second.
        private func arePeers(_ cluster: UInt32, _ other: UInt32) -> Bool {
            graph.endorses(other, cluster) && ration?.counts(cluster, other, in: graph) ?? true
        }

        mutating func run() {
            for root in roots {
                for first in graph.endorsements(of: root)
                where !isRoot[Int(first)] && index[Int(first)] == 0 && arePeers(root, first) {
                    component(from: first)
                }
            }
        }

        /// Everything below one neighbour of the roots. Of the subtree, whoever lies in the roots' own biconnected
        /// component is reached twice, if that has more than one member here.
        private mutating func component(from first: UInt32) {
            var stack: [Frame] = []
            /// Clusters of components that are not closed yet.
            var open: [UInt32] = []
            func enter(_ search: inout Search, _ cluster: UInt32, from parent: UInt32?) {
                search.discover(cluster)
                open.append(cluster)
                stack.append(Frame(cluster: cluster, parent: parent))
            }
            enter(&self, first, from: nil)
            while var frame = stack.popLast() {
                let cluster = frame.cluster
                let endorsed = graph.endorsements(of: cluster)
                guard frame.next < endorsed.count else {
                    if let above = stack.last { close(cluster, under: above.cluster, &open) }
                    continue
                }
                let neighbour = endorsed[endorsed.startIndex + frame.next]
                frame.next += 1
                stack.append(frame)
                guard arePeers(cluster, neighbour) else { continue }
                let known = index[Int(neighbour)]
                if isRoot[Int(neighbour)] {
                    low[Int(cluster)] = 0
                } else if known == 0 {
                    enter(&self, neighbour, from: cluster)
                } else if neighbour != frame.parent {
                    low[Int(cluster)] = min(low[Int(cluster)], known)
                }
            }
            guard open.count > 1 else { return }
            for cluster in open { isTwice[Int(cluster)] = true }
        }

        /// All below a cluster has been seen.
        private mutating func close(_ cluster: UInt32, under parent: UInt32, _ open: inout [UInt32]) {
            low[Int(parent)] = min(low[Int(parent)], low[Int(cluster)])
            // Nothing below reaches past the parent: a component of its own, which hangs on one cluster.
            if low[Int(cluster)] >= index[Int(parent)] {
                while let last = open.popLast(), last != cluster {}
            }
        }

        private mutating func discover(_ cluster: UInt32) {
            order.append(cluster)
            index[Int(cluster)] = UInt32(truncatingIfNeeded: order.count)
            low[Int(cluster)] = index[Int(cluster)]
            let rooted = graph.endorsements(of: cluster).count { isRoot[Int($0)] && arePeers(cluster, $0) }
            if rooted >= 2 { isTwice[Int(cluster)] = true }
        }
    }
}
