import Primitives
import Records
import Wire

/// What a map has of an epoch's snapshot and heard others sign: for operators and auditors (`hulda node status`).
public struct SnapshotReport: Codable, Equatable, Sendable {
    public enum Judgement: String, Codable, Sendable {
        case agreed, contested, refused, undecided
    }

    public struct Signed: Codable, Equatable, Sendable {
        public var root: String
        public var entries: UInt32
        /// Clusters that signed it.
        public var clusters: Int

        public init(root: String, entries: UInt32, clusters: Int) {
            self.root = root
            self.entries = entries
            self.clusters = clusters
        }
    }

    public var epoch: UInt64
    /// The root of the snapshot that this map took itself; missing when it was started within the epoch, or before the
    /// snapshot is taken.
    public var own: String?
    /// What the cross-check came to.
    public var judgement: Judgement
    /// Roots by how many clusters signed them, ``limit`` at most.
    public var signed: [Signed]
    /// Clusters that signed two.
    public var contradicting: Int

    /// The most roots in one report: those that hardly anybody signed are left out.
    public static let limit = 16

    public init(epoch: UInt64, own: String?, judgement: Judgement, signed: [Signed], contradicting: Int) {
        self.epoch = epoch
        self.own = own
        self.judgement = judgement
        self.signed = signed
        self.contradicting = contradicting
    }
}

extension MapCore {
    /// The snapshot of the epoch of `now`.
    public func snapshotReport(at now: Timestamp) -> SnapshotReport {
        let roots = roots(now.epoch)
        let signed = Dictionary(grouping: roots) { SnapshotComparison.Statement(root: $0.root, count: $0.count) }
            .map { SnapshotReport.Signed(root: $0.root.hex, entries: $0.count, clusters: $1.count) }
            .sorted { ($1.clusters, $0.root) < ($0.clusters, $1.root) }
        return SnapshotReport(
            epoch: now.epoch, own: ownSnapshot(now.epoch)?.root.hex, judgement: judgement(at: now),
            signed: Array(signed.prefix(SnapshotReport.limit)),
            contradicting: roots.count - Set(roots.map(\.clusterID)).count)
    }

    private func judgement(at now: Timestamp) -> SnapshotReport.Judgement {
        // A map that came together within the epoch may be refused beside a sample that agrees.
        guard !isViewRefused(at: now) else { return .refused }
        guard let comparison = snapshots.comparison, comparison.epoch == now.epoch else { return .undecided }
        return switch comparison.verdict {
        case .agreed: .agreed
        case .contested: .contested
        case .refused: .refused
        case .undecided: .undecided
        }
    }
}
