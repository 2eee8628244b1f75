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
        var servers = ServerTable([])
        var linkKeys = LinkKeyIndex()
        /// What changed since the table was handed in; `nil` for those that left.
        var changed: [NodeID: ServerDescriptor?] = [:]
        var changedKeys: [X25519PublicKey: NodeID] = [:]
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

    /// How many servers were on the map when it was last handed in.
    var serverCount: Int { state.withLockedValue { $0.servers.count } }

    /// All servers on the map: takes a pass over it.
    var nodes: [NodeID] {
        let (servers, changed) = state.withLockedValue { ($0.servers, $0.changed) }
        let unchanged = (0..<servers.count).compactMap { servers.glance(at: $0)?.nodeID }.filter { changed[$0] == nil }
        return unchanged + changed.compactMap { $0.value == nil ? nil : $0.key }
    }

    func server(_ node: NodeID) -> ServerDescriptor? {
        state.withLockedValue { state in
            if let change = state.changed[node] { return change }
            return state.servers[node]
        }
    }

    /// Whether a server is on the map. Asked for each envelope that goes on.
    func knows(_ node: NodeID) -> Bool {
        state.withLockedValue { state in
            if let change = state.changed[node] { return change != nil }
            return state.servers.contains(node)
        }
    }

    func node(linkKey: X25519PublicKey) -> NodeID? {
        state.withLockedValue { state in
            if let node = state.changedKeys[linkKey] { return node }
            for place in state.linkKeys.places(of: linkKey) {
                guard let server = state.servers.glance(at: place), server.linkKey == linkKey else { continue }
                let node = server.nodeID
                if state.changed[node] == nil { return node }
            }
            return nil
        }
    }

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
    func replaceServers(_ servers: ServerTable, view: MapView) {
        let linkKeys = LinkKeyIndex(servers)
        state.withLockedValue { state in
            state.view = view
            state.paths = nil
            state.servers = servers
            state.linkKeys = linkKeys
            state.changed = [:]
            state.changedKeys = [:]
        }
    }

    func replace(_ server: ServerDescriptor) {
        state.withLockedValue { state in
            if case .some(.some(let old)) = state.changed[server.nodeID] { state.changedKeys[old.linkKey] = nil }
            state.changed[server.nodeID] = .some(server)
            state.changedKeys[server.linkKey] = server.nodeID
        }
    }

    func remove(_ node: NodeID) {
        state.withLockedValue { state in
            if case .some(.some(let old)) = state.changed[node] { state.changedKeys[old.linkKey] = nil }
            state.changed[node] = .some(nil)
        }
    }

    func count(_ reason: String) {
        state.withLockedValue { $0.counters[reason, default: 0] += 1 }
    }

    var counters: [String: UInt64] { state.withLockedValue { $0.counters } }
}
