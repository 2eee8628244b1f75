import Primitives
import Records
import Storage
import Wire

/// Items that links of version 2 send together.
extension MapCore {
    /// Sends a descriptor that is held, in the way that the link understands.
    /// - Returns: whether the link had a share left.
    @discardableResult
    mutating func sendHeld(
        _ id: Bytes16, _ link: UInt64, asRenewal: Bool, _ effects: inout [MapEffect]
    ) -> Bool {
        guard let bytes = held.bytes(id) else { return true }
        guard peers[link]?.speaksTwo == true else {
            return sendDescriptor(link, MapMessage.descriptor(bytes).encode(), &effects)
        }
        if asRenewal, case .server(let server)? = held[id], let renewal = Renewal(server, id: id) {
            return sendItem(.renewal(renewal.encode()), link)
        }
        return sendItem(.descriptor(bytes), link)
    }

    /// - Returns: whether the link had a share left.
    @discardableResult
    mutating func sendItem(_ item: ParcelItem, _ link: UInt64) -> Bool {
        guard let left = peers[link]?.shares.sends, left > 0 else {
            counters.throttled += 1
            return false
        }
        peers[link]?.shares.sends = left - 1
        peers[link]?.outgoing.add(item)
        talking.insert(link)
        return true
    }

    /// Sends what an event has collected.
    mutating func flush(_ effects: inout [MapEffect]) {
        for link in talking.sorted() {
            let parcels = peers[link]?.outgoing.parcels ?? []
            peers[link]?.outgoing = ParcelPacker()
            for parcel in parcels { send(link, ExchangeMessage.parcel(parcel).encode(), &effects) }
        }
        talking = []
    }

    mutating func unpack(
        _ bytes: [UInt8], _ link: UInt64, _ key: SketchKey, _ now: Timestamp, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let items: [ParcelItem]
        do throws(WireError) { items = try ParcelItem.decode(bytes) } catch {
            counters.malformed += 1
            return
        }
        var incomplete: [Bytes16] = []
        var asked: Set<UInt64> = []
        for item in items {
            switch item {
            case .descriptor(let bytes):
                guard mayTell(link) else { continue }
                let digest = try learn(bytes, from: link, now, &effects, &store)
                if let digest { noteUse(of: digest, link, key, now) }
            case .renewal(let bytes):
                guard mayTell(link), let renewal = renewal(bytes) else { continue }
                if try learn(renewal, from: link, now, &effects, &store) {
                    noteUse(of: MapDigest(id: renewal.id, sequence: renewal.sequence), link, key, now)
                } else {
                    incomplete.append(renewal.id)
                }
            case .root(let bytes): try learnRoot(bytes, link, now, &effects, &store)
            case .ask(let names):
                guard !configuration.isAgent else { continue }
                asked.formUnion(names)
            case .whole(let identifiers):
                guard !configuration.isAgent else { continue }
                for id in identifiers where held.contains(id) { sendHeld(id, link, asRenewal: false, &effects) }
            case .offer(let digests):
                guard peers[link]?.isAgent == false else { continue }
                peers[link]?.isAnswered = true
                answer(offers: digests, link, key)
            case .unknown: counters.unknown += 1
            }
        }
        if !asked.isEmpty, mayPass(link) { sendNamed(asked, link, key, &effects) }
        if !incomplete.isEmpty {
            talking.insert(link)
            peers[link]?.outgoing.add(incomplete) { .whole($0) }
        }
        if isComplete(link, key) { effects.append(.compared(link: link)) }
    }

    /// What came and is not held is not asked for again soon: its cluster is not admitted, its time is over, …
    private mutating func noteUse(of digest: MapDigest, _ link: UInt64, _ key: SketchKey, _ now: Timestamp) {
        if let header = held.header(digest.id), header.sequence >= digest.sequence { return }
        if peers[link]?.noteUseless(key.name(digest), now) == false { counters.surplus += 1 }
    }

    /// Whether the link may bring another descriptor in this interval.
    mutating func mayTell(_ link: UInt64) -> Bool {
        guard peers[link]?.isAgent == false else {
            counters.fromAgents += 1
            return false
        }
        return take(\.receives, link)
    }

    private mutating func renewal(_ bytes: [UInt8]) -> Renewal? {
        do throws(WireError) { return try Renewal(decoding: bytes) } catch {
            counters.malformed += 1
            return nil
        }
    }

    /// - Returns: whether what is held sufficed to make the descriptor whole.
    private mutating func learn(
        _ renewal: Renewal, from link: UInt64, _ now: Timestamp, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Bool {
        let older = newest(renewal.id)
        if let older, older.sequence >= renewal.sequence {
            counters.duplicates += 1
            return true
        }
        guard case .server(let server)? = older, let whole = renewal.renewed(server) else {
            counters.incomplete += 1
            return false
        }
        try learn(whole, from: link, now, &effects, &store)
        return true
    }
}
