import Primitives

/// What the network does to a message between two places: servers are places 0, 1, …, agents follow them.
struct NetworkModel {
    /// How badly it behaves; shares are of a thousand messages.
    struct Quality: Equatable, Sendable {
        var loss = 0
        /// Come a second time soon and a third time ten seconds to a minute late.
        var duplicates = 0
        /// Are held back for up to ``reorderDelay``, so that later ones overtake them.
        var reordered = 0
        /// Milliseconds.
        var reorderDelay: UInt64 = 2000

        static let perfect = Quality()
    }

    private let latency = RegionLatency()
    private var regions: [Int] = []
    private var groups: [Int] = []
    /// Links that are dead in one direction, as `from << 32 | to`.
    private var dead: Set<UInt64> = []
    var quality = Quality.perfect
    private(set) var lost: UInt64 = 0

    mutating func addPlace(_ entropy: inout Entropy) {
        regions.append(latency.region(&entropy))
        groups.append(0)
    }

    // MARK: Faults

    /// Puts these places into a part of the network that others do not reach; 0 is where everybody is at first.
    mutating func move(_ places: [Int], toGroup group: Int) {
        for place in places where groups.indices.contains(place) { groups[place] = group }
    }

    /// Nothing comes from `from` to `to` any more; the other direction works.
    mutating func cut(_ from: Int, _ to: Int) { dead.insert(NetworkModel.pair(from, to)) }
    mutating func mend(_ from: Int, _ to: Int) { dead.remove(NetworkModel.pair(from, to)) }

    func reaches(_ from: Int, _ to: Int) -> Bool {
        guard groups.indices.contains(from), groups.indices.contains(to) else { return false }
        return groups[from] == groups[to] && !dead.contains(NetworkModel.pair(from, to))
    }

    private static func pair(_ from: Int, _ to: Int) -> UInt64 { UInt64(from) << 32 | UInt64(to) }

    // MARK: Messages

    /// After how many milliseconds the message comes: once, several times, or never.
    mutating func delays(_ from: Int, _ to: Int, _ entropy: inout Entropy) -> [UInt64] {
        guard reaches(from, to), entropy.below(1000) >= quality.loss else {
            lost += 1
            return []
        }
        var delays = [delay(from, to, &entropy)]
        if quality.reordered > 0, entropy.below(1000) < quality.reordered {
            delays[0] += UInt64(entropy.below(Int(clamping: quality.reorderDelay) + 1))
        }
        if quality.duplicates > 0, entropy.below(1000) < quality.duplicates {
            delays.append(delay(from, to, &entropy) + UInt64(entropy.below(200)))
            delays.append(10_000 + UInt64(entropy.below(50_000)))
        }
        return delays
    }

    /// Of a stream, which keeps its order and loses nothing while it stands: one delay without loss or repetition.
    mutating func streamDelay(_ from: Int, _ to: Int, _ entropy: inout Entropy) -> UInt64? {
        guard reaches(from, to) else {
            lost += 1
            return nil
        }
        return delay(from, to, &entropy)
    }

    private func delay(_ from: Int, _ to: Int, _ entropy: inout Entropy) -> UInt64 {
        UInt64(max(1, latency.delay(regions[from], regions[to], &entropy)))
    }
}
