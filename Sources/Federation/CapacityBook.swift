import Primitives
import Records

/// Who measures whom in an epoch, and what the measurements make of a relay's weight (specs/map.md, "Capacity").
///
/// A relay has no say in it: its measurers follow from the epoch's seed, its own word and its own cluster's count for
/// nothing, and of the others' the low median counts, so that four of nine measurers who lie together move a weight no
/// further than the honest ones' reports reach.
public struct CapacityBook: Sendable {
    /// Clusters that measure a relay.
    public static let measurers = 9
    /// With fewer reports a relay counts as not measured.
    public static let leastReports = 5
    public static let highestStep: UInt8 = 6

    public struct Relay: Sendable {
        public let node: NodeID
        public let cluster: VerifyingKey

        public init(node: NodeID, cluster: VerifyingKey) {
            self.node = node
            self.cluster = cluster
        }
    }

    private let seed: Bytes32
    /// Sorted by node ID.
    private let relays: [Relay]
    /// The clusters at their places on a circle of 64-bit numbers, ascending.
    private let circle: [(place: UInt64, cluster: VerifyingKey)]
    private let families: [VerifyingKey: UInt64]

    /// - Parameter relays: those that the map has, of all clusters that may measure.
    public init(relays: [Relay], families: [VerifyingKey: UInt64] = [:], seed: Bytes32) {
        self.seed = seed
        self.families = families
        self.relays = relays.sorted { $0.node < $1.node }
        circle = Set(relays.map(\.cluster)).map { (CapacityBook.hash(seed, $0.bytes, 0), $0) }
            .sorted { ($0.0, $0.1) < ($1.0, $1.1) }
    }

    /// The clusters that measure a relay: those that follow on nine points of the circle that belong to the relay, never
    /// its own or one of its family, and none twice.
    func measurers(of relay: Relay) -> [VerifyingKey] {
        var chosen: [VerifyingKey] = []
        guard !circle.isEmpty else { return [] }
        let family = families[relay.cluster]
        for number in 1...UInt64(CapacityBook.measurers) {
            let start = index(after: CapacityBook.hash(seed, relay.node, number))
            for step in 0..<min(circle.count, 2 * CapacityBook.measurers) {
                let cluster = circle[(start + step) % circle.count].cluster
                let isOwn = cluster == relay.cluster || (family != nil && families[cluster] == family)
                guard !isOwn, !chosen.contains(cluster) else { continue }
                chosen.append(cluster)
                break
            }
        }
        return chosen
    }

    /// The relays that a cluster measures, at most as many as a statement has room for: which are left out changes each
    /// epoch, so that none is left out by all.
    func targets(of cluster: VerifyingKey) -> [NodeID] {
        let mine = relays.filter { measurers(of: $0).contains(cluster) }.map(\.node)
        guard mine.count > CapacityStatement.entryLimit else { return mine }
        let number = UInt64(CapacityBook.measurers + 1)
        let drawn = mine.map { (lot: CapacityBook.hash(seed, $0, number), node: $0) }.sorted { $0.lot < $1.lot }
        return drawn.prefix(CapacityStatement.entryLimit).map(\.node).sorted()
    }

    /// Weights from what the clusters say: 1 is the median of all measured relays, and each lies within
    /// ``PathIndex/weightBounds``. Relays that too few have measured are not named.
    func weights(_ reports: (VerifyingKey) -> [UInt64: UInt8]?) -> RelayWeights {
        var heard: [VerifyingKey: [UInt64: UInt8]] = [:]
        var capacity: [(node: NodeID, value: Double)] = []
        for relay in relays {
            let name = CapacityStatement.name(relay.node)
            let short = CapacityStatement.shortName(relay.node)
            var steps: [UInt8] = []
            for cluster in measurers(of: relay) {
                let known = heard[cluster] ?? reports(cluster) ?? [:]
                heard[cluster] = known
                if let step = known[name] ?? known[short] { steps.append(step) }
            }
            guard steps.count >= CapacityBook.leastReports else { continue }
            steps.sort()
            capacity.append((relay.node, Double(1 << steps[(steps.count - 1) / 2])))
        }
        let sorted = capacity.map(\.value).sorted()
        guard !sorted.isEmpty else { return RelayWeights() }
        let median = sorted[(sorted.count - 1) / 2]
        let bounds = PathIndex.weightBounds
        // In order of the relays, which is that of their node IDs.
        return RelayWeights(
            capacity.lazy.map { ($0.node, Float(min(max($0.value / median, bounds.lowerBound), bounds.upperBound))) })
    }

    /// The index of the first place at or after `point`, around the circle.
    private func index(after point: UInt64) -> Int {
        var low = 0
        var high = circle.count
        while low < high {
            let middle = (low + high) / 2
            if circle[middle].place < point { low = middle + 1 } else { high = middle }
        }
        return low % circle.count
    }

    /// The first 8 bytes of `H("hulda/measure", seed ‖ key ‖ number as u64)`, little-endian.
    static func hash(_ seed: Bytes32, _ key: Bytes32, _ number: UInt64) -> UInt64 {
        var hash = BLAKE2b(outputCount: 32, domain: Domain("hulda/measure"))
        hash.update(seed)
        hash.update(key)
        hash.update(number)
        let digest: Bytes32 = hash.finalize()
        return digest.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
    }
}
