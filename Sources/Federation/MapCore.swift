import Primitives
import Records
import Storage
import Wire

/// The map of the network: every admitted cluster's and server's descriptor, kept equal among nodes by gossip.
///
/// Nodes compare what they hold by coded symbols, whose bytes are in proportion to the difference, and by buckets with
/// those that speak version 1 only, or when the difference is too large to name (specs/map.md, "Gossip"). A small map
/// passes what is new on at once besides. Lost frames cost one interval, never convergence.
///
/// When ``handle(_:now:entropy:store:)`` throws, the map in memory may be ahead of the one on disk; gossip refills
/// the latter after the next start.
public struct MapCore: TimedCore, Sendable {
    static let table = Table("map")
    /// What it reads and writes of a store.
    public static let tables = [table, rootTable, agreedTable, capacityTable, evidenceTable, Tenure.table]
    /// How often expired descriptors are removed, in milliseconds.
    static let pruneInterval: UInt64 = 60_000
    /// Up to so many clusters admission is decided with every descriptor, beyond that once an interval.
    static let smallEnough = 1000
    /// And so often in an interval at most.
    static let decisionsAtOnce: UInt64 = 64
    /// Who learns so many descriptors in an interval is behind, and compares again at once.
    static let manyLearned: UInt64 = 100
    /// Links whose comparison may take more than one message of cells at the same time.
    static let longExchanges = 16
    /// The most of them with agents, so that servers always find some.
    static let longAgentExchanges = 8

    public let configuration: MapConfiguration
    public internal(set) var admission: Admission
    public internal(set) var counters = MapCounters()
    /// When to hand in ``MapEvent/wake``.
    public internal(set) var nextWake: Timestamp?

    /// Admitted descriptors; current as of the last wake, to the minute.
    var held = DescriptorTable()
    /// The admitted clusters that have said something of themselves.
    public internal(set) var clusterTotal = 0
    var roster: ServerRoster
    var versions = VersionBook()
    /// Decisions on admission when this interval began.
    var decidedBefore: UInt64 = 0
    var passes: PassBudget
    var pending = PendingTable()
    var sketches = SketchBook()
    var peers: [UInt64: MapPeer] = [:]
    /// Links with items to be sent at the end of the current event.
    var talking: Set<UInt64> = []
    var agentSalt: (salt: Bytes16, end: Timestamp)?
    var nextExchange: Timestamp
    var learnedBefore: UInt64 = 0
    /// Keys of the store that a start found unusable.
    var stale: Set<[UInt8]> = []
    var snapshots: SnapshotState
    var agreement: MapAgreement
    var capacity: CapacityState
    var newcomers: NewcomerState
    var nextPrune: Timestamp
    public internal(set) var clock: ClockWatch
    /// What servers say of the time, for an agent.
    public internal(set) var clocks = ClockVoices()

    /// The map as the store has it.
    public init(
        configuration: MapConfiguration = MapConfiguration(), admission: Admission, now: Timestamp,
        store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        self.configuration = configuration
        self.admission = admission
        nextWake = now
        nextExchange = now
        clock = ClockWatch(now)
        roster = ServerRoster(listedFrom: configuration.serversPerCluster / 2)
        passes = PassBudget(limit: configuration.passLimit)
        snapshots = SnapshotState(started: now)
        agreement = MapAgreement(now: now)
        capacity = CapacityState(nextWeighing: now)
        newcomers = NewcomerState(
            tenure: try Tenure(store), nextPoll: now.adding(milliseconds: MapCore.firstPoll))
        nextPrune = now.adding(milliseconds: MapCore.pruneInterval)
        try restore(now, store)
        try restoreRoots(now, store)
        try restoreAgreement(now, store)
        try restoreCapacity(store)
        try restoreEvidence(store)
    }

    /// Tells the network an own descriptor. Its cluster becomes a trust root of this map.
    public mutating func publish(
        _ bytes: [UInt8], now: Timestamp, store: inout some (KeyValueStore & ~Copyable)
    ) throws(MapError) -> [MapEffect] {
        let descriptor: MapDescriptor
        do throws(DescriptorError) {
            guard bytes.count <= Limits.descriptorSize else { throw .oversize(bytes.count) }
            descriptor = try MapDescriptor(decoding: bytes)
            try descriptor.verify(at: now)
        } catch { throw .descriptor(error) }
        if let old = held[descriptor.id], old.sequence >= descriptor.sequence {
            guard old == descriptor else { throw .notNewer(held: old.sequence) }
            do throws(StorageError) {
                // A commit that failed has left it in memory alone.
                if try store.get(MapCore.table, descriptor.id.bytes) != bytes {
                    try store.put(MapCore.table, descriptor.id.bytes, bytes)
                }
            } catch { throw .storage(error) }
            return []
        }
        guard hasRoom(for: descriptor) else { throw .full }
        admission.addRoot(descriptor.clusterID)
        var effects: [MapEffect] = []
        do throws(StorageError) {
            try take(descriptor, from: nil, now, &effects, &store)
        } catch { throw .storage(error) }
        nextExchange = min(nextExchange, now)
        flush(&effects)
        return effects
    }

