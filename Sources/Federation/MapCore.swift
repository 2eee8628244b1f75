import Primitives
import Records
import Storage
import Wire

/// The map of the network: every admitted cluster's and server's descriptor, kept equal among nodes by gossip.
///
/// Each interval a node sends every peer a checksum of each of 256 buckets of its map. A peer whose checksum differs
/// answers with the digests in that bucket, and is sent what it lacks. New descriptors are passed on at once besides.
/// Lost frames cost one interval, never convergence (specs/map.md, "Gossip").
///
/// When ``handle(_:now:entropy:store:)`` throws, the map in memory may be ahead of the one on disk; gossip refills
/// the latter after the next start.
public struct MapCore: Sendable {
    static let table = Table("map")
    /// How often expired descriptors are removed, in milliseconds.
    private static let pruneInterval: UInt64 = 60_000
    /// Up to so many clusters admission is decided with every descriptor, beyond that once an interval.
    static let smallEnough = 1000

    struct Peer: Sendable {
        var isAgent: Bool
        var sendsLeft: Int
        var receivesLeft: Int
        var digestsLeft: Int
        var summariesLeft: Int

        init(isAgent: Bool, _ configuration: MapConfiguration) {
            self.isAgent = isAgent
            sendsLeft = configuration.sendLimit
            receivesLeft = configuration.receiveLimit
            digestsLeft = configuration.digestLimit
            summariesLeft = configuration.summaryLimit
        }
    }

    let configuration: MapConfiguration
    public internal(set) var admission: Admission
    /// The admitted servers; current as of the last wake, to the minute.
    public internal(set) var servers: [NodeID: ServerDescriptor] = [:]
    /// The admitted clusters that have said something of themselves.
    public internal(set) var clusters: [VerifyingKey: ClusterDescriptor] = [:]
    public internal(set) var counters = MapCounters()
    /// When to hand in ``MapEvent/wake``.
    public private(set) var nextWake: Timestamp?

    var held: [Bytes16: MapDescriptor] = [:]
    var serverCount: [VerifyingKey: Int] = [:]
    var pending = PendingTable()
    var index = MapIndex()
    var peers: [UInt64: Peer] = [:]
    /// Keys of the store that a start found unusable.
    var stale: Set<[UInt8]> = []
    var snapshots: SnapshotState
    var agreement: MapAgreement
    var capacity: CapacityState
    private var nextPrune: Timestamp

    /// The map as the store has it.
    public init(
        configuration: MapConfiguration = MapConfiguration(), admission: Admission, now: Timestamp,
        store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        self.configuration = configuration
        self.admission = admission
        nextWake = now
        snapshots = SnapshotState(started: now)
        agreement = MapAgreement(now: now)
        capacity = CapacityState(nextWeighing: now)
        nextPrune = now.adding(milliseconds: MapCore.pruneInterval)
        try restore(now, store)
        try restoreRoots(now, store)
        try restoreAgreement(now, store)
        try restoreCapacity(store)
    }

