import Primitives
import Records

/// How many newcomers a cluster can bring onto the map in an epoch (specs/map.md, "Endorsement budget").
///
/// Which ones follows from the descriptors alone, not from the order in which they arrive: so all maps ration alike.
struct EndorsementRation {
    /// Endorsements of newcomers that count, of each established cluster and epoch.
    static let perCluster = 8
    /// In a network of fewer clusters nothing is rationed.
    static let leastClusters = 64

    /// The clusters that were on the map when the epoch's snapshot was taken, among those in question.
    private let established: (VerifyingKey) -> Bool

    init(established: @escaping (VerifyingKey) -> Bool) { self.established = established }

    /// The peers of a cluster as far as their peering counts in this epoch: any two established ones; of an established
    /// cluster's newcomers the first eight; none of two newcomers, who so cannot bring each other in.
    func peers(of cluster: VerifyingKey, in graph: EndorsementGraph) -> [VerifyingKey] {
        let all = graph.peers(of: cluster)
        guard established(cluster) else {
            return all.filter { established($0) && !isBeyond(cluster, $0, graph) }
        }
        return all.filter { established($0) || !isBeyond($0, cluster, graph) }
    }

    /// Whether `newcomer` is not among the first that `cluster` brings.
    private func isBeyond(_ newcomer: VerifyingKey, _ cluster: VerifyingKey, _ graph: EndorsementGraph) -> Bool {
        let newcomers = graph.endorsements(of: cluster).lazy.filter { !established($0) }
        return !newcomers.prefix(EndorsementRation.perCluster).contains(newcomer)
    }
}
