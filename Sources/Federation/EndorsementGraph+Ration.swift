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

    /// Whether the peering of two clusters counts in this epoch: that of any two established ones; of an established
    /// cluster and a newcomer if that is among the first eight; never that of two newcomers, who so cannot bring each
    /// other in.
    func counts(_ first: UInt32, _ second: UInt32, in graph: EndorsementGraph) -> Bool {
        switch (isEstablished(first, graph), isEstablished(second, graph)) {
        case (true, true): true
        case (true, false): !isBeyond(second, first, graph)
        case (false, true): !isBeyond(first, second, graph)
        case (false, false): false
        }
    }

    private func isEstablished(_ cluster: UInt32, _ graph: EndorsementGraph) -> Bool {
        established(graph.names.key(cluster))
    }

    /// Whether `newcomer` is not among the first that `cluster` brings.
    private func isBeyond(_ newcomer: UInt32, _ cluster: UInt32, _ graph: EndorsementGraph) -> Bool {
        let newcomers = graph.endorsements(of: cluster).lazy.filter { !isEstablished($0, graph) }
        return !newcomers.prefix(EndorsementRation.perCluster).contains(newcomer)
    }
}
