import Primitives
import Records
import Wire

/// Which nodes of the map count for placement (specs/directory.md, "Brakes").
extension Placement {
    /// With fewer nodes that have been on the map long enough all count, as in a young network: each record then has
    /// nearly all for holders, and nobody gains by a place.
    static let leastCounted = rings * holdersPerRing
    /// Nodes of one cluster, and of one prefix, that count in any case.
    static let leastShare = 20
    /// Of more, so large a part of all nodes counts.
    static let shareDivisor = 64

    /// Those in their probation are left out, and of a cluster or prefix with too many so many that it has its share.
    ///
    /// Which of them count is drawn anew for each epoch by the shared random value. So everybody who has nearly the same
    /// map leaves out nearly the same ones, and nobody gets in by the choice of a key or by the time at which he came.
    static func counted(_ nodes: [Node], epoch: UInt64, shared: Bytes32) -> [Node] {
        let tried = nodes.filter { $0.countsFrom <= epoch }
        let all = tried.count < leastCounted ? nodes : tried
        let most = max(leastShare, all.count / shareDivisor)
        return limited(limited(all, most, shared, by: \.cluster), most, shared, by: \.prefix)
    }

    /// At most `most` nodes of each group, in their order.
    private static func limited<Group: Hashable>(
        _ nodes: [Node], _ most: Int, _ shared: Bytes32, by group: (Node) -> Group
    ) -> [Node] {
        let sizes = nodes.reduce(into: [:]) { $0[group($1), default: 0] += 1 }
        let large = sizes.filter { $0.value > most }
        guard !large.isEmpty else { return nodes }
        var members: [Group: [(lot: Bytes32, id: NodeID)]] = [:]
        for node in nodes where large[group(node)] != nil {
            members[group(node), default: []].append((lot(of: node.id, shared: shared), node.id))
        }
        var excluded: Set<NodeID> = []
        for group in members.values {
            excluded.formUnion(group.sorted { ($0.lot, $0.id) < ($1.lot, $1.id) }.dropFirst(most).map(\.id))
        }
        return nodes.filter { !excluded.contains($0.id) }
    }

    /// `H("hulda/dir-lot", node ID ‖ SRV)`.
    static func lot(of node: NodeID, shared: Bytes32) -> Bytes32 {
        var hash = BLAKE2b(outputCount: 32, domain: Domain("hulda/dir-lot"))
        hash.update(node)
        hash.update(shared)
        return hash.finalize()
    }
}
