import Primitives
import Records
import Storage
import Wire

/// What a ``MapCore`` keeps of measurements. The statements themselves are in the store.
struct CapacityState: Sendable {
    struct Link: Sendable {
        /// Statements that the other side has not been told of; the last is told first.
        var news: [UInt64]
        var messages = MapCore.capacityMessages
        /// What the other side has and somebody else was asked for; it is asked when that one keeps silent.
        var offers: Set<UInt64> = []
    }

    var places = StatementIndex()
    var links: [UInt64: Link] = [:]
    /// Statements that were asked for, and when to ask another for them.
    var asked: [UInt64: Timestamp] = [:]
    /// Weights from the statements of the epoch before `epoch`.
    var weights: (epoch: UInt64, values: RelayWeights)?
    var isDirty = true
    var nextWeighing: Timestamp
    /// When a large map tells of new statements again.
    var nextNews = Timestamp(milliseconds: 0)
    /// The last epoch for which this server has been told whom to measure.
    var measured: UInt64 = 0
}

/// Capacity: who measures whom, what was measured, and what it weighs (specs/map.md, "Capacity").
extension MapCore {
    static let capacityTable = Table("capacity")
    /// Seconds of an epoch between which servers measure. What they state at the end has five hours to spread.
    static let measuring = UInt64(3600)...UInt64(68_400)
    /// Nodes that are told of new statements each interval in a small map; agents are told besides.
    private static let newsLinks = 6
    /// In a large map, comparisons in whose time one node, and all agents, are told once, so that frames are full.
    private static let newsRounds: UInt64 = 10
    /// Messages of these kinds that are looked at for a link and interval.
    static let capacityMessages = 32
    /// Milliseconds until a statement is asked of somebody else.
    private static let askAgain: UInt64 = 30_000
    /// Names kept of what a link offers while others are asked for it.
    private static let offerLimit = 1024
    /// Milliseconds between two looks at changed statements.
    private static let weighInterval: UInt64 = 60_000

    // MARK: Time

    mutating func wakeCapacity(
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        if !clock.isOnTrial(now) { try forgetStatements(now, &store) }
        askOthers(now, &entropy, &effects)
        assign(now, &effects)
        try weigh(now, &effects, &store)
        for link in capacity.links.keys { capacity.links[link]?.messages = MapCore.capacityMessages }
        guard !configuration.isAgent else { return }
        for link in listeners(now, &entropy).sorted() { tellNews(link, &effects) }
    }

    /// Asks those who offered the same for what somebody did not send in time. It begins with any of them, so that nobody
    /// can see to being asked in place of others again and again.
    private mutating func askOthers(_ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [MapEffect]) {
        capacity.asked = capacity.asked.filter { $0.value > now }
        let links = capacity.links.filter { !$0.value.offers.isEmpty }.map(\.key).sorted()
        guard !links.isEmpty else { return }
        let start = entropy.below(links.count)
        for link in links[start...] + links[..<start] {
            let offers = (capacity.links[link]?.offers ?? []).filter { capacity.places[$0] == nil }
            let late = offers.filter { capacity.asked[$0] == nil }.sorted().prefix(CapacityMessage.nameLimit)
            capacity.links[link]?.offers = offers.subtracting(late)
            ask(Array(late), link, now, &effects)
        }
    }

    private mutating func ask(_ names: [UInt64], _ link: UInt64, _ now: Timestamp, _ effects: inout [MapEffect]) {
        guard !names.isEmpty, capacity.asked.count < configuration.capacity else { return }
        for name in names { capacity.asked[name] = now.adding(milliseconds: MapCore.askAgain) }
        send(link, CapacityMessage.want(names).encode(), &effects)
    }

    /// The links over which new statements are told of now.
    private mutating func listeners(_ now: Timestamp, _ entropy: inout Entropy) -> Set<UInt64> {
        let able = peers.filter { !$0.value.isIncompatible }
        let nodes = able.filter { !$0.value.isAgent }.map(\.key).sorted()
        let agents = able.filter(\.value.isAgent).map(\.key)
        if isSmall { return Set(nodes.prefix(MapCore.newsLinks) + agents) }
        // Who has just come lacks many.
        var listeners = Set(able.keys.filter { capacity.links[$0]?.news.count ?? 0 > CapacityMessage.nameLimit })
        guard now >= capacity.nextNews else { return listeners }
        capacity.nextNews = now.adding(milliseconds: MapCore.newsRounds * exchangeInterval)
        listeners.formUnion(agents)
        let waiting = nodes.filter { capacity.links[$0]?.news.isEmpty == false }
        if !waiting.isEmpty { listeners.insert(waiting[entropy.below(waiting.count)]) }
        return listeners
    }

