import Primitives
import Records
import Storage
import Wire

/// The gateways that an agent stays with, after Tor's proposal 271 (specs/correspondence.md, "Gateways").
///
/// Gateways are *sampled* from the map once and kept for months, so that whoever makes gateways fail, or changes the map,
/// leads an agent through a bounded number of them. Those through which a loop has come back are *confirmed* and come
/// first, in the order in which they were. Unlike Tor's, an agent uses two at a time, and a guard that failed counts as
/// working again when a loop came back through it, not when its link stands.
struct GuardList: Sendable {
    /// Gateways that an agent has to do with at most, until their lifetimes end.
    static let sampleLimit = 8
    /// So many are sampled at once; each further one only for want of a working guard, one in ``growthPause``.
    static let primaries = 3
    /// Milliseconds.
    static let growthPause: UInt64 = 60_000
    /// Days for which a guard is kept: drawn for each, so that they do not end together.
    static let lifetimeDays = 90...120
    /// Days after which a guard that is on the map no more is forgotten.
    static let absenceDays: UInt64 = 20
    /// Milliseconds until a guard that failed is tried again: doubled each time, to the longest.
    static let firstRetry: UInt64 = 30_000
    static let longestRetry: (primary: UInt64, other: UInt64) = (600_000, 3_600_000)
    /// A guard whose link stood and that passed nothing on is left alone for longer.
    static let deafRetry: UInt64 = 600_000

    private static let key = Array("guards".utf8)
    private static let version: UInt8 = 1
    private static let day: UInt64 = 86_400

    /// Where the map has a gateway.
    struct Place: Sendable {
        let cluster: VerifyingKey
        let family: UInt64?

        func isApart(from others: [Place]) -> Bool {
            others.allSatisfy { $0.cluster != cluster && ($0.family == nil || $0.family != family) }
        }
    }

    private struct Guard: Sendable, Equatable {
        let node: NodeID
        /// Seconds since 1970, as the two below.
        let expiry: UInt64
        var confirmed: UInt64?
        var lastListed: UInt64
        // What follows ends with the process.
        var failures: UInt64 = 0
        var retry: Timestamp?

        init(node: NodeID, expiry: UInt64, confirmed: UInt64? = nil, lastListed: UInt64) {
            self.node = node
            self.expiry = expiry
            self.confirmed = confirmed
            self.lastListed = lastListed
        }
    }

    /// In the order in which they were sampled.
    private var guards: [Guard] = []
    private var nextGrowth = Timestamp(milliseconds: 0)
    /// The gateways to keep links with, the preferred first.
    private(set) var wanted: [NodeID] = []
    /// When ``choose(_:places:homes:now:entropy:)`` may come to something else by itself.
    private(set) var nextChoice: Timestamp?

    /// Every gateway that this agent has to do with.
    var nodes: [NodeID] { guards.map(\.node) }

    /// Whether nothing has been heard against the guard.
    func isHealthy(_ node: NodeID) -> Bool { guards.contains { $0.node == node && $0.failures == 0 } }

    // MARK: Events

    /// A loop came back through the guard.
    mutating func worked(_ node: NodeID, now: Timestamp) {
        guard let place = guards.firstIndex(where: { $0.node == node }) else { return }
        if guards[place].failures > 0 { nextChoice = now }
        guards[place].failures = 0
        guards[place].retry = nil
        if guards[place].confirmed == nil { guards[place].confirmed = now.seconds }
    }

    /// The clock went back.
    mutating func turnBack(by amount: UInt64) {
        for place in guards.indices { guards[place].retry = guards[place].retry?.earlier(by: amount) }
        nextGrowth = nextGrowth.earlier(by: amount)
        nextChoice = nextChoice?.earlier(by: amount)
    }

    /// The guard cannot be reached, or passes nothing on.
    mutating func failed(_ node: NodeID, isDeaf: Bool, now: Timestamp) {
        guard let place = guards.firstIndex(where: { $0.node == node }) else { return }
        guards[place].failures += 1
        let isPrimary = preference.prefix(GuardList.primaries).contains(place)
        let longest = isPrimary ? GuardList.longestRetry.primary : GuardList.longestRetry.other
        let wait = min(GuardList.firstRetry << min(guards[place].failures - 1, 10), longest)
        guards[place].retry = now.adding(milliseconds: isDeaf ? max(wait, GuardList.deafRetry) : wait)
    }

    // MARK: Choice

    /// The guards' indices, the preferred first.
    private var preference: [Int] {
        guards.indices.sorted {
            let (left, right) = (guards[$0].confirmed ?? .max, guards[$1].confirmed ?? .max)
            return (left, $0) < (right, $1)
        }
    }

