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
    /// A relay as far as a draw needs it: its descriptor is decoded when it is drawn.
    struct Relay: Sendable {
        /// The first 16 bytes of its node ID.
        let id: Bytes16
        /// Of its TCP address.
        let network: UInt32
        let weight: Float
    }

    /// The relays of one cluster in a layer.
    struct Group: Sendable {
        let cluster: VerifyingKey
        /// Its relays in ``Pool/relays``.
        let relays: Range<Int32>
        /// Of the best relay, so that running many attracts no more than running one.
        let weight: Float
    }

    /// The clusters of one layer, ascending.
    struct Pool: Sendable {
        let groups: [Group]
        /// By cluster, and in ascending order of node ID.
        let relays: [Relay]
        /// Sums of the weights up to each group.
        let sums: [Double]

        func relays(of group: Group) -> ArraySlice<Relay> {
            relays[Int(group.relays.lowerBound)..<Int(group.relays.upperBound)]
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
    private let table: ServerTable
    private let families: [VerifyingKey: UInt64]

    public init(_ view: MapView, epoch: UInt64) {
        self.epoch = epoch
        let seed = view.seed(epoch)
        self.seed = seed
        table = view.table
        families = view.families
        var relays: [(cluster: VerifyingKey, relay: Relay, layer: UInt8)] = []
        relays.reserveCapacity(view.table.count)
        for (place, id) in view.table.ids.enumerated() {
            guard let server = view.table.glance(at: place), server.roles.contains(.relay),
                server.hasMixKey(epoch: epoch)
            else { continue }
            let measured = view.weights[id] ?? Float(PathIndex.newcomerWeight)
            let bounds = PathIndex.weightBounds
            let relay = Relay(
                id: id, network: server.tcpNetwork,
                weight: min(max(measured, Float(bounds.lowerBound)), Float(bounds.upperBound)))
            let layer = MixLayers.layer(of: server.serverID, seed: seed)
            relays.append((server.clusterID, relay, UInt8(truncatingIfNeeded: layer)))
        }
        // Sorted, because the order of a dictionary would make a seeded run irreproducible.
        relays.sort { ($0.cluster, $0.relay.id) < ($1.cluster, $1.relay.id) }
        let layered = (0..<MixLayers.count).map { layer in
            Pool(relays.lazy.filter { Int($0.layer) == layer }.map { ($0.cluster, $0.relay) })
        }
        isLayered = layered.allSatisfy { $0.groups.count >= MixLayers.leastClusters }
        if isLayered {
            pools = layered
            clusterCount = Set(layered.lazy.flatMap(\.groups).map(\.cluster)).count
        } else {
            let all = Pool(relays.lazy.map { ($0.cluster, $0.relay) })
            pools = [all]
            clusterCount = all.groups.count
        }
    }

    func family(_ cluster: VerifyingKey) -> UInt64? { families[cluster] }

    /// The cluster and the network of a server, whatever its roles.
    func origin(_ node: NodeID) -> (cluster: VerifyingKey, network: UInt32)? {
        table.glance(MapCore.name(node)).map { ($0.clusterID, $0.tcpNetwork) }
    }

    func server(_ relay: Relay) -> ServerDescriptor? { table.server(relay.id) }

    /// The layer of a relay in this epoch; `nil` while there are none.
    public func layer(of server: VerifyingKey) -> Int? {
        isLayered ? MixLayers.layer(of: server, seed: seed) : nil
    }
}

extension PathIndex.Pool {
    /// - Parameter relays: sorted by cluster and node ID.
    init(_ relays: some Sequence<(cluster: VerifyingKey, relay: PathIndex.Relay)>) {
        var ordered: [PathIndex.Relay] = []
        var groups: [PathIndex.Group] = []
        var sums: [Double] = []
        var start = 0
        var cluster: VerifyingKey?
        func close() -> PathIndex.Group? {
            guard let cluster, start < ordered.count else { return nil }
            return PathIndex.Group(
                cluster: cluster, relays: Int32(truncatingIfNeeded: start)..<Int32(truncatingIfNeeded: ordered.count),
                weight: ordered[start...].lazy.map(\.weight).max() ?? 0)
        }
        for (next, relay) in relays {
            if next != cluster {
                if let group = close() { groups.append(group) }
                start = ordered.count
                cluster = next
            }
            ordered.append(relay)
        }
        if let group = close() { groups.append(group) }
        var total = 0.0
        for group in groups {
            total += Double(group.weight)
            sums.append(total)
        }
        self.init(groups: groups, relays: ordered, sums: sums)
    }
}