    /// Tells the driver whom this server is to measure, once an epoch: the cluster's server with the lowest node ID.
    private mutating func assign(_ now: Timestamp, _ effects: inout [MapEffect]) {
        guard let certificate = snapshots.signer?.certificate, capacity.measured != now.epoch else { return }
        let second = now.seconds % Timestamp.secondsPerEpoch
        guard MapCore.measuring.contains(second) else { return }
        // A map that has just been started does not know yet whom there is to measure.
        guard now >= snapshots.started.adding(seconds: MapCore.settleTime) else { return }
        capacity.measured = now.epoch
        let stated = StatementIndex.Place(epoch: now.epoch, cluster: certificate.clusterID)
        guard !capacity.places.contains(stated) else { return }
        let own = Node.id(of: certificate.serverID)
        let siblings = currentServers(of: certificate.clusterID, at: now)
        guard let first = siblings.first, first.bytes == Array(own.bytes.prefix(16)) else { return }
        let targets = book(now.epoch, now).targets(of: certificate.clusterID)
        let end = Timestamp(seconds: now.epoch * Timestamp.secondsPerEpoch + MapCore.measuring.upperBound)
        if !targets.isEmpty { effects.append(.measure(epoch: now.epoch, targets: targets, until: end)) }
    }

    func book(_ epoch: UInt64, _ now: Timestamp) -> CapacityBook {
        let table = currentTable(at: now)
        var relays: [CapacityBook.Relay] = []
        relays.reserveCapacity(table.count)
        for place in 0..<table.count {
            guard let server = table.glance(at: place), server.roles.contains(.relay) else { continue }
            relays.append(CapacityBook.Relay(node: server.nodeID, cluster: server.clusterID))
        }
        return CapacityBook(
            relays: relays, families: MapView.families(of: eachCluster),
            seed: seed(epoch))
    }

