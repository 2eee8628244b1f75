import Primitives
import Records

/// Drawing paths.
extension PathIndex {
    /// Whole draws that are compared, where a path without a blemish does not come at once.
    private static let attempts = 8
    /// Draws from a layer before all its clusters are looked at.
    private static let quickDraws = 24

    /// What speaks against a relay at a place of a path. None of it forbids the relay where there is no other.
    private enum Blemish {
        static let prefix = 1
        /// Of the cluster or the operator of an end, or the operator of another mix.
        static let operatorTwice = 100
        /// Named in `avoiding`.
        static let suspect = 10_000
    }

    /// A relay for a place of a path.
    private struct Choice {
        let relay: Relay
        let cluster: VerifyingKey
        let network: UInt32
        var blemishes = 0
        var weight: Float = 0
    }

    /// A path under construction.
    private struct Draft {
        var mixes: [Relay] = []
        var blemishes = 0
        var clusters: Set<VerifyingKey> = []
        var endClusters: Set<VerifyingKey> = []
        var families: Set<UInt64> = []
        var networks: Set<UInt32> = []

        mutating func meet(_ cluster: VerifyingKey, _ family: UInt64?, _ network: UInt32) {
            endClusters.insert(cluster)
            if let family { families.insert(family) }
            networks.insert(network)
        }

        mutating func append(_ choice: Choice, _ family: UInt64?) {
            mixes.append(choice.relay)
            blemishes += choice.blemishes
            clusters.insert(choice.cluster)
            if let family { families.insert(family) }
            networks.insert(choice.network)
        }
    }

    /// The mixes of a path: one of each layer in turn, never two of one cluster, and none of one operator or address
    /// prefix with another or with an end while the map has others.
    /// - Parameters:
    ///   - ends: the gateway and the destination, which are no mixes of the path.
    ///   - suspects: relays to be used only where there are no others.
    ///   - through: a relay that is to be in the path: at the place of its layer, or at any.
    public func path(
        length: Int, ends: [NodeID], avoiding suspects: Set<NodeID> = [], through: NodeID? = nil,
        entropy: inout Entropy
    ) throws(PathError) -> [ServerDescriptor] {
        guard length >= 0, clusterCount >= length else {
            throw .tooFewClusters(needed: length, available: clusterCount)
        }
        let suspects = Set(suspects.compactMap(place))
        var best: Draft?
        for _ in 0..<PathIndex.attempts {
            guard let draft = draft(length, ends, suspects, through, &entropy) else { continue }
            if draft.blemishes < best?.blemishes ?? .max { best = draft }
            if draft.blemishes == 0 { break }
        }
        guard var mixes = best?.mixes else { throw .tooFewClusters(needed: length, available: clusterCount) }
        // Without layers the first places would go to the heavy more often than the last.
        if !isLayered { entropy.shuffle(&mixes) }
        return mixes.compactMap(server)
    }

    /// The relays of a loop that measures one of them: three mixes, and one more between it and the measurer where those
    /// would be neighbours. So a relay sees from no link that it is being measured.
    public func loop(
        measuring target: NodeID, from measurer: NodeID, entropy: inout Entropy
    ) throws(PathError) -> [ServerDescriptor] {
        var relays = try path(length: MixLayers.count, ends: [measurer], through: target, entropy: &entropy)
        let isFirst = relays.first?.nodeID == target
        guard isFirst || relays.last?.nodeID == target else { return relays }
        let known = [measurer] + relays.map(\.nodeID)
        let taken = known.compactMap { origin($0)?.cluster }
        // In a map of four clusters there is none.
        guard let screen = try? path(length: 1, ends: known, entropy: &entropy),
            screen.allSatisfy({ !taken.contains($0.clusterID) })
        else { return relays }
        relays.insert(contentsOf: screen, at: isFirst ? 0 : relays.count)
        return relays
    }

    private func draft(
        _ length: Int, _ ends: [NodeID], _ suspects: Set<UInt32>, _ through: NodeID?, _ entropy: inout Entropy
    ) -> Draft? {
        var draft = Draft()
        for end in ends {
            if let origin = origin(end) { draft.meet(origin.cluster, family(origin.cluster), origin.network) }
        }
        let fixed = through.flatMap { place($0, length, &entropy) }
        if through != nil, fixed == nil { return nil }
        // Others may not take what the relay that must be in the path brings with it.
        if let choice = fixed?.choice {
            draft.meet(choice.cluster, family(choice.cluster), choice.network)
            draft.clusters.insert(choice.cluster)
        }
        let unusable = Set((ends + [through].compactMap(\.self)).compactMap(place))
        for position in 0..<length {
            if let fixed, fixed.position == position {
                draft.append(fixed.choice, family(fixed.choice.cluster))
                continue
            }
            let pool = pools[position % pools.count]
            guard let choice = choose(pool, draft, unusable, suspects, &entropy) else { return nil }
            draft.append(choice, family(choice.cluster))
        }
        return draft
    }

