import Primitives
import Records
import Storage
import Wire

/// Version 2: greeting, and comparison by coded symbols, whose bytes are in proportion to the difference
/// (specs/map.md, "Reconciliation").
extension MapCore {
    /// Whether the map is so small that every link may be told of everything at once.
    var isSmall: Bool { held.count <= configuration.smallMap }

    /// Milliseconds between two comparisons that this node begins: in proportion to the size of the map, so that frames
    /// are full, and to the bound.
    var exchangeInterval: UInt64 {
        let times = UInt64(max(1, held.count / max(1, configuration.smallMap)))
        return min(configuration.slowestInterval, configuration.interval * times)
    }

    // MARK: Greeting

    mutating func greet(_ link: UInt64, _ now: Timestamp, _ effects: inout [MapEffect]) {
        guard configuration.highestVersion >= MapVersion.second, let peer = peers[link] else { return }
        let hello = ExchangeMessage.hello(
            lowest: MapVersion.lowest, highest: configuration.highestVersion, salt: peer.salt,
            clock: configuration.isAgent ? 0 : now.seconds)
        send(link, hello.encode(), &effects)
    }

    private mutating func greeted(
        _ lowest: UInt8, _ highest: UInt8, _ salt: Bytes16, _ link: UInt64, _ now: Timestamp,
        _ effects: inout [MapEffect]
    ) {
        guard let peer = peers[link], peer.key == nil else { return }
        guard let version = MapVersion.common(lowest, highest, own: configuration.highestVersion) else {
            counters.incompatible += 1
            peers[link]?.version = 0
            return
        }
        peers[link]?.version = version
        guard version >= MapVersion.second else { return }
        // Whatever an agent says its part is, one sketch must do for all of them.
        peers[link]?.key = SketchKey(peer.salt, peer.isAgent ? Bytes16() : salt)
        // One side begins where one is enough; an agent always does.
        peers[link]?.isFirst = configuration.isAgent || (!peer.isAgent && peer.salt < salt)
        if peers[link]?.isFirst == true, isSmall || configuration.isAgent { begin(link, now, &effects) }
    }

    /// A node's part of the key of links to agents is the same for all of an hour, so that one sketch does for all.
    mutating func saltForAgents(_ now: Timestamp, _ entropy: inout Entropy) -> Bytes16 {
        if let agentSalt, now < agentSalt.end { return agentSalt.salt }
        let fresh: Bytes16 = entropy.bytes()
        agentSalt = (fresh, now.adding(seconds: 3600))
        return fresh
    }

    // MARK: Time

    /// Begins the comparisons that are due: in a small map with every link, else with one.
    mutating func wakeExchanges(_ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [MapEffect]) {
        for link in peers.keys {
            peers[link]?.forgive(now)
            guard let age = peers[link]?.incoming?.age else { continue }
            if age > 0 { peers[link]?.incoming = nil } else { peers[link]?.incoming?.age = 1 }
        }
        let isBehind = counters.learned &- learnedBefore > MapCore.manyLearned
        learnedBefore = counters.learned
        let able = peers.filter { $0.value.speaksTwo && !$0.value.isAgent }
            .filter { !$0.value.isComparing(now) }.map(\.key).sorted()
        guard !able.isEmpty, now >= nextExchange || isBehind || isSmall else { return }
        let spread = Int(clamping: exchangeInterval / 5)
        nextExchange = now.adding(
            milliseconds: exchangeInterval - UInt64(spread) + UInt64(entropy.below(2 * spread + 1)))
        if isSmall {
            for link in able where peers[link]?.isFirst == true { begin(link, now, &effects) }
        } else {
            begin(able[entropy.below(able.count)], now, &effects)
        }
    }

    private mutating func begin(_ link: UInt64, _ now: Timestamp, _ effects: inout [MapEffect]) {
        guard peers[link]?.isComparing(now) == false else { return }
        counters.exchanges += 1
        peers[link]?.forgetOffers()
        peers[link]?.begunAt = now
        sendSymbols(link, first: 0, count: ExchangeMessage.symbolsPerMessage, &effects)
    }

    // MARK: Messages

    mutating func receiveExchange(
        _ bytes: [UInt8], _ link: UInt64, _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard configuration.highestVersion >= MapVersion.second, let peer = peers[link] else {
            counters.unknown += 1
            return
        }
        let message: ExchangeMessage
        do throws(WireError) { message = try ExchangeMessage(decoding: bytes) } catch {
            if case .unknownKind = error { counters.unknown += 1 } else { counters.malformed += 1 }
            return
        }
        if case .hello(let lowest, let highest, let salt, let clock) = message {
            if configuration.isAgent { clocks.note(Timestamp(seconds: clock), now) }
            return greeted(lowest, highest, salt, link, now, &effects)
        }
        guard let key = peer.key else {
            counters.unknown += 1
            return
        }
        switch message {
        case .hello: break
        case .sketch(let first, let count, let whole, let symbols):
            guard take(\.sketches, link) else { return }
            collect(first, count, whole, symbols, link, key, now, &entropy, &effects)
        case .more(let first, let count):
            sendSymbols(link, first: first, count: count, &effects)
        case .parcel(let bytes): try unpack(bytes, link, key, now, &effects, &store)
        case .walk:
            guard take(\.walks, link), !configuration.isAgent, mayPass(link) else { return }
            sendSummary([link], &entropy, &effects)
        }
    }

