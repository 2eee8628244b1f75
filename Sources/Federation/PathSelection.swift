import Primitives
import Records
import Wire

/// Why no path could be chosen.
public enum PathError: Error, Equatable, Sendable {
    /// The map has relays with a mix key of this epoch in only `available` different clusters.
    case tooFewClusters(needed: Int, available: Int)
}

/// Chooses the mixes of a path.
///
/// A cluster is drawn first and a server of it after, both uniformly, so that running many servers attracts no more
/// traffic than running one. Weights by measured capacity and layers by epoch are not part of this (specs/map.md).
public enum PathSelection {
    /// Draws that are compared for diversity of address prefixes.
    private static let attempts = 8

    /// Random distinct relays, never two of one cluster, of different address prefixes while the map has such.
    /// - Parameters:
    ///   - servers: the admitted map; those without the relay role or a mix key of `epoch` are passed over.
    ///   - length: the number of mixes.
    ///   - excluding: nodes not to be used, as the gateway and the destination; their clusters and prefixes are
    ///     avoided too while alternatives exist.
    public static func path(
        servers: [ServerDescriptor], length: Int, excluding: Set<NodeID>, epoch: UInt64, entropy: inout Entropy
    ) throws(PathError) -> [ServerDescriptor] {
        let ends = servers.filter { excluding.contains($0.nodeID) }
        let endClusters = Set(ends.map(\.clusterID))
        var groups: [VerifyingKey: [ServerDescriptor]] = [:]
        for server in servers
        where server.roles.contains(.relay) && !excluding.contains(server.nodeID) && server.mixKey(epoch: epoch) != nil
        {
            groups[server.clusterID, default: []].append(server)
        }
        guard length >= 0, groups.count >= length else {
            throw .tooFewClusters(needed: length, available: groups.count)
        }
        // Sorted, because the order of a dictionary would make a seeded run irreproducible.
        let near = groups.keys.filter { endClusters.contains($0) }.sorted()
        let far = groups.keys.filter { !endClusters.contains($0) }.sorted()
        let taken = Set(ends.map(\.tcp.prefix))
        var best: [ServerDescriptor] = []
        var bestDiversity = -1
        for _ in 0..<attempts {
            var order = far
            entropy.shuffle(&order)
            if order.count < length {
                var rest = near
                entropy.shuffle(&rest)
                order += rest.prefix(length - order.count)
            }
            let path = draw(order.map { groups[$0, default: []] }, length, taken, &entropy)
            let diversity = Set(path.map(\.tcp.prefix)).subtracting(taken).count
            if diversity > bestDiversity { (best, bestDiversity) = (path, diversity) }
            if diversity == length { break }
        }
        entropy.shuffle(&best)
        return best
    }

    /// One server of each of `length` groups: first such with a new prefix, then any.
    private static func draw(
        _ groups: [[ServerDescriptor]], _ length: Int, _ taken: Set<[UInt8]>, _ entropy: inout Entropy
    ) -> [ServerDescriptor] {
        var prefixes = taken
        var path: [ServerDescriptor] = []
        var left: [[ServerDescriptor]] = []
        for group in groups where path.count < length {
            let fresh = group.filter { !prefixes.contains($0.tcp.prefix) }
            guard !fresh.isEmpty else {
                left.append(group)
                continue
            }
            let server = fresh[entropy.below(fresh.count)]
            prefixes.insert(server.tcp.prefix)
            path.append(server)
        }
        for group in left where path.count < length { path.append(group[entropy.below(group.count)]) }
        return path
    }
}
