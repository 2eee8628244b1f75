import Directory
import Envelope
import Federation
import Primitives
import Records
import Wire

/// The map as an agent uses it: paths, and the holders of records.
struct NetworkView: Sendable {
    private(set) var servers: [ServerDescriptor] = []
    private(set) var byID: [NodeID: ServerDescriptor] = [:]
    private var relays: [NodeID] = []
    private var placements: [UInt64: Placement] = [:]
    private var shared: [UInt64: SharedValue] = [:]
    /// Relays to avoid while enough others are left.
    var suspects: Set<NodeID> = []

    private var view = MapView(servers: [])
    /// What the paths of this epoch are drawn from.
    private(set) var index = PathIndex(MapView(servers: []), epoch: 0)

    mutating func update(_ view: MapView, epoch: UInt64) {
        self.view = view
        servers = view.servers
        byID = Dictionary(servers.map { ($0.nodeID, $0) }, uniquingKeysWith: { first, _ in first })
        relays = servers.lazy.filter { $0.roles.contains(.relay) }.map(\.nodeID)
        placements = [:]
        index = PathIndex(view, epoch: epoch)
    }

    /// Turns to another epoch's keys and layers.
    mutating func turn(to epoch: UInt64) {
        if index.epoch != epoch { index = PathIndex(view, epoch: epoch) }
    }

    /// Any relay but one, uniformly.
    func relay(otherThan node: NodeID, _ entropy: inout Entropy) -> NodeID? {
        guard relays.contains(where: { $0 != node }) else { return nil }
        while true {
            let relay = relays[entropy.below(relays.count)]
            if relay != node { return relay }
        }
    }

    /// Every gateway on the map that lets anybody's agent enter.
    var gateways: [NodeID: GuardList.Place] {
        var places: [NodeID: GuardList.Place] = [:]
        for server in servers
        where server.roles.contains(.gateway) && !view.closedToAgents.contains(server.clusterID) {
            places[server.nodeID] = place(of: server)
        }
        return places
    }

    func place(of node: NodeID) -> GuardList.Place? { byID[node].map(place) }

    private func place(of server: ServerDescriptor) -> GuardList.Place {
        GuardList.Place(cluster: server.clusterID, family: view.families[server.clusterID])
    }

    /// Takes the shared random values that are known.
    mutating func place(_ values: [UInt64: SharedValue]) {
        placements = placements.filter { shared[$0.key] == values[$0.key] }
        shared = values
    }

    /// The directory servers of each cluster.
    var directories: [VerifyingKey: [NodeID]] {
        var clusters: [VerifyingKey: [NodeID]] = [:]
        for server in servers where server.roles.contains(.directory) {
            clusters[server.clusterID, default: []].append(server.nodeID)
        }
        return clusters
    }

    var clusterCount: Int { Set(servers.map(\.clusterID)).count }

    /// A path from a gateway to a destination: gateway, mixes, destination, of different clusters while the map has them.
    func forwardPath(
        gateway: NodeID, destination: NodeID, _ configuration: AgentConfiguration, now: Timestamp,
        entropy: inout Entropy
    ) throws(AgentError) -> [Hop] {
        guard let first = byID[gateway], let last = byID[destination] else {
            throw .mapTooSmall(clusters: clusterCount)
        }
        let mixes = try self.mixes(ends: [gateway, destination], configuration, &entropy)
        return try hops([first], mixes, [last], configuration, now, &entropy)
    }

    /// A path back from anywhere: mixes, then the gateway.
    func replyPath(
        gateway: NodeID, from origin: NodeID, _ configuration: AgentConfiguration, now: Timestamp,
        entropy: inout Entropy
    ) throws(AgentError) -> [Hop] {
        guard let last = byID[gateway] else { throw .mapTooSmall(clusters: clusterCount) }
        let mixes = try self.mixes(ends: [gateway, origin], configuration, &entropy)
        return try hops([], mixes, [last], configuration, now, &entropy)
    }

    /// Gateway, mixes, the same gateway: what cover loops take.
    /// - Parameter isProbe: whether suspects are used too.
    func loopPath(
        gateway: NodeID, isProbe: Bool, _ configuration: AgentConfiguration, now: Timestamp, entropy: inout Entropy
    ) throws(AgentError) -> [Hop] {
        guard let end = byID[gateway] else { throw .mapTooSmall(clusters: clusterCount) }
        let mixes = try self.mixes(ends: [gateway], isProbe: isProbe, configuration, &entropy)
        return try hops([end], mixes, [end], configuration, now, &entropy)
    }

    /// The holders of a record by ring.
    mutating func rings(of key: VerifyingKey, epoch: UInt64) -> [[NodeID]] {
        placement(epoch).rings(of: key)
    }

    mutating func holders(of key: VerifyingKey, epoch: UInt64) -> [NodeID] {
        placement(epoch).holders(of: key)
    }

    private mutating func placement(_ epoch: UInt64) -> Placement {
        if let known = placements[epoch] { return known }
        let nodes = servers.filter { $0.roles.contains(.directory) }.map {
            Placement.Node(
                id: $0.nodeID, cluster: $0.clusterID, prefix: $0.udp.prefix,
                countsFrom: view.newcomers[$0.nodeID] ?? 0)
        }
        let placement = Placement(nodes: nodes, epoch: epoch, shared: shared[epoch]?.bytes)
        placements[epoch] = placement
        return placement
    }

    private func mixes(
        ends: [NodeID], isProbe: Bool = false, _ configuration: AgentConfiguration, _ entropy: inout Entropy
    ) throws(AgentError) -> [ServerDescriptor] {
        do throws(PathError) {
            return try index.path(
                length: configuration.mixes, ends: ends, avoiding: isProbe ? [] : suspects, entropy: &entropy)
        } catch {
            throw .mapTooSmall(clusters: clusterCount)
        }
    }

    /// Only mixes hold envelopes; each delay is drawn anew from an exponential distribution.
    private func hops(
        _ before: [ServerDescriptor], _ mixes: [ServerDescriptor], _ after: [ServerDescriptor],
        _ configuration: AgentConfiguration, _ now: Timestamp, _ entropy: inout Entropy
    ) throws(AgentError) -> [Hop] {
        var hops: [Hop] = []
        let mixRange = before.count..<before.count + mixes.count
        for (index, server) in (before + mixes + after).enumerated() {
            guard let key = server.mixKey(epoch: now.epoch) else { throw .mapTooSmall(clusters: clusterCount) }
            let delay =
                mixRange.contains(index) ? entropy.exponential(mean: configuration.meanDelay) : 0
            let cut = UInt32(min(delay, Double(RoutingBlock.longestDelay)))
            hops.append(Hop(node: server.nodeID, key: key, delayMilliseconds: cut))
        }
        return hops
    }
}
