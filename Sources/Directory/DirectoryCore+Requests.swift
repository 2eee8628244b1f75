import Primitives
import Records
import Storage
import Wire

/// Requests of agents and of other servers.
extension DirectoryCore {
    mutating func request(
        _ from: Endpoint?, _ isProven: Bool, _ token: UInt64, _ bytes: [UInt8], _ now: Timestamp,
        _ entropy: inout Entropy, _ effects: inout [DirectoryEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        counters.requests += 1
        guard budget.admit(from?.address.prefixKey, isProven: isProven, configuration, now) else {
            counters.overRate += 1
            answer(token, .refused(.busy), &effects)
            return
        }
        // Whoever asks for what is not known here is newer, and asks others.
        if let kind = bytes.first, DirectoryMessage.requestKinds.contains(kind), kind > configuration.highestRequest {
            counters.unsupported += 1
            answer(token, .refused(.unsupported), &effects)
            return
        }
        let message: DirectoryMessage
        do throws(WireError) { message = try DirectoryMessage(decoding: bytes) } catch {
            counters.malformed += 1
            answer(token, .refused(.malformed), &effects)
            return
        }
        if let from, isProven, message.introduces { meet(from, now, &effects) }
        if let from, isProven { heard(from: from, now) }
        func item(_ record: [UInt8], _ effort: PutEffort) -> FairQueue.Item {
            FairQueue.Item(from: from, isProven: isProven, token: token, record: record, effort: effort)
        }
        switch message {
        case .get(let key, let epoch):
            let held = try held(key, epoch, now, store)
            answer(token, held == .missing ? absence(key, epoch, now) : held, &effects)
        case .put(let record): try put(item(record, .none), now, &entropy, &effects, &store)
        case .solvedPut(let record, let solution):
            try put(item(record, .unchallenged(solution)), now, &entropy, &effects, &store)
        case .challengedPut(let record, let proof):
            try put(item(record, .challenged(proof)), now, &entropy, &effects, &store)
        case .findNode(let target):
            answer(token, nodes(near: target, now), &effects)
        case .findValue(let key, let epoch, let place):
            let held = try held(key, epoch, now, store)
            answer(
                token, held == .missing ? nodes(near: searchTarget(of: key, epoch, place: place), now) : held, &effects)
        case .ping:
            answer(token, .nodes(descriptor: descriptor, []), &effects)
        case .iterate(let key, let epoch):
            // Servers search by themselves; and one datagram, with whatever address on it, must not cause a hundred.
            guard from == nil else {
                counters.malformed += 1
                answer(token, .refused(.malformed), &effects)
                return
            }
            let held = try held(key, epoch, now, store)
            if held != .missing {
                answer(token, held, &effects)
                return
            }
            guard let id = startSearch(for: key, epoch, .request(token: token), now, &effects) else {
                answer(token, .refused(.busy), &effects)
                return
            }
            try advance(id, now, &effects, &store)
        case .askShared(let epoch): answer(token, .shared(random.answer(epoch)), &effects)
        case .compare(let marks):
            // Forty looks into the store: not for senders who cannot be told apart.
            guard from != nil else {
                counters.malformed += 1
                answer(token, .refused(.malformed), &effects)
                return
            }
            answer(token, .lacking(try lacking(marks, store)), &effects)
        case .record, .missing, .absent, .stored, .refused, .nodes, .shared, .puzzle, .lacking, .challenge:
            counters.malformed += 1
            answer(token, .refused(.malformed), &effects)
        }
    }

    /// Where a record of an epoch lies in Kademlia's space, by the shared random value as far as it is known here.
    func searchTarget(of key: VerifyingKey, _ epoch: UInt64, place: UInt8) -> Bytes32 {
        DirectoryCore.kademliaTarget(of: key, epoch: epoch, place: place, shared: random.values[epoch]?.bytes)
    }

    private func answer(_ token: UInt64, _ message: DirectoryMessage, _ effects: inout [DirectoryEffect]) {
        effects.append(.answer(token: token, message: message.encode()))
    }

    /// Only contacts that were alive lately are named.
    private func nodes(near target: Bytes32, _ now: Timestamp) -> DirectoryMessage {
        let age = configuration.answerAge
        let since = Timestamp(milliseconds: now.milliseconds > age ? now.milliseconds - age : 0)
        return .nodes(
            descriptor: descriptor, table.answer(to: target, DirectoryMessage.contactLimit, since: since))
    }

    private mutating func held(
        _ key: VerifyingKey, _ epoch: UInt64, _ now: Timestamp, _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> DirectoryMessage {
        guard let bytes = try stored(key, epoch, now, store) else {
            counters.misses += 1
            return .missing
        }
        counters.hits += 1
        return .record(bytes)
    }

    /// The record of an epoch, if it is held and not expired.
    func stored(
        _ key: VerifyingKey, _ epoch: UInt64, _ now: Timestamp, _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [UInt8]? {
        guard let bytes = try store.get(RecordStore.table, key.bytes.bytes),
            let dates = DirectoryRecord.dates(of: bytes), dates.epoch == epoch, dates.expiry > now.seconds
        else { return nil }
        return bytes
    }

    /// A signed *missing*, if there is a signer and it is not asked too much.
    mutating func absence(_ key: VerifyingKey, _ epoch: UInt64, _ now: Timestamp) -> DirectoryMessage {
        guard let sign, budget.sign(configuration, now) else { return .missing }
        counters.signedMisses += 1
        let digest = Absence.digest(server: serverID, key: key, epoch: epoch, time: now.seconds)
        return .absent(Absence(serverID: serverID, time: now.seconds, signature: sign(digest)))
    }

    /// Checks the records that waited, as many as may be checked now.
    mutating func checkWaiting(
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [DirectoryEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        while !waiting.isEmpty, budget.check(configuration, now), let item = waiting.next() {
            if let answer = try put(item, isChecked: true, now, &entropy, &effects, &store) {
                self.answer(item.token, answer, &effects)
            }
        }
    }

    private mutating func put(
        _ item: FairQueue.Item, _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [DirectoryEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let answer = try put(item, isChecked: false, now, &entropy, &effects, &store) else { return }
        self.answer(item.token, answer, &effects)
    }

    /// Checks in the design's order: size, epoch, responsibility, puzzle, sequence, quota, and the signature last, which
    /// costs most.
    /// - Parameter isChecked: whether the budget for signatures was already charged.
    /// - Returns: the answer, or `nil` when the record waits.
    private mutating func put(
        _ item: FairQueue.Item, isChecked: Bool, _ now: Timestamp, _ entropy: inout Entropy,
        _ effects: inout [DirectoryEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> DirectoryMessage? {
        let record: DirectoryRecord
        do throws(RecordError) { record = try DirectoryRecord(decoding: item.record) } catch {
            counters.malformed += 1
            return .refused(.malformed)
        }
        do throws(RecordError) { try record.checkTime(at: now) } catch {
            counters.wrongEpoch += 1
            return .refused(error == .expired ? .expired : .wrongEpoch)
        }
        guard takes(record, isFromServer: item.from != nil) else {
            counters.notResponsible += 1
            return .refused(.notResponsible)
        }
        let old = try RecordStore.get(record.blindedKey, store)
        if let old, old == record { return .stored(sequence: record.sequence) }
        if !isChecked, let demand = try demand(record, item, isNew: old == nil, now, &entropy, store) { return demand }
        let group = item.group
        if let refusal = try refusal(record, old, group, store) { return .refused(refusal) }
        guard isChecked || (waiting.isEmpty && budget.check(configuration, now)) else {
            counters.queued += 1
            guard waiting.append(item) else {
                counters.busy += 1
                return .refused(.busy)
            }
            return nil
        }
        do throws(RecordError) { try verify(record, item.record, now) } catch {
            counters.wrongSignature += 1
            return .refused(.wrongSignature)
        }
        if let old, old.sequence == record.sequence {
            counters.conflicting += 1
            return .refused(.notNewer)
        }
        try RecordStore.put(record, replacing: old, from: group, &store)
        counters.stored += 1
        copy(record, item, now, &effects)
        return .stored(sequence: record.sequence)
    }

    private mutating func takes(_ record: DirectoryRecord, isFromServer: Bool) -> Bool {
        let slack = isFromServer ? DirectoryCore.repairSlack : Placement.slack
        if placement(record.epoch).isResponsible(own, for: record.blindedKey, slack: slack) { return true }
        return isFromServer && isClosest(record.blindedKey, record.epoch)
    }

    /// Why a record is not kept, as far as that shows without its signature.
    private mutating func refusal(
        _ record: DirectoryRecord, _ old: DirectoryRecord?, _ group: RecordStore.Group,
        _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> DirectoryMessage.Refusal? {
        if let old, old.sequence > record.sequence {
            counters.notNewer += 1
            return .notNewer
        }
        let usage = try RecordStore.usage(.all, store)
        let isFull =
            usage.bytes >= UInt64(configuration.byteLimit) || usage.records >= UInt64(configuration.recordLimit)
        guard acceptsWrites, old != nil || !isFull else {
            counters.full += 1
            return .full
        }
        let share = group == .agents ? configuration.sealedRecordLimit : configuration.prefixRecordLimit
        let held = try RecordStore.usage(group, store)
        guard old != nil || held.records < UInt64(share) else {
            counters.overQuota += 1
            // Over the session that the answer establishes it comes again, and counts for the sender's prefix.
            return group == .unproven ? .busy : .full
        }
        return nil
    }

    /// The first two living holders of each ring hand a publisher's record on: to those that stand in for silent ones of the
    /// ring, whom the publisher does not know, and to where a search without a map ends. If only two servers did that, liars
    /// would prevent it for one record in eleven when three servers in ten lie.
    private mutating func copy(
        _ record: DirectoryRecord, _ item: FairQueue.Item, _ now: Timestamp, _ effects: inout [DirectoryEffect]
    ) {
        guard item.from == nil else { return }
        let placement = placement(record.epoch)
        let starts = placement.starts(of: record.blindedKey)
        let living = placement.walk(starts, without: silence(record.epoch))
        let own = placement.place(of: own)
        let mine = (0..<Placement.rings).filter { DirectoryCore.isSettler(own, of: $0, living) }
        guard !mine.isEmpty else { return }
        let asked = silent.isEmpty ? living : placement.walk(starts)
        var targets: [Placement.Node] = []
        for ring in mine {
            for number in 0..<living.counts[ring] where !asked.contains(living.place(ring: ring, number)) {
                targets.append(placement.ordered[living.place(ring: ring, number)].node)
            }
        }
        // From the map and not by a search: who is not on the map could gather around the key.
        targets += placement.searched(for: record.blindedKey, configuration.kademliaCopies)
        var chosen: Set<NodeID> = [self.own]
        for node in targets where chosen.insert(node.id).inserted {
            guard let endpoint = node.endpoint ?? table.contact(node.id)?.endpoint else { continue }
            watchHolder(node.id)
            put(item.record, to: node.id, endpoint, now, &effects)
        }
    }

    /// Whether this server is among the k nodes closest to one of the record's places, by the map or as far as it knows.
    private mutating func isClosest(_ key: VerifyingKey, _ epoch: UInt64) -> Bool {
        for place in 0..<Placement.searchPlaces
        where isClosest(to: searchTarget(of: key, epoch, place: place), epoch) { return true }
        return false
    }

    private mutating func isClosest(to target: Bytes32, _ epoch: UInt64) -> Bool {
        guard nodes.isEmpty else {
            return placement(epoch).closest(to: target, RoutingTable.k).contains { $0.id == own }
        }
        let near = table.closest(to: target, RoutingTable.k)
        guard near.count == RoutingTable.k, let farthest = near.last else { return true }
        return own.distance(to: target) < farthest.nodeID.distance(to: target)
    }
}
