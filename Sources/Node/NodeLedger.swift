import Federation
import NIOConcurrencyHelpers
import Primitives
import Records
import Relay
import Wire

/// What several event loops of a node read: the servers on the map, the mix keys, and counters of what was dropped
/// before it reached a core.
final class NodeLedger: Sendable {
    private struct State {
        var servers: [NodeID: ServerDescriptor] = [:]
        var byLinkKey: [X25519PublicKey: NodeID] = [:]
        var view = MapView(servers: [])
        /// Of the last epoch asked for.
        var paths: PathIndex?
        var ring: MixKeyRing
        var counters: [String: UInt64] = [:]
    }

    private let state: NIOLockedValueBox<State>

    init(ring: MixKeyRing) { state = NIOLockedValueBox(State(ring: ring)) }

    var ring: MixKeyRing {
        get { state.withLockedValue { $0.ring } }
        set { state.withLockedValue { $0.ring = newValue } }
    }

    var servers: [NodeID: ServerDescriptor] { state.withLockedValue { $0.servers } }

    func server(_ node: NodeID) -> ServerDescriptor? { state.withLockedValue { $0.servers[node] } }

    func node(linkKey: X25519PublicKey) -> NodeID? { state.withLockedValue { $0.byLinkKey[linkKey] } }

    /// What paths of this epoch are drawn from; made when it is first asked for after a change of the map.
    func paths(epoch: UInt64) -> PathIndex {
        state.withLockedValue { state in
            if let known = state.paths, known.epoch == epoch { return known }
            let made = PathIndex(state.view, epoch: epoch)
            state.paths = made
            return made
        }
    }

    /// - Parameter view: what paths may use of the servers.
    func replaceServers(_ servers: [ServerDescriptor], view: MapView) {
        state.withLockedValue { state in
            state.view = view
            state.paths = nil
            state.servers = Dictionary(servers.map { ($0.nodeID, $0) }, uniquingKeysWith: { first, _ in first })
            state.byLinkKey = Dictionary(
                servers.map { ($0.linkKey, $0.nodeID) }, uniquingKeysWith: { first, _ in first })
        }
    }

    func replace(_ server: ServerDescriptor) {
        state.withLockedValue { state in
            if let old = state.servers[server.nodeID], old.linkKey != server.linkKey {
                state.byLinkKey[old.linkKey] = nil
            }
            state.servers[server.nodeID] = server
            state.byLinkKey[server.linkKey] = server.nodeID
        }
    }

    func remove(_ node: NodeID) {
        state.withLockedValue { state in
            guard let old = state.servers.removeValue(forKey: node) else { return }
            if state.byLinkKey[old.linkKey] == node { state.byLinkKey[old.linkKey] = nil }
        }
    }

    func count(_ reason: String) {
        state.withLockedValue { $0.counters[reason, default: 0] += 1 }
    }

    var counters: [String: UInt64] { state.withLockedValue { $0.counters } }
}
