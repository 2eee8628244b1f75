import Primitives
import Records

/// Whether the snapshot that one holds is the one that the network's clusters have signed (specs/map.md, "Cross-check").
///
/// A sample of the admitted clusters, drawn by whoever compares, has one vote each. Because the sample is drawn here,
/// a gateway that hides answers or shows only those of its friends can delay a verdict and cannot choose it.
public struct SnapshotComparison: Sendable {
    /// So many clusters are asked at most. When 30 % of all clusters lie together, they have the majority of such a
    /// sample once in about 10,000 draws.
    public static let voterLimit = 64
    /// No verdict rests on fewer answers.
    public static let leastAnswers = 3

    /// What a root says, whoever signed it.
    public struct Statement: Hashable, Sendable {
        public let root: Bytes32
        public let count: UInt32

        public init(root: Bytes32, count: UInt32) {
            self.root = root
            self.count = count
        }
    }

    public enum Verdict: Equatable, Sendable {
        /// More than half of the sample, in more than half of its address prefixes, says the same as the own snapshot,
        /// or the same at all when there is none of one's own.
        case agreed(Statement)
        /// Less than a quarter of those who answered share the own snapshot: it must not be used.
        case refused
        /// Neither: too many disagree to call it the network's view.
        case contested
        /// Too few answers so far.
        case undecided(answers: Int, needed: Int)
    }

    /// What became of a root that was handed in.
    public enum Outcome: Equatable, Sendable {
        case counted
        /// This cluster has said the same before.
        case duplicate
        /// Of another epoch, or by a cluster that is not in the sample.
        case ignored
        /// The cluster has said something else before; it has no vote any more.
        case contradiction(EquivocationEvidence)
    }

    public let epoch: UInt64
    /// The own snapshot, when one was taken.
    public let own: Statement?
    /// The sample, with one address prefix for each cluster.
    public let voters: [VerifyingKey: UInt32]
    private var votes: [VerifyingKey: SnapshotRoot] = [:]
    private var contradicting: Set<VerifyingKey> = []

    /// Draws the sample.
    /// - Parameter clusters: the admitted clusters other than one's own, each with an address prefix of a server.
    public init(epoch: UInt64, own: Statement?, clusters: [VerifyingKey: UInt32], entropy: inout Entropy) {
        self.epoch = epoch
        self.own = own
        var order = clusters.keys.sorted()
        if order.count > SnapshotComparison.voterLimit { entropy.shuffle(&order) }
        let drawn = Set(order.prefix(SnapshotComparison.voterLimit))
        voters = clusters.filter { drawn.contains($0.key) }
    }

    /// Counts a root whose signatures have been checked.
    public mutating func add(_ root: SnapshotRoot) -> Outcome {
        let cluster = root.clusterID
        guard root.epoch == epoch, voters[cluster] != nil else { return .ignored }
        guard let earlier = votes[cluster] else {
            votes[cluster] = root
            return .counted
        }
        do throws(EvidenceError) {
            let evidence = try EquivocationEvidence(earlier, root)
            contradicting.insert(cluster)
            return .contradiction(evidence)
        } catch { return .duplicate }
    }

    /// The clusters of the sample that have not answered, ascending.
    public var missing: [VerifyingKey] { voters.keys.filter { votes[$0] == nil }.sorted() }

    /// The verdict on the answers so far.
    public var verdict: Verdict {
        let needed = max(SnapshotComparison.leastAnswers, voters.count / 2 + 1)
        guard votes.count >= needed else { return .undecided(answers: votes.count, needed: needed) }
        var supporters: [Statement: [VerifyingKey]] = [:]
        for (cluster, root) in votes where !contradicting.contains(cluster) {
            supporters[Statement(root: root.root, count: root.count), default: []].append(cluster)
        }
        // Of two views with equally many votes none has more than half, so which one is taken makes no difference.
        guard let view = own ?? supporters.max(by: { $0.value.count < $1.value.count })?.key else { return .contested }
        let support = supporters[view] ?? []
        let prefixes = Set(support.compactMap { voters[$0] }).count
        if 2 * support.count > voters.count, 2 * prefixes > Set(voters.values).count { return .agreed(view) }
        return own != nil && 4 * support.count < votes.count ? .refused : .contested
    }
}