    /// Uses up one of a link's shares.
    mutating func take(_ share: WritableKeyPath<MapPeer.Shares, Int>, _ link: UInt64) -> Bool {
        guard let left = peers[link]?.shares[keyPath: share], left > 0 else {
            counters.flooded += 1
            return false
        }
        peers[link]?.shares[keyPath: share] = left - 1
        return true
    }

    /// Whether the map may be looked through once more for a link's sake in this interval.
    mutating func mayPass(_ link: UInt64) -> Bool {
        guard take(\.passes, link) else { return false }
        guard passes.take(held.count + 1, isAgent: peers[link]?.isAgent == true) else {
            counters.flooded += 1
            return false
        }
        return true
    }

    // MARK: Symbols

    private func scope(_ link: UInt64) -> SketchBook.Scope {
        configuration.isAgent || peers[link]?.isAgent == true ? .agents : .nodes
    }

    /// Everything that is compared over links of a scope.
    private func elements(_ scope: SketchBook.Scope, _ body: (MapDigest) -> Void) {
        held.visit(body)
        if scope == .nodes { for element in snapshots.book.elements { body(element.digest) } }
    }

    /// The first `count` cells under a link's key: those of one message are kept ready, more take a pass over the map.
    /// - Returns: `nil` when no more passes are made for the link in this interval.
    private mutating func symbols(_ link: UInt64, _ key: SketchKey, count: Int) -> [CodedSymbol]? {
        let isLong = count > ExchangeMessage.symbolsPerMessage
        if !isLong, let ready = sketches.symbols(key) { return Array(ready.prefix(count)) }
        guard mayPass(link) else { return nil }
        let scope = scope(link)
        var sketch = Sketch(key: key, count: max(count, ExchangeMessage.symbolsPerMessage))
        elements(scope) { sketch.toggle($0) }
        if !isLong { sketches.add(sketch, scope) }
        return Array(sketch.symbols.prefix(count))
    }

    private mutating func sendSymbols(_ link: UInt64, first: Int, count: Int, _ effects: inout [MapEffect]) {
        guard let key = peers[link]?.key, let symbols = symbols(link, key, count: first + count) else { return }
        let most = ExchangeMessage.symbolsPerMessage
        for start in stride(from: first, to: symbols.count, by: most) {
            let part = Array(symbols[start..<min(start + most, symbols.count)])
            let message = ExchangeMessage.sketch(
                first: start, held: held.count, whole: symbols[0].sum, part)
            send(link, message.encode(), &effects)
        }
    }

    /// Puts cells together until they decode, twice as many each time, up to a bound.
    private mutating func collect(
        _ first: Int, _ held: Int, _ whole: UInt64, _ symbols: [CodedSymbol], _ link: UInt64, _ key: SketchKey,
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [MapEffect]
    ) {
        if first == 0 {
            // Both have begun at once: one comparison is enough.
            guard !MapPeer.isUnderWay(peers[link]?.begunAt, now) || peers[link]?.isFirst == false else { return }
            peers[link]?.calledAt = now
            peers[link]?.incoming = MapPeer.Incoming(symbols: symbols, expected: symbols.count, whole: whole)
        } else {
            guard let incoming = peers[link]?.incoming, incoming.symbols.count == first, incoming.whole == whole else {
                counters.stale += 1
                peers[link]?.incoming = nil
                return
            }
            peers[link]?.incoming?.symbols += symbols
        }
        guard let incoming = peers[link]?.incoming, incoming.symbols.count >= incoming.expected else { return }
        let count = incoming.symbols.count
        guard let own = self.symbols(link, key, count: count) else {
            peers[link]?.incoming = nil
            return
        }
        let difference = zip(incoming.symbols, own).map {
            CodedSymbol(sum: $0.sum ^ $1.sum, check: $0.check ^ $1.check)
        }
        if let names = Sketch.decode(difference) {
            peers[link]?.incoming = nil
            return settle(names, link, key)
        }
        counters.undecoded += 1
        let isHopeless = abs(held - self.held.count) > configuration.symbolLimit / 2
        guard !isHopeless, 2 * count <= configuration.symbolLimit,
            count > ExchangeMessage.symbolsPerMessage || mayTakeLong(link)
        else {
            peers[link]?.incoming = nil
            return walk(link, &entropy, &effects)
        }
        peers[link]?.incoming?.expected = 2 * count
        peers[link]?.incoming?.age = 0
        send(link, ExchangeMessage.more(first: count, count: count).encode(), &effects)
    }

