import Primitives
import Records
import Storage
import Wire

/// Searches of the network by distance, without a map.
extension DirectoryCore {
    mutating func start(
        _ goal: Iteration.Goal, target: Bytes32, _ now: Timestamp, _ effects: inout [DirectoryEffect]
    ) -> UInt64? {
        guard iterations.count < configuration.iterationLimit else {
            counters.busy += 1
            return nil
        }
        let id = nextIteration
        nextIteration += 1
        counters.searches += 1
        iterations[id] = Iteration(
            target: target, goal: goal, start: beginnings(of: target, now), own: own,
            isWide: watch.isAlarmed(at: now), now: now)
        return id
    }

    /// Whom a search asks first: during an alarm those who were known before it was prepared, while there are enough.
    private func beginnings(of target: Bytes32, _ now: Timestamp) -> [Contact] {
        if watch.isAlarmed(at: now) {
            let settled = table.closestSettled(to: target, Iteration.startLimit, now: now)
            if settled.count >= RoutingTable.k { return settled }
        }
        return table.closest(to: target, Iteration.startLimit)
    }

    /// Calls the next nodes, or ends the search.
    mutating func advance(
        _ id: UInt64, _ now: Timestamp, _ effects: inout [DirectoryEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let hasAsked = seek(id, now, &effects)
        guard let iteration = iterations[id] else { return }
        let isLate = now.milliseconds(since: iteration.started) >= Iteration.deadline
        guard (!hasAsked && iteration.isFinished) || isLate else { return }
        close(id, iteration, now, &effects)
        if !isLate, let next = startNext(iteration, now, &effects) {
            try advance(next, now, &effects, &store)
        } else {
            finish(id, iteration, now, &effects)
        }
    }

    /// Looks for a record at its next place.
    private mutating func startNext(
        _ iteration: Iteration, _ now: Timestamp, _ effects: inout [DirectoryEffect]
    ) -> UInt64? {
        guard case .value(let key, let epoch, let place, let seeker) = iteration.goal,
            place + 1 < Placement.searchPlaces, !hasAskedAll(iteration),
            let id = startSearch(for: key, epoch, place: place + 1, seeker, now, &effects)
        else { return nil }
        iterations[id]?.resume(iteration)
        return id
    }

    /// Whether the search has asked the whole map: then there is nobody else beside other places.
    private func hasAskedAll(_ iteration: Iteration) -> Bool {
        !nodes.isEmpty && nodes.allSatisfy { $0.id == own || iteration.hasAsked($0.id) }
    }

    /// Begins to look for a record at one of its places.
    mutating func startSearch(
        for key: VerifyingKey, _ epoch: UInt64, place: UInt8 = 0, _ seeker: Iteration.Seeker, _ now: Timestamp,
        _ effects: inout [DirectoryEffect]
    ) -> UInt64? {
        let goal = Iteration.Goal.value(key: key, epoch: epoch, place: place, for: seeker)
        return start(goal, target: searchTarget(of: key, epoch, place: place), now, &effects)
    }

    private mutating func finish(
        _ id: UInt64, _ iteration: Iteration, _ now: Timestamp, _ effects: inout [DirectoryEffect]
    ) {
        switch iteration.goal {
        case .nodes:
            // A holder that repair looks for may have no place in a full bucket.
            if let found = iteration.closest(1).first, found.nodeID == iteration.target,
                foundEndpoints.count < DirectoryCore.silentLimit
            {
                foundEndpoints[found.nodeID] = found.endpoint
            }
            if joining == id {
                joining = nil
                effects.append(.joined(contacts: table.count))
            }
        case .value(_, _, _, let seeker): tell(seeker, .missing, iteration, now, &effects)
        }
    }

    /// Tells who waits for a record how the search ended.
    private mutating func tell(
        _ seeker: Iteration.Seeker, _ message: DirectoryMessage, _ iteration: Iteration, _ now: Timestamp,
        _ effects: inout [DirectoryEffect]
    ) {
        switch seeker {
        case .request(let token): effects.append(.answer(token: token, message: message.encode()))
        case .lookup(let id):
            lookups[id]?.take(searched: message, rounds: iteration.earlierRounds + iteration.rounds, now: now)
        }
    }

    private mutating func close(
        _ id: UInt64, _ iteration: Iteration, _ now: Timestamp, _ effects: inout [DirectoryEffect]
    ) {
        iterations[id] = nil
        watchSearch(iteration, now, &effects)
        counters.searchRounds += UInt64(iteration.rounds)
        if iteration.awaitsRecord { counters.searchCalls += UInt64(iteration.calls) }
        counters.refusedContacts += iteration.refusedContacts
        counters.selfNamed += iteration.selfNamed
        counters.misleading += iteration.misleading
    }

    /// A record came in answer to a search; a false one counts as no answer.
    mutating func found(
        _ bytes: [UInt8], _ id: UInt64, from node: NodeID, _ now: Timestamp, _ entropy: inout Entropy,
        _ effects: inout [DirectoryEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let iteration = iterations[id], case .value(let key, let epoch, _, let seeker) = iteration.goal else {
            return
        }
        do throws(RecordError) {
            let record = try DirectoryRecord(decoding: bytes)
            guard record.blindedKey == key, record.epoch == epoch else { throw .wrongEpoch(record.epoch) }
            try verify(record, bytes, now)
        } catch {
            counters.forgedAnswers += 1
            iterations[id]?.lied(node)
            return try advance(id, now, &effects, &store)
        }
        close(id, iteration, now, &effects)
        tell(seeker, .record(bytes), iteration, now, &effects)
    }

    /// Makes the next calls of a search.
    /// - Returns: whether there were any to make.
    @discardableResult
    mutating func seek(_ id: UInt64, _ now: Timestamp, _ effects: inout [DirectoryEffect]) -> Bool {
        var hasAsked = false
        while let message = iterations[id]?.message, let contacts = iterations[id]?.next(), !contacts.isEmpty {
            var skipped = 0
            for contact in contacts {
                let isNamed = isNamed(contact, now)
                guard !isNamed || named.admit(contact.endpoint.address, now) else {
                    skipped += 1
                    iterations[id]?.skipped(contact.nodeID)
                    continue
                }
                hasAsked = true
                call(.iteration(id, contact.nodeID), contact.endpoint, message, isNamed: isNamed, now, &effects)
            }
            counters.namedSkipped += UInt64(skipped)
            guard skipped > 0 else { break }
        }
        return hasAsked
    }

    /// Whether only another's word says that a contact answers where it does: it is neither known nor on the map there.
    private mutating func isNamed(_ contact: Contact, _ now: Timestamp) -> Bool {
        guard table.contact(contact.nodeID)?.endpoint != contact.endpoint else { return false }
        return placement(now.epoch).node(contact.nodeID)?.endpoint != contact.endpoint
    }

    /// Looks for itself: that fills the buckets around it and makes it known there.
    mutating func startJoin(_ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [DirectoryEffect]) {
        guard joining == nil, table.count <= RoutingTable.k, let id = start(.nodes, target: own, now, &effects) else {
            return
        }
        joining = id
        seek(id, now, &effects)
    }

    /// Whether a server is on the map; every one is while no map is known.
    mutating func isListed(_ node: NodeID) -> Bool {
        guard !nodes.isEmpty else { return true }
        // Nearly all of the map are on the circle too. Those who came lately are not ("Brakes"), and yet no strangers.
        if let placement = placements.values.first, placement.node(node) != nil { return true }
        let listed = listedNodes ?? Set(nodes.map(\.id))
        listedNodes = listed
        return listed.contains(node)
    }

    /// The map has changed: who of the routing table is on it now.
    mutating func markListed() {
        guard table.count > 0 else { return }
        let listed = Set(nodes.map(\.id))
        table.markListed { nodes.isEmpty || listed.contains($0) }
    }
}
