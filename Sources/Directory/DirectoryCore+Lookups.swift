import Primitives
import Records
import Storage
import Wire

/// Lookups that this server's operator asks for, over UDP (specs/directory.md, "Direct lookups").
extension DirectoryCore {
    /// Lookups under way at a time.
    public static let lookupLimit = 4
    /// Calls that one makes at once: to all holders.
    private static let callsOfLookup = Placement.rings * Placement.holdersPerRing

    mutating func lookUp(
        _ request: UInt64, _ id: NetworkID, _ now: Timestamp, _ entropy: inout Entropy,
        _ effects: inout [DirectoryEffect]
    ) {
        // As searches, they leave a quarter of the calls to repair and to asking whether others live.
        let room = configuration.callLimit - configuration.callLimit / 4
        guard lookups.count < DirectoryCore.lookupLimit, lookups[request] == nil,
            calls.count + DirectoryCore.callsOfLookup <= room
        else {
            counters.busy += 1
            return effects.append(
                .lookedUp(request: request, .failure(.busy(limit: DirectoryCore.lookupLimit))))
        }
        let user: BlindedID
        do throws(RecordError) { user = try BlindedID(id, epoch: now.epoch) } catch {
            return effects.append(.lookedUp(request: request, .failure(.invalidID)))
        }
        lookups[request] = DirectLookup(
            user: user, rings: placement(now.epoch).rings(of: user.key), searchers: [own], times: answerTimes,
            now: now, entropy: &entropy)
    }

    /// Does what lookups want next; called after each event.
    mutating func advanceLookups(
        _ now: Timestamp, _ effects: inout [DirectoryEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for id in lookups.keys.sorted() {
            while var lookup = lookups[id] {
                let step = lookup.step(now: now)
                lookups[id] = lookup
                switch step {
                case .ask(let holders):
                    for holder in holders { try ask(holder, for: id, lookup, now, &effects, store) }
                    continue
                case .search:
                    try search(for: id, lookup, now, &effects, &store)
                    continue
                case .decided: continue
                case .wait: break
                case .over:
                    lookups[id] = nil
                    lookup.note(in: &answerTimes, except: own)
                    effects.append(.lookedUp(request: id, .success(lookup.report(at: now))))
                }
                break
            }
        }
    }

    private mutating func ask(
        _ holder: NodeID, for id: UInt64, _ lookup: DirectLookup, _ now: Timestamp,
        _ effects: inout [DirectoryEffect], _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let (key, epoch) = (lookup.blindedKey, lookup.epoch)
        guard holder != own else {
            let record = try stored(key, epoch, now, store)
            let answer = record.map { DirectoryMessage.record($0) } ?? absence(key, epoch, now)
            lookups[id]?.take(answer, from: own, now: now)
            return
        }
        // Whoever has moved, or is known by a search only, has another endpoint in the table.
        let endpoint = placement(epoch).node(holder)?.endpoint ?? table.contact(holder)?.endpoint
        guard let endpoint else { return }
        call(.holder(id, holder), endpoint, .get(key: key, epoch: epoch), now, &effects)
    }

    /// Searches without a map, as for an agent; what is held here needs no search.
    private mutating func search(
        for id: UInt64, _ lookup: DirectLookup, _ now: Timestamp, _ effects: inout [DirectoryEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let (key, epoch) = (lookup.blindedKey, lookup.epoch)
        if let record = try stored(key, epoch, now, store) {
            lookups[id]?.take(searched: .record(record), rounds: 0, now: now)
            return
        }
        guard let search = startSearch(for: key, epoch, .lookup(id), now, &effects) else {
            lookups[id]?.take(searched: .missing, rounds: 0, now: now)
            return
        }
        try advance(search, now, &effects, &store)
    }
}
