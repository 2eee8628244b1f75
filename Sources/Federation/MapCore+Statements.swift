import Primitives
import Records
import Storage
import Wire

/// How statements of capacity spread: who has which is told, and whoever lacks some asks (specs/map.md, "Gossip of
/// statements").
extension MapCore {
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

    // MARK: Time

    mutating func wakeStatements(
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        if !clock.isOnTrial(now) { try forgetStatements(now, &store) }
        askOthers(now, &entropy, &effects)
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
        guard !names.isEmpty else { return }
        // Without room they are asked for all the same, perhaps of several: else whoever offers what is not there would keep
        // everybody's statements away.
        if capacity.asked.count < configuration.capacity {
            for name in names { capacity.asked[name] = now.adding(milliseconds: MapCore.askAgain) }
        }
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

    mutating func keep(
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
