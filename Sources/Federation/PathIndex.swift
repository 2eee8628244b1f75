import Primitives
import Records

/// Why no path could be chosen.
public enum PathError: Error, Equatable, Sendable {
    /// The map has relays with a mix key of this epoch in only `available` different clusters.
    case tooFewClusters(needed: Int, available: Int)
}

/// A map view sorted for drawing paths of one epoch: made once for a map, so that a draw costs some binary searches
/// and not a look at every server (specs/map.md, "Path selection").
public struct PathIndex: Sendable {
    /// What paths avoid having twice.
    struct Origin: Sendable {
        let cluster: VerifyingKey
        let family: UInt64?
        let prefix: [UInt8]
    }

    /// By reference, because a descriptor is large and a draw looks at several.
    final class Relay: Sendable {
        let server: ServerDescriptor
        let origin: Origin
        let weight: Double

        init(_ server: ServerDescriptor, _ origin: Origin, weight: Double) {
            self.server = server
            self.origin = origin
            self.weight = weight
        }
    }

    /// The relays of one cluster in a layer.
    struct Group: Sendable {
        let cluster: VerifyingKey
        let family: UInt64?
        /// In ascending order of node ID.
        var relays: [Relay]
        /// Of the best relay, so that running many attracts no more than running one.
        var weight: Double { relays.lazy.map(\.weight).max() ?? 0 }
    }

    /// The clusters of one layer.
    struct Pool: Sendable {
        let groups: [Group]
        /// Sums of the weights up to each group.
        let sums: [Double]

        init(_ groups: [Group]) {
            self.groups = groups
            var total = 0.0
            sums = groups.map { group in
                total += group.weight
                return total
            }
        }
    }

    /// Weights are kept within these bounds, whatever was measured: 1 is the median.
    public static let weightBounds = 0.25...4.0
    /// The weight of a relay that has not been measured.
    public static let newcomerWeight = 0.5

    public let epoch: UInt64
    /// Whether the map was large enough for layers.
    public let isLayered: Bool
    /// Clusters with a relay of this epoch.
    public let clusterCount: Int
    let seed: Bytes32
    /// One for each layer, or one for all.
    let pools: [Pool]
    let origins: [NodeID: Origin]

    public init(_ view: MapView, epoch: UInt64) {
        self.epoch = epoch
        let seed = view.seed(epoch)
        self.seed = seed
        var origins: [NodeID: Origin] = [:]
        var relays: [Relay] = []
        origins.reserveCapacity(view.servers.count)
        for server in view.servers {
            let origin = Origin(
                cluster: server.clusterID, family: view.families[server.clusterID], prefix: server.tcp.prefix)
            origins[server.nodeID] = origin
            guard server.roles.contains(.relay), server.mixKey(epoch: epoch) != nil else { continue }
            let measured = view.weights[server.nodeID] ?? PathIndex.newcomerWeight
            let weight = min(max(measured, PathIndex.weightBounds.lowerBound), PathIndex.weightBounds.upperBound)
            relays.append(Relay(server, origin, weight: weight))
        }
        self.origins = origins
        let all = PathIndex.groups(relays)
        clusterCount = all.count
        var layers = [[Relay]](repeating: [], count: MixLayers.count)
        for relay in relays { layers[MixLayers.layer(of: relay.server.serverID, seed: seed)].append(relay) }
        let layered = layers.map { PathIndex.groups($0) }
        isLayered = layered.allSatisfy { $0.count >= MixLayers.leastClusters }
        pools = isLayered ? layered.map(Pool.init) : [Pool(all)]
    }

    /// The layer of a relay in this epoch; `nil` while there are none.
    public func layer(of server: VerifyingKey) -> Int? {
        isLayered ? MixLayers.layer(of: server, seed: seed) : nil
    }

    /// Sorted, because the order of a dictionary would make a seeded run irreproducible.
    private static func groups(_ relays: [Relay]) -> [Group] {
        var groups: [VerifyingKey: Group] = [:]
        for relay in relays.sorted(by: { $0.server.nodeID < $1.server.nodeID }) {
            let origin = relay.origin
            groups[origin.cluster, default: Group(cluster: origin.cluster, family: origin.family, relays: [])].relays
                .append(relay)
        }
        return groups.values.sorted { $0.cluster < $1.cluster }
    }
}