    /// Chooses the gateways to keep links with: so many that work, of different operators and not a home's, and one of
    /// those preferred to them whose time to be tried again has come; as many as are wanted where none works.
    /// - Parameter places: every gateway on the map.
    mutating func choose(
        _ count: Int, places: [NodeID: Place], homes: [Place], now: Timestamp, entropy: inout Entropy
    ) {
        for index in guards.indices where places[guards[index].node] != nil { guards[index].lastListed = now.seconds }
        guards.removeAll {
            let absence = now.seconds - min(now.seconds, $0.lastListed)
            return $0.expiry <= now.seconds || absence >= GuardList.absenceDays * GuardList.day
        }
        while guards.count < GuardList.primaries, sample(places, homes, now, &entropy) {}
        // In a network so small that there is none but a home's, that is used.
        let hasOther = guards.contains { one in
            places[one.node]?.isApart(from: homes) ?? false
        }
        let others = hasOther ? homes : []
        var working = pick(count, places, apart: others, now)
        if working < count, guards.count < GuardList.sampleLimit, now >= nextGrowth {
            nextGrowth = now.adding(milliseconds: GuardList.growthPause)
            if sample(places, homes, now, &entropy) { working = pick(count, places, apart: others, now) }
        }
        let retries = guards.compactMap(\.retry).filter { $0 > now }
        let canGrow = working < count && guards.count < GuardList.sampleLimit
        nextChoice = (canGrow ? retries + [max(nextGrowth, now.adding(milliseconds: 1000))] : retries).min()
    }

    /// - Returns: how many of ``wanted`` work as far as is known.
    private mutating func pick(
        _ count: Int, _ places: [NodeID: Place], apart: [Place], _ now: Timestamp
    ) -> Int {
        var taken = apart
        var chosen: [NodeID] = []
        var working = 0
        var triesLeft = guards.contains { $0.failures == 0 && places[$0.node] != nil } ? 1 : count
        for index in preference where working < count {
            let candidate = guards[index]
            guard let place = places[candidate.node], place.isApart(from: taken) else { continue }
            if candidate.failures == 0 {
                working += 1
            } else {
                guard triesLeft > 0, let retry = candidate.retry, retry <= now else { continue }
                triesLeft -= 1
            }
            taken.append(place)
            chosen.append(candidate.node)
        }
        if working == 0 { hurry(now) }
        wanted = chosen
        return working
    }

    /// While none works, perhaps because the own network is down, all are tried again soon.
    private mutating func hurry(_ now: Timestamp) {
        let soon = now.adding(milliseconds: GuardList.firstRetry)
        for index in guards.indices { guards[index].retry = guards[index].retry.map { min($0, soon) } }
    }

    /// Adds a gateway of a cluster drawn uniformly, so that running many attracts no more agents than running one.
    /// - Returns: false when the map has none that fits.
    private mutating func sample(
        _ places: [NodeID: Place], _ homes: [Place], _ now: Timestamp, _ entropy: inout Entropy
    ) -> Bool {
        let known = Set(guards.map(\.node))
        let taken = guards.compactMap { places[$0.node] } + homes
        var free = places.filter { !known.contains($0.key) && $0.value.isApart(from: taken) }
        if free.isEmpty, guards.isEmpty { free = places }
        let clusters = Set(free.values.map(\.cluster)).sorted()
        guard !clusters.isEmpty else { return false }
        let cluster = clusters[entropy.below(clusters.count)]
        let nodes = free.filter { $0.value.cluster == cluster }.keys.sorted()
        let node = nodes[entropy.below(nodes.count)]
        let days = GuardList.lifetimeDays
        let lifetime = UInt64(days.lowerBound) * GuardList.day + UInt64(entropy.below(days.count * Int(GuardList.day)))
        guards.append(Guard(node: node, expiry: now.seconds + lifetime, lastListed: now.seconds))
        return true
    }

    // MARK: Store

    init() {}

    init(_ store: borrowing some (KeyValueStore & ~Copyable)) throws(StorageError) {
        guard let bytes = try store.get(AgentCore.state, GuardList.key) else { return }
        do throws(WireError) {
            var reader = Reader(bytes)
            let version = try reader.uint8()
            guard version == GuardList.version else { throw .unknownKind(version) }
            for _ in 0..<min(GuardList.sampleLimit, Int(try reader.uint8())) {
                let node: NodeID = try reader.fixed()
                let expiry = try reader.uint64()
                let confirmed = try reader.uint64()
                guards.append(
                    Guard(
                        node: node, expiry: expiry, confirmed: confirmed == 0 ? nil : confirmed,
                        lastListed: min(try reader.uint64(), expiry)))
            }
        } catch {
            throw .corrupt("the agent's gateways: \(error)")
        }
    }

    /// Version 1 ‖ count 1 ‖ for each: node ID 32 ‖ expiry 8 ‖ confirmed 8, or 0 ‖ last on the map 8.
    func encode() -> [UInt8] {
        var writer = Writer(capacity: 2 + 56 * guards.count)
        writer.uint8(GuardList.version)
        writer.uint8(UInt8(truncatingIfNeeded: guards.count))
        for one in guards {
            writer.fixed(one.node)
            writer.uint64(one.expiry)
            writer.uint64(one.confirmed ?? 0)
            // To the day, so that not every look at the map is a write.
            writer.uint64(one.lastListed / GuardList.day * GuardList.day)
        }
        return writer.bytes
    }

    /// Writes what is to survive the process, if it differs from `before`.
    func save(
        unless before: [UInt8], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let bytes = encode()
        if bytes != before { try store.put(AgentCore.state, GuardList.key, bytes) }
    }
}