    /// The admitted servers whose time is not over at `now`.
    public func currentServers(at now: Timestamp) -> [ServerDescriptor] {
        servers.values.filter { $0.isCurrent(at: now) }.sorted { $0.nodeID < $1.nodeID }
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
            if old == descriptor { return [] }
            throw .notNewer(held: old.sequence)
        }
        guard hasRoom(for: descriptor) else { throw .full }
        admission.addRoot(descriptor.clusterID)
        var effects: [MapEffect] = []
        do throws(StorageError) {
            try take(descriptor, from: nil, now, &effects, &store)
        } catch { throw .storage(error) }
        return effects
    }

    public mutating func handle(
        _ event: MapEvent, now: Timestamp, entropy: inout Entropy, store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [MapEffect] {
        var effects: [MapEffect] = []
        switch event {
        case .linkUp(let link, let peer):
            peers[link] = Peer(isAgent: peer == nil, configuration)
            if !configuration.isAgent { sendSummary([link], &entropy, &effects) }
            linkUpSnapshots(link, now, &effects)
            linkUpCapacity(link)
        case .linkDown(let link):
            peers[link] = nil
            linkDownSnapshots(link)
            capacity.links[link] = nil
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
        case .wake:
            try wake(now, &entropy, &effects, &store)
        }
        return effects
    }

    private mutating func wake(
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        if let nextWake, now < nextWake { return }
        let spread = Int(clamping: configuration.interval / 5)
        nextWake = now.adding(
            milliseconds: configuration.interval - UInt64(spread) + UInt64(entropy.below(2 * spread + 1)))
        for link in peers.keys { peers[link] = Peer(isAgent: peers[link]?.isAgent ?? true, configuration) }
        for key in stale { try store.delete(MapCore.table, key) }
        stale = []
        if now >= nextPrune {
            nextPrune = now.adding(milliseconds: MapCore.pruneInterval)
            try prune(now, &effects, &store)
        }
        try follow(admission.refresh(), now, &effects, &store)
        if !configuration.isAgent { sendSummary(peers.keys.sorted(), &entropy, &effects) }
        try wakeSnapshots(now, &entropy, &effects, &store)
        try wakeView(now, &entropy, &effects, &store)
        try wakeCapacity(now, &effects, &store)
    }

    // MARK: Comparison

    private mutating func sendSummary(_ links: [UInt64], _ entropy: inout Entropy, _ effects: inout [MapEffect]) {
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
        let message: MapMessage
        do throws(WireError) {
            message = try MapMessage(decoding: bytes)
        } catch {
            if error == .outOfRange(field: "descriptor") { counters.oversize += 1 } else { counters.malformed += 1 }
            return
        }
        switch message {
        case .summary(let salt, let checksums):
            guard peer.summariesLeft > 0 else {
                counters.flooded += 1
                return
            }
            peers[link]?.summariesLeft -= 1
            answer(salt, checksums, link, &entropy, &effects)
        case .digests(let low, let high, let digests):
            guard !configuration.isAgent else { return }
            guard peer.digestsLeft > 0 else {
                counters.flooded += 1
                return
            }
            peers[link]?.digestsLeft -= 1
            sendMissing(low, high, digests, link, &effects)
        case .descriptor(let bytes):
            guard !peer.isAgent else {
                counters.fromAgents += 1
                return
            }
            guard peer.receivesLeft > 0 else {
                counters.flooded += 1
                return
            }
            peers[link]?.receivesLeft -= 1
            try learn(bytes, from: link, now, &effects, &store)
        }
    }

    /// Lists the buckets that differ. Begins anywhere, so that a limit does not starve the same ones each time.
    private mutating func answer(
        _ salt: UInt64, _ checksums: [UInt64], _ link: UInt64, _ entropy: inout Entropy, _ effects: inout [MapEffect]
    ) {
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
        guard (peers[link]?.sendsLeft ?? 0) > 0 else {
            counters.throttled += 1
            return
        }
        // Ascending and without repetition, as the decoder has checked.
        let theirs = Dictionary(digests.map { ($0.id, $0.sequence) }, uniquingKeysWith: max)
        for digest in index.range(low, high) {
            if let sequence = theirs[digest.id], sequence >= digest.sequence { continue }
            guard let descriptor = held[digest.id] else { continue }
            guard sendDescriptor(link, MapMessage.descriptor(descriptor.encode()).encode(), &effects) else { return }
        }
    }

    /// - Returns: whether the link had a share left.
    @discardableResult
    mutating func sendDescriptor(_ link: UInt64, _ message: [UInt8], _ effects: inout [MapEffect]) -> Bool {
        guard let left = peers[link]?.sendsLeft, left > 0 else {
            counters.throttled += 1
            return false
        }
        peers[link]?.sendsLeft = left - 1
        send(link, message, &effects)
        return true
    }

    mutating func send(_ link: UInt64, _ message: [UInt8], _ effects: inout [MapEffect]) {
        counters.sentBytes += UInt64(message.count)
        effects.append(.send(link: link, message))
    }

    // MARK: Start

    private mutating func restore(
        _ now: Timestamp, _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        var found: [(key: [UInt8], value: [UInt8])] = []
        let capacity = configuration.capacity
        try store.scan(MapCore.table, from: []) { key, value in
            found.append((key, value))
            return found.count < capacity
        }
        var usable: [(key: [UInt8], descriptor: MapDescriptor)] = []
        for (key, value) in found {
            do throws(DescriptorError) {
                let descriptor = try MapDescriptor(decoding: value)
                try descriptor.verify(at: now)
                if key == descriptor.id.bytes { usable.append((key, descriptor)) } else { stale.insert(key) }
            } catch { stale.insert(key) }
        }
        for case (_, .cluster(let descriptor)) in usable {
            clusters[descriptor.clusterID] = descriptor
            admission.note(descriptor)
        }
        _ = admission.refresh()
        clusters = clusters.filter { admission.admits($0.key) }
        for (key, descriptor) in usable {
            guard admission.admits(descriptor.clusterID) else {
                stale.insert(key)
                continue
            }
            remember(descriptor)
        }
    }
}