    public mutating func handle(
        _ event: MapEvent, now: Timestamp, entropy: inout Entropy, store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [MapEffect] {
        var effects: [MapEffect] = []
        if let amount = clock.turned(to: now) { try turnBack(by: amount, to: now, &effects, &store) }
        switch event {
        case .linkUp(let link, let peer):
            linkUp(link, isAgent: peer == nil, now, &entropy, &effects)
            if peer != nil { try advanceTenure(now, &store) }
        case .linkDown(let link): linkDown(link)
        case .message(let link, let bytes):
            try receive(bytes, link, now, &entropy, &effects, &store)
        case .roots(let roots):
            admission.setRoots(roots)
            try follow(admission.refresh(), now, &effects, &store)
        case .measured(let epoch, let results):
            try state(epoch, results, now, &store)
        case .inquired(let answer):
            try receiveInquired(answer, now, &effects, &store)
            try wakeView(now, &entropy, &effects, &store)
        case .sharedRandom(let epoch, let value): setSharedRandom(value, epoch: epoch, &effects)
        case .wake:
            try wake(now, &entropy, &effects, &store)
        }
        flush(&effects)
        return effects
    }

    private mutating func linkUp(
        _ link: UInt64, isAgent: Bool, _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [MapEffect]
    ) {
        // An agent's own part is nothing, so that a gateway's sketch is the same for all of them.
        let salt: Bytes16 =
            configuration.isAgent ? Bytes16() : isAgent ? saltForAgents(now, &entropy) : entropy.bytes()
        peers[link] = MapPeer(isAgent: isAgent, salt: salt, configuration)
        if configuration.highestVersion >= MapVersion.second {
            greet(link, now, &effects)
        } else {
            peers[link]?.version = MapVersion.first
            if !configuration.isAgent { sendSummary([link], &entropy, &effects) }
        }
        linkUpSnapshots(link, now, &effects)
        linkUpCapacity(link)
    }

    private mutating func linkDown(_ link: UInt64) {
        let key = peers.removeValue(forKey: link)?.key
        if let key, !peers.values.contains(where: { $0.key == key }) { sketches.remove(key) }
        linkDownSnapshots(link)
        capacity.links[link] = nil
    }

    private mutating func wake(
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        if let nextWake, now < nextWake { return }
        let spread = Int(clamping: configuration.interval / 5)
        nextWake = now.adding(
            milliseconds: configuration.interval - UInt64(spread) + UInt64(entropy.below(2 * spread + 1)))
        passes = PassBudget(limit: configuration.passLimit)
        for link in peers.keys {
            peers[link]?.shares = MapPeer.Shares(configuration)
            // Who has not greeted for a whole interval speaks version 1.
            if peers[link]?.version == nil, peers[link]?.isSettled == true {
                peers[link]?.version = MapVersion.first
            }
            peers[link]?.isSettled = true
        }
        for key in stale { try store.delete(MapCore.table, key) }
        stale = []
        if now >= nextPrune, !clock.isOnTrial(now) {
            nextPrune = now.adding(milliseconds: MapCore.pruneInterval)
            try prune(now, &effects, &store)
        }
        try follow(admission.refresh(), now, &effects, &store)
        decidedBefore = admission.decisions
        let old = peers.filter { $0.value.version == MapVersion.first }.map(\.key).sorted()
        if !configuration.isAgent { sendSummary(old, &entropy, &effects) }
        wakeExchanges(now, &entropy, &effects)
        try wakeSnapshots(now, &entropy, &effects, &store)
        try wakeView(now, &entropy, &effects, &store)
        try wakeCapacity(now, &entropy, &effects, &store)
        try wakeNewcomers(now, &entropy, &effects, &store)
    }

    // MARK: Comparison

    /// What is held and what waits.
    var index: MapIndex { MapIndex(held, waiting: pending.digests) }

    mutating func sendSummary(_ links: [UInt64], _ entropy: inout Entropy, _ effects: inout [MapEffect]) {
        guard !links.isEmpty else { return }
        let salt = entropy.uint64()
        let message = MapMessage.summary(salt: salt, checksums: index.checksums(salt: salt)).encode()
        for link in links { send(link, message, &effects) }
    }

    private mutating func receive(
        _ bytes: [UInt8], _ link: UInt64, _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let peer = peers[link] else { return }
        if let kind = bytes.first, RootMessage.kinds.contains(kind) {
            return try receiveRoots(bytes, link, now, &entropy, &effects, &store)
        }
        if let kind = bytes.first, CapacityMessage.kinds.contains(kind) {
            return try receiveCapacity(bytes, link, now, &effects, &store)
        }
        if let kind = bytes.first, kind >= ExchangeMessage.kinds.lowerBound {
            return try receiveExchange(bytes, link, now, &entropy, &effects, &store)
        }
        let message: MapMessage
        do throws(WireError) {
            message = try MapMessage(decoding: bytes)
        } catch {
            if error == .outOfRange(field: "descriptor") { counters.oversize += 1 } else { counters.malformed += 1 }
            return
        }
        switch message {
        case .summary(let salt, let checksums):
            guard take(\.summaries, link), mayPass(link) else { return }
            // Who sends one though it has greeted may have missed the greeting back.
            if peer.speaksTwo, peers[link]?.shares.hellos == 1 {
                peers[link]?.shares.hellos = 0
                greet(link, now, &effects)
            }
            answer(salt, checksums, link, &entropy, &effects)
        case .digests(let low, let high, let digests):
            guard !configuration.isAgent, take(\.digests, link) else { return }
            sendMissing(low, high, digests, link, &effects)
        case .descriptor(let bytes):
            guard mayTell(link) else { return }
            try learn(bytes, from: link, now, &effects, &store)
        }
    }

    /// Lists the buckets that differ. Begins anywhere, so that a limit does not starve the same ones each time.
    private mutating func answer(
        _ salt: UInt64, _ checksums: [UInt64], _ link: UInt64, _ entropy: inout Entropy, _ effects: inout [MapEffect]
    ) {
        let index = index
        let own = index.checksums(salt: salt)
        let start = entropy.below(own.count)
        var left = configuration.digestLimit / configuration.summaryLimit
        for offset in own.indices {
            let bucket = (start + offset) % own.count
            guard own[bucket] != checksums[bucket] else { continue }
            for message in index.messages(bucket: bucket) {
                guard left > 0 else {
                    counters.throttled += 1
                    return
                }
                left -= 1
                send(link, message.encode(), &effects)
            }
        }
    }

    /// Sends what the list has in an older version or not at all.
    private mutating func sendMissing(
        _ low: Bytes16, _ high: Bytes16, _ digests: [MapDigest], _ link: UInt64, _ effects: inout [MapEffect]
    ) {
        guard (peers[link]?.shares.sends ?? 0) > 0 else {
            counters.throttled += 1
            return
        }
        // Both ascend, as the decoder has checked of the list. What is passed over is in the list, and all else costs a
        // share: so the way is short, whatever range a stranger asks for.
        let table = held
        var list = digests[...]
        table.visit(from: low, to: high) { digest in
            while let first = list.first, first.id < digest.id { list.removeFirst() }
            let theirs = list.first.flatMap { $0.id == digest.id ? $0.sequence : nil }
            if let theirs, theirs >= digest.sequence { return true }
            let isRenewal = theirs != nil && table.isRenewed(digest.id)
            return sendHeld(digest.id, link, asRenewal: isRenewal, &effects)
        }
    }

    /// - Returns: whether the link had a share left.
    @discardableResult
    mutating func sendDescriptor(_ link: UInt64, _ message: [UInt8], _ effects: inout [MapEffect]) -> Bool {
        guard let left = peers[link]?.shares.sends, left > 0 else {
            counters.throttled += 1
            return false
        }
        peers[link]?.shares.sends = left - 1
        send(link, message, &effects)
        return true
    }

    mutating func send(_ link: UInt64, _ message: [UInt8], _ effects: inout [MapEffect]) {
        counters.sentBytes += UInt64(message.count)
        counters.sentFrames += 1
        effects.append(.send(link: link, message))
    }

    // MARK: Start

    private mutating func restore(
        _ now: Timestamp, _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        var stored = 0
        try store.scan(MapCore.table, from: []) { key, value in
            restore(key, value, now)
            stored += 1
            return stored < configuration.capacity
        }
        _ = admission.refresh()
        for id in held.identifiers(where: { !admission.admits($0.clusterID) }) {
            release(id)
            stale.insert(id.bytes)
        }
    }

    /// Takes one entry of the store in, whoever it is of; what is unusable is to be deleted.
    private mutating func restore(_ key: [UInt8], _ value: [UInt8], _ now: Timestamp) {
        do throws(DescriptorError) {
            let descriptor = try MapDescriptor(decoding: value)
            try descriptor.verify(at: now)
            guard key == descriptor.id.bytes, remember(descriptor, value) else { throw .malformed(.truncated) }
            if case .cluster(let cluster) = descriptor { admission.note(cluster) }
        } catch { stale.insert(key) }
    }
}
