import Primitives
import Records

/// Why no path could be chosen.
public enum PathError: Error, Equatable, Sendable {
    /// The map has relays with a mix key of this epoch in only `available` different clusters.
    case tooFewClusters(needed: Int, available: Int)
}

/// A map view sorted for drawing paths of one epoch: made once for a map, so that a draw costs some binary searches
/// and not a look at every server (specs/map.md, "Path selection").
///
/// It names relays by their places in the view's table, and reads what else a draw needs there: eight bytes a relay.
public struct PathIndex: Sendable {
    struct Relay: Sendable {
        /// In the table.
        let place: UInt32
        let weight: Float
    }

    /// The relays of one cluster in a layer: those from `start` to the next group's.
    struct Group: Sendable {
        let start: UInt32
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

        func relays(of group: Int) -> ArraySlice<Relay> {
            let end = group + 1 < groups.count ? Int(groups[group + 1].start) : relays.count
            return relays[Int(groups[group].start)..<end]
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
        let relays = PathIndex.ordered(view, epoch, seed)
        clusterCount = relays.last.map { Int($0.cluster) + 1 } ?? 0
        let layered = (0..<MixLayers.count).map { layer in Pool(relays, view) { Int($0.layer) == layer } }
        isLayered = layered.allSatisfy { $0.groups.count >= MixLayers.leastClusters }
        pools = isLayered ? layered : [Pool(relays, view) { _ in true }]
    }

    /// A relay while the pools are made.
    struct Candidate {
        /// The first eight bytes of its cluster's key; when all are in order, how many clusters come before its own.
        var cluster: UInt64
        let place: UInt32
        let layer: UInt8
    }

    /// The relays of an epoch by cluster and node ID: the order of a dictionary would make a seeded run irreproducible.
    private static func ordered(_ view: MapView, _ epoch: UInt64, _ seed: Bytes32) -> [Candidate] {
        let table = view.table
        func cluster(_ relay: Candidate) -> VerifyingKey? { table.glance(at: Int(relay.place))?.clusterID }
        var relays: [Candidate] = []
        relays.reserveCapacity(table.count)
        for place in 0..<table.count {
            guard let server = table.glance(at: place), server.roles.contains(.relay), server.hasMixKey(epoch: epoch)
            else { continue }
            let prefix = server.clusterID.bytes.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
            relays.append(
                Candidate(
                    cluster: UInt64(bigEndian: prefix), place: UInt32(truncatingIfNeeded: place),
                    layer: UInt8(truncatingIfNeeded: MixLayers.layer(of: server.serverID, seed: seed))))
        }
        relays.sort { left, right in
            if left.cluster != right.cluster { return left.cluster < right.cluster }
            // The same cluster, unless two begin with the same bytes.
            if let first = cluster(left), let second = cluster(right), first != second { return first < second }
            return left.place < right.place
        }
        var number: UInt64 = 0
        var last: VerifyingKey?
        for index in relays.indices {
            let own = cluster(relays[index])
            if index > 0, own != last { number += 1 }
            last = own
            relays[index].cluster = number
        }
        return relays
    }

    func family(_ cluster: VerifyingKey) -> UInt64? { families[cluster] }

    /// The cluster and the network of a server, whatever its roles.
    func origin(_ node: NodeID) -> (cluster: VerifyingKey, network: UInt32)? {
        table.glance(MapCore.name(node)).map { ($0.clusterID, $0.tcpNetwork) }
    }

    /// The place of a server in the table, as relays are named.
    func place(_ node: NodeID) -> UInt32? { table.place(MapCore.name(node)).map { UInt32(truncatingIfNeeded: $0) } }

    /// The network of a relay's TCP address.
    func network(_ relay: Relay) -> UInt32? { table.glance(at: Int(relay.place))?.tcpNetwork }

    func server(_ relay: Relay) -> ServerDescriptor? { table.server(at: Int(relay.place)) }

    /// The cluster of a group.
    func cluster(_ group: Int, _ pool: Pool) -> VerifyingKey? {
        pool.relays(of: group).first.flatMap { table.glance(at: Int($0.place))?.clusterID }
    }

    /// The layer of a relay in this epoch; `nil` while there are none.
    public func layer(of server: VerifyingKey) -> Int? {
        isLayered ? MixLayers.layer(of: server, seed: seed) : nil
    }
}

extension PathIndex.Pool {
    /// - Parameter ordered: by cluster and node ID.
    init(_ ordered: [PathIndex.Candidate], _ view: MapView, where belongs: (PathIndex.Candidate) -> Bool) {
        var relays: [PathIndex.Relay] = []
        relays.reserveCapacity(ordered.count(where: belongs))
        var groups: [PathIndex.Group] = []
        var best: (cluster: UInt64, start: Int, weight: Float)?
        func close() {
            guard let best else { return }
            groups.reserveOneMore()
            groups.append(PathIndex.Group(start: UInt32(truncatingIfNeeded: best.start), weight: best.weight))
        }
        for candidate in ordered where belongs(candidate) {
            let weight = PathIndex.Pool.weight(candidate, view)
            if let known = best, known.cluster == candidate.cluster {
                best?.weight = max(known.weight, weight)
            } else {
                close()
                best = (candidate.cluster, relays.count, weight)
            }
            relays.append(PathIndex.Relay(place: candidate.place, weight: weight))
        }
        close()
        var sums: [Double] = []
        sums.reserveCapacity(groups.count)
        for group in groups { sums.append((sums.last ?? 0) + Double(group.weight)) }
        self.init(groups: groups, relays: relays, sums: sums)
    }

    /// What was measured, within the bounds.
    private static func weight(_ relay: PathIndex.Candidate, _ view: MapView) -> Float {
        let measured = view.table.id(at: Int(relay.place)).flatMap { view.weights[$0] }
        let bounds = PathIndex.weightBounds
        return min(
            max(measured ?? Float(PathIndex.newcomerWeight), Float(bounds.lowerBound)), Float(bounds.upperBound))
    }
}
