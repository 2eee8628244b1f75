import Primitives
import Records

/// Which clusters belong to the map: the trust roots, and whoever two vertex-disjoint paths of mutual endorsements
/// reach from them (specs/map.md, "Admission").
///
/// Descriptors are noted one by one; ``refresh()`` then decides. A change that cannot alter the result costs nothing,
/// and any other a pass that is linear in the number of mutual endorsements, whatever number of descriptors it covers.
public struct Admission: Sendable {
    /// Clusters that need nobody's endorsement.
    public private(set) var roots: Set<VerifyingKey>
    /// The roots and everybody whom endorsements admit.
    public private(set) var admitted: Set<VerifyingKey>
    private(set) var graph = EndorsementGraph()
    private var isSettled = true
    /// How often it was decided who is admitted.
    private(set) var decisions: UInt64 = 0
    /// Clusters that came in this epoch; `nil` while nobody's endorsements are rationed.
    private var newcomers: Set<VerifyingKey>?

    public init(roots: Set<VerifyingKey>) {
        self.roots = roots
        admitted = roots
    }

    public init(bootstrap: BootstrapList) { self.init(roots: Set(bootstrap.links.map(\.clusterID))) }

    public func admits(_ cluster: VerifyingKey) -> Bool { admitted.contains(cluster) }

    mutating func addRoot(_ cluster: VerifyingKey) {
        guard roots.insert(cluster).inserted else { return }
        admitted.insert(cluster)
        isSettled = false
    }

    mutating func setRoots(_ roots: Set<VerifyingKey>) {
        guard roots != self.roots else { return }
        self.roots = roots
        isSettled = false
    }

    /// Takes the endorsements of a cluster's latest descriptor, admitted or not: peering counts when both sides say so.
    mutating func note(_ descriptor: ClusterDescriptor) {
        let cluster = descriptor.clusterID
        let before = Set(graph.endorsements(of: cluster))
        let after = Set(descriptor.endorsements)
        guard before != after || !graph.knows(cluster) else { return }
        graph.set(cluster, endorsing: after)
        guard isSettled else { return }
        // Only what both sides say is an edge. A new edge between two admitted clusters admits nobody: whoever is kept
        // out hangs on one cluster, and nobody beyond that cluster is admitted.
        let lost = before.subtracting(after).contains { graph.endorses($0, cluster) }
        let gained = after.subtracting(before).contains {
            graph.endorses($0, cluster) && !(admits($0) && admits(cluster))
        }
        isSettled = !lost && !gained
        // Which newcomers count may be others now.
        if newcomers != nil, !before.symmetricDifference(after).allSatisfy(isEstablished) { isSettled = false }
    }

    /// The epoch's snapshot is taken: whoever is on the map now is established, and may bring in some in this epoch.
    mutating func beginEpoch() {
        newcomers = admitted.count >= EndorsementRation.leastClusters ? [] : nil
        isSettled = false
    }

    private func isEstablished(_ cluster: VerifyingKey) -> Bool {
        roots.contains(cluster) || (admitted.contains(cluster) && newcomers?.contains(cluster) == false)
    }

    /// Forgets a cluster's endorsements.
    mutating func forget(_ cluster: VerifyingKey) {
        let before = graph.endorsements(of: cluster)
        graph.remove(cluster)
        if before.contains(where: { graph.endorses($0, cluster) }) { isSettled = false }
    }

    /// Decides anew, if what was noted can have changed anything.
    /// - Returns: whether somebody was admitted, and whether somebody is admitted no longer.
    mutating func refresh() -> (grew: Bool, shrank: Bool) {
        guard !isSettled else { return (false, false) }
        isSettled = true
        decisions += 1
        let before = admitted
        if newcomers != nil {
            let known = self
            admitted = graph.admitted(roots: roots, ration: EndorsementRation { known.isEstablished($0) })
            newcomers?.formUnion(admitted.subtracting(before))
        } else {
            admitted = graph.admitted(roots: roots)
        }
        return (!admitted.isSubset(of: before), !before.isSubset(of: admitted))
    }

    /// Whether `cluster` peers with an admitted cluster.
    func isVouchedFor(_ cluster: VerifyingKey) -> Bool {
        graph.endorsements(of: cluster).contains { admits($0) && graph.endorses($0, cluster) }
    }

    /// Whether `cluster` and another one vouch for each other while neither is admitted.
    func isInCircle(_ cluster: VerifyingKey) -> Bool {
        !admits(cluster)
            && graph.endorsements(of: cluster).contains { !admits($0) && graph.endorses($0, cluster) }
    }

    /// Why `cluster` is admitted or is not.
    public func reason(for cluster: VerifyingKey) -> AdmissionReason {
        if roots.contains(cluster) { return .root }
        guard graph.knows(cluster) else { return .unknown }
        let paths = graph.disjointPaths(from: cluster, roots: roots)
        switch paths.count {
        case 2... where !admits(cluster): return .waiting(paths[0], paths[1])
        case 2...: return .twoPaths(paths[0], paths[1])
        case 1 where admits(cluster): return .smallMap(paths[0])
        case 1: return .onePath(paths[0], through: graph.bottleneck(of: cluster, on: paths[0], roots: roots))
        default:
            let oneSided = graph.oneSided(cluster).filter(admits)
            return .noPath(endorsedBy: oneSided)
        }
    }
}

/// Why a cluster is admitted to the map, or is not. A path leads from the cluster to a trust root, both included.
public enum AdmissionReason: Equatable, Sendable {
    /// It is a trust root.
    case root
    /// Two paths that share nothing but, possibly, the root.
    case twoPaths([VerifyingKey], [VerifyingKey])
    /// One path, which suffices while the roots reach fewer than five clusters.
    case smallMap([VerifyingKey])
    /// Not admitted in this epoch: it has two paths, but those it peers with have brought in as many as they may, or came
    /// themselves in this epoch.
    case waiting([VerifyingKey], [VerifyingKey])
    /// Not admitted: every path leads through one cluster; `nil` when that is the root's own endorsement.
    case onePath([VerifyingKey], through: VerifyingKey?)
    /// Not admitted: no path of mutual endorsements. `endorsedBy` are the admitted clusters whose endorsement it does
    /// not return.
    case noPath(endorsedBy: [VerifyingKey])
    /// Not admitted: no descriptor of it is known.
    case unknown

    public var isAdmitted: Bool {
        switch self {
        case .root, .twoPaths, .smallMap: true
        case .waiting, .onePath, .noPath, .unknown: false
        }
    }
}
