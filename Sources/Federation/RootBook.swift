import Primitives
import Records
import Wire

/// The snapshot roots of the current and the last epoch: of each cluster the first, and one that contradicts it.
struct RootBook: Sendable {
    struct Entry: Sendable {
        let first: SnapshotRoot
        var second: SnapshotRoot?

        var all: [SnapshotRoot] { [first] + (second.map { [$0] } ?? []) }
    }

    /// What a root is to a book.
    enum Standing {
        case new
        /// The cluster has said this before, or two other things: enough is known of it.
        case known
        case contradicts(SnapshotRoot)
    }

    private(set) var epochs: [UInt64: [VerifyingKey: Entry]] = [:]

    func standing(of root: SnapshotRoot) -> Standing {
        guard let entry = epochs[root.epoch]?[root.clusterID] else { return .new }
        return entry.second != nil || entry.first.agrees(with: root) ? .known : .contradicts(entry.first)
    }

    /// Enters a root that is not yet known.
    /// - Returns: the digests that this adds to those compared.
    mutating func add(_ root: SnapshotRoot) -> [MapDigest] {
        if epochs[root.epoch]?[root.clusterID] == nil {
            epochs[root.epoch, default: [:]][root.clusterID] = Entry(first: root, second: nil)
            return [RootBook.digest(root, number: 1)]
        }
        guard epochs[root.epoch]?[root.clusterID]?.second == nil else { return [] }
        epochs[root.epoch]?[root.clusterID]?.second = root
        return [RootBook.digest(root, number: 2)]
    }

    /// Bits of a digest's sequence below its epoch.
    static let numberBits: UInt64 = 2

    /// What version 2 compares: that a cluster has said something in an epoch, and that it has contradicted itself, with
    /// the roots that prove either. Which of several roots that say the same is held makes no difference.
    var elements: [(digest: MapDigest, roots: [SnapshotRoot])] {
        var out: [(digest: MapDigest, roots: [SnapshotRoot])] = []
        for entry in epochs.values.flatMap(\.values) {
            out.append((RootBook.digest(entry.first, number: 1), [entry.first]))
            if entry.second != nil { out.append((RootBook.digest(entry.first, number: 2), entry.all)) }
        }
        return out.sorted { $0.digest < $1.digest }
    }

    /// The roots that one of ``elements`` stands for; none when it is not known.
    func roots(of digest: MapDigest) -> [SnapshotRoot] {
        guard epochs[digest.sequence >> RootBook.numberBits] != nil else { return [] }
        return elements.first { $0.digest == digest }?.roots ?? []
    }

    /// Identifier: the first 16 bytes of `H("hulda/map-root", ClusterID)`; sequence: epoch · 4 + number.
    static func digest(_ root: SnapshotRoot, number: UInt64) -> MapDigest {
        let whole = BLAKE2b.h(Domain("hulda/map-root"), root.clusterID.bytes)
        return MapDigest(
            id: Bytes16(whole.bytes.prefix(16)) ?? Bytes16(), sequence: root.epoch << numberBits | number)
    }

    mutating func forget(before epoch: UInt64) { epochs = epochs.filter { $0.key >= epoch } }

    /// Gives up the roots that nobody takes yet.
    /// - Returns: their digests.
    mutating func forget(after now: Timestamp) -> [MapDigest] {
        let early = elements.filter { $0.roots.contains { $0.isAhead(of: now) } }
        epochs = epochs.filter { !$0.value.values.contains { $0.first.isAhead(of: now) } }
        return early.map(\.digest)
    }

    subscript(epoch: UInt64, cluster: VerifyingKey) -> Entry? { epochs[epoch]?[cluster] }

    /// All roots of an epoch, by cluster.
    func roots(_ epoch: UInt64) -> [SnapshotRoot] {
        (epochs[epoch] ?? [:]).sorted { $0.key < $1.key }.flatMap(\.value.all)
    }

    /// The first 8 bytes of BLAKE2b-128 of epoch ‖ for each cluster: ClusterID ‖ number of roots.
    ///
    /// It covers whose roots are held and not which: of a cluster that signs many, nodes hold different ones for ever.
    func checksum(_ epoch: UInt64) -> UInt64 {
        var hash = BLAKE2b(outputCount: 16, domain: Domain("hulda/map-roots"))
        hash.update(epoch)
        for (cluster, entry) in (epochs[epoch] ?? [:]).sorted(by: { $0.key < $1.key }) {
            hash.update(cluster.bytes)
            hash.update([UInt8(truncatingIfNeeded: entry.all.count)])
        }
        let digest: Bytes16 = hash.finalize()
        return digest.bytes.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}

/// What came of snapshot roots since the start.
public struct SnapshotCounters: CounterSet {
    public static let family = "map.roots"
    public static let names = [
        "evidence": "map.evidence", "evidenceDropped": "map.evidence.dropped",
        "evidenceEvicted": "map.evidence.evicted",
    ]

    public var learned: UInt64 = 0
    public var signed: UInt64 = 0
    public var duplicates: UInt64 = 0
    public var malformed: UInt64 = 0
    public var forged: UInt64 = 0
    /// Neither of the current nor of the last epoch.
    public var farOff: UInt64 = 0
    /// By a cluster that is not admitted.
    public var notAdmitted: UInt64 = 0
    /// By a cluster that has no say in the epoch.
    public var unasked: UInt64 = 0
    /// Different from another one of the same cluster and epoch.
    public var contradicting: UInt64 = 0
    /// Pieces of evidence kept.
    public var evidence: UInt64 = 0
    /// Not kept, because there is one of this key already or no room.
    public var evidenceDropped: UInt64 = 0
    /// Given up, of a cluster with many, for one of another cluster.
    public var evidenceEvicted: UInt64 = 0

    public init() {}
}

/// What a ``MapCore`` keeps of snapshots.
struct SnapshotState: Sendable {
    /// Roots that one link is sent when it is new, and for each interval.
    static let firstAnswers = 1024
    static let answersPerInterval = 4

    struct Budget: Sendable {
        var answers = SnapshotState.firstAnswers
        var asks = 1
    }

    var started: Timestamp
    var signer: CertifiedSigner?
    var book = RootBook()
    /// The own snapshot of an epoch; the statement is missing when the map had no leaf. A node keeps the leaves' hashes,
    /// 32 bytes each, to prove what stood in it however the map changes until the next.
    var own: (epoch: UInt64, statement: SnapshotComparison.Statement?, hashes: [Bytes32])?
    var comparison: SnapshotComparison?
    var verdict: SnapshotComparison.Verdict?
    var links: [UInt64: Budget] = [:]
    var nextAsk: Timestamp
    /// What the judge of descriptors has found and the store has yet to keep.
    var found: EquivocationEvidence?
    var ledger = EvidenceLedger()
    var counters = SnapshotCounters()
    /// The shared random values that the driver has handed in, by epoch: the last two.
    var values: [UInt64: Bytes32] = [:]
    /// Who speaks in an epoch; made anew when somebody was admitted or is no longer.
    var speakers: [UInt64: SpeakerList] = [:]

    init(started: Timestamp) {
        self.started = started
        nextAsk = started
    }
}