    /// Makes weights of the last epoch's statements; again when more of them came.
    private mutating func weigh(
        _ now: Timestamp, _ effects: inout [MapEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let isNew = capacity.weights?.epoch != now.epoch
        guard now.epoch > 0, isNew || (capacity.isDirty && now >= capacity.nextWeighing) else { return }
        capacity.isDirty = false
        capacity.nextWeighing = now.adding(milliseconds: MapCore.weighInterval)
        var reports: [VerifyingKey: [UInt64: UInt8]] = [:]
        for cluster in capacity.places.clusters(now.epoch - 1) {
            let place = StatementIndex.Place(epoch: now.epoch - 1, cluster: cluster)
            guard let bytes = try store.get(MapCore.capacityTable, MapCore.key(place)),
                let statement = try? CapacityStatement(decoding: bytes)
            else { continue }
            reports[cluster] = Dictionary(
                statement.entries.map { ($0.relay, $0.step) }, uniquingKeysWith: min)
        }
        let values = reports.isEmpty ? RelayWeights() : book(now.epoch - 1, now).weights { reports[$0] }
        let isOther = capacity.weights?.values != values
        capacity.weights = (now.epoch, values)
        if isOther { effects.append(.viewChanged) }
    }

    // MARK: Own statement

    /// Signs and spreads what this server measured: once an epoch, and not again after a restart.
    mutating func state(
        _ epoch: UInt64, _ results: [NodeID: UInt8], _ now: Timestamp,
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let signer = snapshots.signer, !results.isEmpty, epoch == now.epoch else { return }
        let place = StatementIndex.Place(epoch: epoch, cluster: signer.certificate.clusterID)
        guard !capacity.places.contains(place) else { return }
        let statement = CapacityStatement(
            epoch: epoch, results: results, server: signer.certificate.serverID, sign: signer.sign)
        try keep(statement.encode(), place, from: nil, &store)
    }

    // MARK: Messages

    mutating func linkUpCapacity(_ link: UInt64) {
        capacity.links[link] = CapacityState.Link(news: capacity.places.names)
    }

    mutating func receiveCapacity(
        _ bytes: [UInt8], _ link: UInt64, _ now: Timestamp, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let peer = peers[link], let left = capacity.links[link]?.messages, left > 0 else {
            counters.flooded += 1
            return
        }
        capacity.links[link]?.messages = left - 1
        let message: CapacityMessage
        do throws(WireError) { message = try CapacityMessage(decoding: bytes) } catch {
            counters.malformed += 1
            return
        }
        switch message {
        case .have(let names):
            guard !peer.isAgent else {
                counters.fromAgents += 1
                return
            }
            let told = Set(names)
            capacity.links[link]?.news.removeAll { told.contains($0) }
            let lacking = names.filter { capacity.places[$0] == nil }
            for name in lacking where capacity.asked[name] != nil {
                if capacity.links[link]?.offers.count ?? 0 < MapCore.offerLimit {
                    capacity.links[link]?.offers.insert(name)
                } else {
                    counters.surplus += 1
                }
            }
            ask(lacking.filter { capacity.asked[$0] == nil }, link, now, &effects)
        case .want(let names):
            guard !configuration.isAgent else { return }
            var statements: [[UInt8]] = []
            for name in names {
                guard let place = capacity.places[name] else { continue }
                if let bytes = try store.get(MapCore.capacityTable, MapCore.key(place)) { statements.append(bytes) }
            }
            for part in CapacityMessage.pack(statements) {
                guard sendDescriptor(link, part.encode(), &effects) else { return }
            }
        case .statements(let statements):
            guard !peer.isAgent else {
                counters.fromAgents += 1
                return
            }
            for bytes in statements { try learnStatement(bytes, link, now, &store) }
        }
    }

    private mutating func learnStatement(
        _ bytes: [UInt8], _ link: UInt64, _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard take(\.receives, link) else { return }
        guard let statement = try? CapacityStatement(decoding: bytes) else {
            counters.malformed += 1
            return
        }
        // One of each cluster and epoch: the first. A server that is not on the map has no say.
        guard let server = server(Node.id(of: statement.server)) else {
            snapshots.counters.notAdmitted += 1
            return
        }
        let place = StatementIndex.Place(epoch: statement.epoch, cluster: server.clusterID)
        guard statement.epoch + 1 >= now.epoch, statement.epoch <= now.epoch else {
            snapshots.counters.farOff += 1
            return
        }
        guard !capacity.places.contains(place) else {
            counters.duplicates += 1
            return
        }
        guard statement.isSigned else {
            counters.forged += 1
            peers[link]?.shares.receives -= configuration.forgeryCost
            return
        }
        try keep(bytes, place, from: link, &store)
    }

    private mutating func tellNews(_ link: UInt64, _ effects: inout [MapEffect]) {
        guard let news = capacity.links[link]?.news, !news.isEmpty else { return }
        let part = news.suffix(CapacityMessage.nameLimit)
        capacity.links[link]?.news.removeLast(part.count)
        send(link, CapacityMessage.have(Array(part)).encode(), &effects)
    }

    // MARK: Store

    /// Epoch as big-endian `u64` ‖ ClusterID.
    static func key(_ place: StatementIndex.Place) -> [UInt8] {
        withUnsafeBytes(of: place.epoch.bigEndian) { Array($0) } + place.cluster.bytes.bytes
    }

    private mutating func keep(
        _ bytes: [UInt8], _ place: StatementIndex.Place, from link: UInt64?,
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard capacity.places.count < 2 * configuration.capacity else {
            counters.full += 1
            return
        }
        try store.put(MapCore.capacityTable, MapCore.key(place), bytes)
        remember(CapacityMessage.name(bytes), place)
        for other in capacity.links.keys where other != link {
            capacity.links[other]?.news.append(CapacityMessage.name(bytes))
        }
    }

    private mutating func remember(_ name: UInt64, _ place: StatementIndex.Place) {
        capacity.places.insert(place, name: name)
        capacity.asked[name] = nil
        // Only the last epoch's weigh in this one.
        if capacity.weights.map({ $0.epoch == place.epoch + 1 }) ?? true { capacity.isDirty = true }
    }

    private mutating func forgetStatements(
        _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let oldest = SnapshotRoot.oldestEpoch(at: now)
        for place in capacity.places.removeAll(before: oldest) {
            try store.delete(MapCore.capacityTable, MapCore.key(place))
        }
    }

    /// Statements of an earlier run. They were verified before they were written.
    mutating func restoreCapacity(_ store: borrowing some (KeyValueStore & ~Copyable)) throws(StorageError) {
        var found = 0
        let limit = 2 * configuration.capacity
        try store.scan(MapCore.capacityTable, from: []) { key, value in
            found += 1
            guard key.count == 40, let cluster = Bytes32(key[8...]) else { return found < limit }
            let place = StatementIndex.Place(epoch: MapCore.epoch(key), cluster: VerifyingKey(cluster))
            remember(CapacityMessage.name(value), place)
            return found < limit
        }
    }
}
