import Primitives
import Records

/// What files of membership show beside each other: whether all who signed them had the same map, and who contradicts
/// himself.
public struct MembershipComparison: Sendable {
    /// One snapshot of one epoch.
    public struct View: Hashable, Sendable {
        public let epoch: UInt64
        public let statement: SnapshotComparison.Statement
        /// The files that rest on it, by their place in the list.
        public internal(set) var files: [Int]
        /// Who signed it in any of them, ascending.
        public internal(set) var clusters: [VerifyingKey]
    }

    /// By epoch; of one epoch in the order of the files.
    public let views: [View]
    /// Two roots of one epoch by one cluster: of each kind and whoever contradicts himself the first two, which are one
    /// file.
    public let evidence: [EquivocationEvidence]

    /// Whether two files of one epoch rest on different snapshots.
    public var isDivided: Bool { zip(views, views.dropFirst()).contains { $0.epoch == $1.epoch } }

    /// - Parameter files: verified ones.
    public init(_ files: [SnapshotMembership]) {
        var views: [View] = []
        var said: [UInt64: [VerifyingKey: SnapshotRoot]] = [:]
        var names: Set<String> = []
        var evidence: [EquivocationEvidence] = []
        for (place, file) in files.enumerated() {
            let clusters = file.roots.map(\.clusterID)
            if let known = views.firstIndex(where: { $0.epoch == file.epoch && $0.statement == file.statement }) {
                views[known].files.append(place)
                views[known].clusters = Set(views[known].clusters + clusters).sorted()
            } else {
                views.append(View(epoch: file.epoch, statement: file.statement, files: [place], clusters: clusters))
            }
            for root in file.roots {
                guard let earlier = said[root.epoch]?[root.clusterID] else {
                    said[root.epoch, default: [:]][root.clusterID] = root
                    continue
                }
                guard !earlier.agrees(with: root), let piece = try? EquivocationEvidence(earlier, root),
                    names.insert(piece.fileName).inserted
                else { continue }
                evidence.append(piece)
            }
        }
        self.views = views.enumerated().sorted { ($0.element.epoch, $0.offset) < ($1.element.epoch, $1.offset) }
            .map(\.element)
        self.evidence = evidence
    }
}