    /// Whether one of the comparisons that need more cells than a message has may be that of this link.
    private func mayTakeLong(_ link: UInt64) -> Bool {
        let long = peers.values.filter { ($0.incoming?.expected ?? 0) > ExchangeMessage.symbolsPerMessage }
        guard long.count < MapCore.longExchanges else { return false }
        return peers[link]?.isAgent == false || long.count(where: \.isAgent) < MapCore.longAgentExchanges
    }

    /// The difference is too large to name: version 1's comparison finds it bucket by bucket.
    private mutating func walk(_ link: UInt64, _ entropy: inout Entropy, _ effects: inout [MapEffect]) {
        counters.walks += 1
        send(link, ExchangeMessage.walk.encode(), &effects)
        guard !configuration.isAgent, mayPass(link) else { return }
        sendSummary([link], &entropy, &effects)
    }

    /// Both sides' names that the other lacks are known: what is held here is offered, the rest asked for. Nothing is
    /// sent before the other side knows the offers, for half of what it lacks by name it holds in a newer version.
    private mutating func settle(_ names: Set<UInt64>, _ link: UInt64, _ key: SketchKey) {
        // An agent waits for the word that it has everything; a node begins again anyway.
        let isAgent = peers[link]?.isAgent == true
        guard !names.isEmpty else { return isAgent ? offerNothing(link) : () }
        guard mayPass(link) else { return }
        let own = named(names, link, key)
        if own.isEmpty, isAgent { return offerNothing(link) }
        talking.insert(link)
        if !configuration.isAgent { peers[link]?.outgoing.add(own.map(\.digest)) { .offer($0) } }
        guard peers[link]?.isAgent == false else { return }
        let foreign = names.subtracting(own.map(\.name)).subtracting(peers[link]?.useless ?? [])
        peers[link]?.outgoing.add(foreign.sorted()) { .ask($0) }
    }

    /// Tells an agent that nothing is held here that it lacks.
    private mutating func offerNothing(_ link: UInt64) {
        talking.insert(link)
        peers[link]?.outgoing.add(.offer([]))
    }

    /// Whether everything is here that the other side offered in the comparison that it answered.
    mutating func isComplete(_ link: UInt64, _ key: SketchKey) -> Bool {
        guard configuration.isAgent, let peer = peers[link], peer.isAnswered else { return false }
        let isHere = peer.offered.allSatisfy { id, sequence in
            let digest = MapDigest(id: id, sequence: sequence)
            return has(digest) || peer.useless.contains(key.name(digest))
        }
        if isHere { peers[link]?.isAnswered = false }
        return isHere
    }

    /// What is held under these names, ascending by identifier.
    private func named(
        _ names: Set<UInt64>, _ link: UInt64, _ key: SketchKey
    ) -> [(name: UInt64, digest: MapDigest)] {
        var found: [(name: UInt64, digest: MapDigest)] = []
        elements(scope(link)) { digest in
            let name = key.name(digest)
            if names.contains(name) { found.append((name, digest)) }
        }
        return found.sorted { $0.digest < $1.digest }
    }

    /// Sends what was asked for, but what the other side has offered in a newer version itself.
    mutating func sendNamed(
        _ names: Set<UInt64>, _ link: UInt64, _ key: SketchKey, _ effects: inout [MapEffect]
    ) {
        let offered = peers[link]?.offered ?? [:]
        for (_, digest) in named(names, link, key) {
            if held.contains(digest.id) {
                if let sequence = offered[digest.id], sequence > digest.sequence { continue }
                guard sendHeld(digest.id, link, asRenewal: held.isRenewed(digest.id), &effects) else { return }
            } else {
                for root in snapshots.book.roots(of: digest) { sendItem(.root(root.encode()), link) }
            }
        }
    }

    /// How many names may be noted that a link offers: more than a message of cells can find only for some links at a time,
    /// or whoever opens many fills the memory with names.
    private func offerRoom(_ link: UInt64, _ more: Int) -> Int {
        let few = ExchangeMessage.symbolsPerMessage
        guard (peers[link]?.offered.count ?? 0) + more > few else { return few }
        let others = peers.count { $0.key != link && $0.value.offered.count > few }
        return others < MapCore.longExchanges ? ExchangeMessage.symbolLimit : few
    }

    /// Asks for what is new of the offers.
    mutating func answer(offers: [MapDigest], _ link: UInt64, _ key: SketchKey) {
        var wanted: [UInt64] = []
        let limit = offerRoom(link, offers.count)
        for digest in offers {
            if peers[link]?.offers(digest, limit: limit) == false { counters.surplus += 1 }
            let name = key.name(digest)
            guard !has(digest), peers[link]?.useless.contains(name) != true else { continue }
            wanted.append(name)
        }
        guard !wanted.isEmpty else { return }
        talking.insert(link)
        peers[link]?.outgoing.add(wanted) { .ask($0) }
    }

    /// Whether this version, or a newer one, is held, waits for admission, or is a root that is known.
    private func has(_ digest: MapDigest) -> Bool {
        if let header = held.header(digest.id), header.sequence >= digest.sequence { return true }
        return (pending[digest.id].map { $0.sequence >= digest.sequence } ?? false)
            || !snapshots.book.roots(of: digest).isEmpty
    }
}
