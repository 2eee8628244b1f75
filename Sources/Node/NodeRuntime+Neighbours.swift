import Primitives
import Records
import Transport
import Wire

/// The servers to which this one keeps links, and where they are.
extension NodeRuntime {
    /// Peers with which a node keeps links for the map; others are opened when envelopes need them.
    private static let gossipLinks = 16
    /// Seconds for which the neighbours of a large map are not drawn again.
    private static let neighbourTime: UInt64 = 60

    /// Keeps a few links open for the map: to peers of the bootstrap list first, then to any server. Called when the map
    /// or the list changes.
    func openGossipLinks() {
        let bootstrap = state.withLockedValue { $0.bootstrap }
        var (wanted, named): ([NodeID], [NodeID]) = ([], [])
        for link in bootstrap.prefix(NodeRuntime.gossipLinks) where link.linkKey != keys.link.publicKey {
            // Until the map names it, a bootstrap peer is known by its link key only.
            let provisional = NodeRuntime.provisionalID(link.linkKey)
            if ledger.node(linkKey: link.linkKey) == nil {
                wanted.append(provisional)
            } else {
                named.append(provisional)
            }
        }
        wanted += neighbours()
        let (kept, given) = (wanted, named)
        relay.enqueue { $0.keepOpen(kept, insteadOf: given) }
    }

    /// The servers to which this one keeps links: drawn by a hash of both, so that all together make a random graph, in
    /// which nobody has more links than others for long.
    func neighbours() -> [NodeID] {
        let now = Timestamp.now()
        if ledger.serverCount > 1000, let drawn = state.withLockedValue({ $0.neighbours }),
            now.milliseconds(since: drawn.at) < NodeRuntime.neighbourTime * 1000
        {
            return drawn.nodes
        }
        let own = keys.nodeID.bytes
        let ranked = ledger.nodes.filter { $0 != keys.nodeID }
            .map { (rank: BLAKE2b.h(Domain("hulda/map-peer"), own + $0.bytes), node: $0) }
            .sorted { $0.rank < $1.rank }
        let nodes = ranked.prefix(NodeRuntime.gossipLinks).map(\.node)
        state.withLockedValue { $0.neighbours = (nodes, now) }
        return nodes
    }

    /// Stands for a server whose identity is not on the map yet.
    static func provisionalID(_ key: X25519PublicKey) -> NodeID { BLAKE2b.h(Domain("hulda/node-link"), key.bytes) }

    /// Where a node answers, and the key that it proves there.
    func endpoint(of node: NodeID) -> (place: StreamLink.Place, key: X25519PublicKey)? {
        if let server = ledger.server(node) {
            return (try? server.tcp.nio()).map { (.address($0), server.linkKey) }
        }
        let bootstrap = state.withLockedValue { $0.bootstrap }
        for link in bootstrap where NodeRuntime.provisionalID(link.linkKey) == node {
            return (.name(link.host, port: link.port), link.linkKey)
        }
        return nil
    }
}
