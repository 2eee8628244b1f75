import Primitives
import Records

/// Which clusters belong to the map: the trust roots, and whoever is endorsed by one that belongs.
///
/// The design wants two vertex-disjoint endorsement paths once the map has five clusters; one path suffices here, and
/// this type is where the stricter rule goes (specs/map.md, "Admission").
public struct Admission: Sendable {
    /// Clusters that need nobody's endorsement.
    public private(set) var roots: Set<VerifyingKey>
    /// The roots and everything that endorsements reach from them.
    public private(set) var admitted: Set<VerifyingKey>

    public init(roots: Set<VerifyingKey>) {
        self.roots = roots
        admitted = roots
    }

    public init(bootstrap: BootstrapList) { self.init(roots: Set(bootstrap.links.map(\.clusterID))) }

    public func admits(_ cluster: VerifyingKey) -> Bool { admitted.contains(cluster) }

    mutating func addRoot(_ cluster: VerifyingKey) {
        roots.insert(cluster)
        admitted.insert(cluster)
    }

    /// Follows endorsements from scratch.
    mutating func recompute(_ clusters: [VerifyingKey: ClusterDescriptor]) {
        admitted = roots
        var frontier = Array(roots)
        while let cluster = frontier.popLast() {
            for endorsed in clusters[cluster]?.endorsements ?? [] where admitted.insert(endorsed).inserted {
                frontier.append(endorsed)
            }
        }
    }

    /// Follows endorsements that `descriptor` adds; those that it withdraws need ``recompute(_:)``.
    /// - Returns: whether anybody was newly admitted.
    mutating func extend(_ descriptor: ClusterDescriptor, _ clusters: [VerifyingKey: ClusterDescriptor]) -> Bool {
        guard admitted.contains(descriptor.clusterID) else { return false }
        var grew = false
        var frontier = [descriptor.endorsements]
        while let endorsements = frontier.popLast() {
            for endorsed in endorsements where admitted.insert(endorsed).inserted {
                grew = true
                if let next = clusters[endorsed] { frontier.append(next.endorsements) }
            }
        }
        return grew
    }
}
