import Primitives
import Records

/// What paths are drawn from: the servers of a map, and what the map knows of them beside their descriptors.
public struct MapView: Sendable {
    public let table: ServerTable
    /// ``MixLayers/seed(epoch:root:value:)`` by epoch; an epoch without one uses its own number's.
    public let seeds: [UInt64: Bytes32]
    /// Weights by measured capacity; what is not named here has that of a newcomer.
    public let weights: RelayWeights
    /// Clusters that name one operator, by a number for the operator; others are alone.
    public let families: [VerifyingKey: UInt64]
    /// Clusters whose gateways are for their own people: their policy does not let agents of other clusters enter.
    public let closedToAgents: Set<VerifyingKey>
    /// Servers that may not hold records yet, and the first epoch in which each may.
    public let newcomers: [NodeID: UInt64]

    init(
        table: ServerTable, seeds: [UInt64: Bytes32], weights: RelayWeights, families: [VerifyingKey: UInt64],
        closedToAgents: Set<VerifyingKey>, newcomers: [NodeID: UInt64]
    ) {
        self.table = table
        self.seeds = seeds
        self.weights = weights
        self.families = families
        self.closedToAgents = closedToAgents
        self.newcomers = newcomers
    }

    public init(
        servers: [ServerDescriptor], seeds: [UInt64: Bytes32] = [:], weights: [NodeID: Double] = [:],
        families: [VerifyingKey: UInt64] = [:], closedToAgents: Set<VerifyingKey> = [],
        newcomers: [NodeID: UInt64] = [:]
    ) {
        self.init(
            table: ServerTable(servers), seeds: seeds, weights: RelayWeights(weights), families: families,
            closedToAgents: closedToAgents, newcomers: newcomers)
    }

    /// All servers, decoded.
    public var servers: [ServerDescriptor] { table.all }

    /// Clusters that a message's path needs: the gateway's, one of each layer, and the home's.
    public static let pathClusters = MixLayers.count + 2

    public func seed(_ epoch: UInt64) -> Bytes32 { seeds[epoch] ?? MixLayers.seed(epoch: epoch, root: nil, value: nil) }

    /// Clusters whose descriptors name the same contact belong to one operator (specs/map.md, "Families"). To copy
    /// another's contact only keeps oneself out of that other's paths.
    public static func families(of clusters: some Sequence<ClusterDescriptor>) -> [VerifyingKey: UInt64] {
        var byContact: [String: [VerifyingKey]] = [:]
        for cluster in clusters {
            let contact = cluster.contact.lowercased().filter { !$0.isWhitespace }
            if !contact.isEmpty { byContact[contact, default: []].append(cluster.clusterID) }
        }
        var families: [VerifyingKey: UInt64] = [:]
        for (number, members) in byContact.values.filter({ $0.count > 1 }).enumerated() {
            for member in members { families[member] = UInt64(number) }
        }
        return families
    }

    /// Clusters that keep their gateways to themselves.
    static func closedToAgents(of clusters: some Sequence<ClusterDescriptor>) -> Set<VerifyingKey> {
        clusters.reduce(into: []) { closed, cluster in
            if !cluster.policy.contains(.openGateway) { closed.insert(cluster.clusterID) }
        }
    }
}
