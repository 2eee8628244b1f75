import Primitives
import Records

/// The clusters that sign an epoch's snapshot: all while they are few, else a sample of them that the epoch's random
/// value draws (specs/map.md, "Who speaks").
///
/// Otherwise 10⁵ clusters would send everybody 25 MB of roots a day, of which nobody looks at more than
/// ``SnapshotComparison/voterLimit``.
public struct SpeakerList: Sendable {
    /// So many clusters speak.
    public static let limit = 512
    /// Roots of so many are taken: maps differ a little, and so do their views of who is among the first.
    static let takenLimit = 2 * limit

    public let epoch: UInt64
    /// Whoever speaks, and whoever is believed to.
    public let speaking: Set<VerifyingKey>
    public let taken: Set<VerifyingKey>

    public init(epoch: UInt64, value: Bytes32, clusters: some Collection<VerifyingKey>) {
        self.epoch = epoch
        guard clusters.count > SpeakerList.limit else {
            speaking = Set(clusters)
            taken = speaking
            return
        }
        let ranked = clusters.map { (rank: SpeakerList.rank(epoch, value, $0), cluster: $0) }
            .sorted { $0.rank < $1.rank }.map(\.cluster)
        speaking = Set(ranked.prefix(SpeakerList.limit))
        taken = Set(ranked.prefix(SpeakerList.takenLimit))
    }

    /// `H("hulda/map-speak", value ‖ epoch ‖ ClusterID)`: the lowest speak.
    static func rank(_ epoch: UInt64, _ value: Bytes32, _ cluster: VerifyingKey) -> Bytes32 {
        var hash = BLAKE2b(outputCount: 32, domain: Domain("hulda/map-speak"))
        hash.update(value)
        hash.update(epoch)
        hash.update(cluster.bytes)
        return hash.finalize()
    }
}