    /// Where a relay stands in a path.
    private func place(_ node: NodeID, _ length: Int, _ entropy: inout Entropy) -> (position: Int, choice: Choice)? {
        for (layer, pool) in pools.enumerated() {
            guard let origin = origin(node), let own = place(node), let group = group(origin.cluster, pool),
                let relay = pool.relays(of: group).first(where: { $0.place == own })
            else { continue }
            let choice = Choice(relay: relay, cluster: origin.cluster, network: origin.network)
            guard isLayered else { return length > 0 ? (entropy.below(length), choice) : nil }
            return layer < length ? (layer, choice) : nil
        }
        return nil
    }

    /// A relay for the next place: by weight among those without a blemish, and among those with the least where there
    /// are none.
    private func choose(
        _ pool: Pool, _ draft: Draft, _ unusable: Set<UInt32>, _ suspects: Set<UInt32>, _ entropy: inout Entropy
    ) -> Choice? {
        if pool.groups.count > PathIndex.quickDraws {
            for _ in 0..<PathIndex.quickDraws {
                let group = pool.draw(&entropy)
                if let choice = relay(of: group, pool, draft, unusable, suspects, &entropy), choice.blemishes == 0 {
                    return choice
                }
            }
        }
        var least = Int.max
        var choices: [Choice] = []
        for group in pool.groups.indices {
            guard let choice = relay(of: group, pool, draft, unusable, suspects, &entropy), choice.blemishes <= least
            else { continue }
            if choice.blemishes < least { (least, choices) = (choice.blemishes, []) }
            choices.append(choice)
        }
        return PathIndex.weighted(choices.map { Double($0.weight) }, &entropy).map { choices[$0] }
    }

    /// A relay of one cluster, by weight among those with the fewest blemishes; `nil` when the cluster has no place in
    /// the path. Its weight is the cluster's.
    private func relay(
        of group: Int, _ pool: Pool, _ draft: Draft, _ unusable: Set<UInt32>, _ suspects: Set<UInt32>,
        _ entropy: inout Entropy
    ) -> Choice? {
        guard let cluster = cluster(group, pool), !draft.clusters.contains(cluster) else { return nil }
        var shared = 0
        if draft.endClusters.contains(cluster)
            || family(cluster).map(draft.families.contains) ?? false
        {
            shared = Blemish.operatorTwice
        }
        var least = Int.max
        var choices: [(relay: Relay, network: UInt32)] = []
        for relay in pool.relays(of: group) where !unusable.contains(relay.place) {
            guard let network = network(relay) else { continue }
            var blemishes = shared
            if draft.networks.contains(network) { blemishes += Blemish.prefix }
            if suspects.contains(relay.place) { blemishes += Blemish.suspect }
            if blemishes < least { (least, choices) = (blemishes, []) }
            if blemishes == least { choices.append((relay, network)) }
        }
        return PathIndex.weighted(choices.map { Double($0.relay.weight) }, &entropy).map {
            Choice(
                relay: choices[$0].relay, cluster: cluster, network: choices[$0].network, blemishes: least,
                weight: pool.groups[group].weight)
        }
    }

    /// An index with a probability in proportion to its weight.
    private static func weighted(_ weights: [Double], _ entropy: inout Entropy) -> Int? {
        guard weights.count > 1 else { return weights.indices.first }
        var left = entropy.unit() * weights.reduce(0, +)
        for (index, weight) in weights.enumerated() {
            left -= weight
            if left <= 0 { return index }
        }
        return weights.indices.last
    }

    /// The cluster's relays in a layer; groups are sorted by cluster.
    private func group(_ cluster: VerifyingKey, _ pool: Pool) -> Int? {
        var low = 0
        var high = pool.groups.count
        while low < high {
            let middle = (low + high) / 2
            if let other = self.cluster(middle, pool), other < cluster { low = middle + 1 } else { high = middle }
        }
        return low < pool.groups.count && self.cluster(low, pool) == cluster ? low : nil
    }
}

extension PathIndex.Pool {
    /// A cluster with a probability in proportion to its weight.
    func draw(_ entropy: inout Entropy) -> Int {
        let target = entropy.unit() * (sums.last ?? 0)
        var low = 0
        var high = sums.count - 1
        while low < high {
            let middle = (low + high) / 2
            if sums[middle] < target { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
