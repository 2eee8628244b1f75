import Primitives
import Records
import Storage
import Wire

/// Requests of agents and of other servers.
extension DirectoryCore {
    mutating func request(
        _ from: Endpoint?, _ token: UInt64, _ bytes: [UInt8], _ now: Timestamp, _ entropy: inout Entropy,
        _ effects: inout [DirectoryEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        counters.requests += 1
        let message: DirectoryMessage
        do throws(WireError) { message = try DirectoryMessage(decoding: bytes) } catch {
            counters.malformed += 1
            answer(token, .refused(.malformed), &effects)
            return
        }
        if let from { meet(from, now, &effects) }
        switch message {
        case .get(let key, let epoch):
            answer(token, try held(key, epoch, now, store), &effects)
        case .put(let record):
            let answer = try put(record, isFromServer: from != nil, now, &effects, &store)
            self.answer(token, answer, &effects)
        case .findNode(let target):
            answer(token, nodes(near: target, now), &effects)
        case .findValue(let key, let epoch):
            let held = try held(key, epoch, now, store)
            answer(token, held == .missing ? nodes(near: DirectoryCore.kademliaKey(key), now) : held, &effects)
        case .ping:
            answer(token, .nodes(descriptor: descriptor, []), &effects)
        case .iterate(let key, let epoch):
            let held = try held(key, epoch, now, store)
            if held != .missing {
                answer(token, held, &effects)
                return
            }
            let goal = Iteration.Goal.value(key: key, epoch: epoch, token: token)
            guard let id = start(goal, target: DirectoryCore.kademliaKey(key), now, &effects) else {
                answer(token, .refused(.busy), &effects)
                return
            }
            try advance(id, now, &effects, &store)
        case .record, .missing, .stored, .refused, .nodes:
            counters.malformed += 1
            answer(token, .refused(.malformed), &effects)
        }
    }

    /// Where a record lies in Kademlia's space, for searches without a map.
    static func kademliaKey(_ key: VerifyingKey) -> Bytes32 { BLAKE2b.h(Domain("hulda/dir-kad"), key.bytes) }

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
        guard let record = try RecordStore.get(key, store), record.epoch == epoch, record.expiry > now.seconds else {
            counters.misses += 1
            return .missing
        }
        counters.hits += 1
        return .record(record.encode())
    }

    /// Checks in the design's order: size, epoch, responsibility, sequence, and the signature last, which costs most.
    private mutating func put(
        _ bytes: [UInt8], isFromServer: Bool, _ now: Timestamp, _ effects: inout [DirectoryEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> DirectoryMessage {
        let record: DirectoryRecord
        do throws(RecordError) { record = try DirectoryRecord(decoding: bytes) } catch {
            counters.malformed += 1
            return .refused(.malformed)
        }
        do throws(RecordError) { try record.checkTime(at: now) } catch {
            counters.wrongEpoch += 1
            return .refused(error == .expired ? .expired : .wrongEpoch)
        }
        let placement = placement(record.epoch)
        let key = record.blindedKey
        let isHolder =
            placement.isResponsible(own, for: key)
            || (isFromServer && placement.isResponsible(own, for: key, slack: DirectoryCore.repairSlack))
        guard isHolder || (isFromServer && isClosest(record.blindedKey)) else {
            counters.notResponsible += 1
            return .refused(.notResponsible)
        }
        let old = try RecordStore.get(record.blindedKey, store)
        if let old, old.sequence > record.sequence {
            counters.notNewer += 1
            return .refused(.notNewer)
        }
        if let old, old == record { return .stored(sequence: record.sequence) }
        guard acceptsWrites else {
            counters.full += 1
            return .refused(.full)
        }
        if old == nil, try store.count(RecordStore.table) >= configuration.recordLimit {
            counters.full += 1
            return .refused(.full)
        }
        do throws(RecordError) { try record.verify(at: now) } catch {
            counters.wrongSignature += 1
            return .refused(.wrongSignature)
        }
        if let old, old.sequence == record.sequence {
            counters.conflicting += 1
            if try store.count(RecordStore.evidence) < RecordStore.evidenceLimit {
                try store.put(RecordStore.evidence, record.blindedKey.bytes.bytes, bytes)
            }
            return .refused(.notNewer)
        }
        try store.put(RecordStore.table, record.blindedKey.bytes.bytes, bytes)
        counters.stored += 1
        // The first holder of each of two rings also keeps copies where a search without a map ends.
        let isFirst = placement.rings(of: record.blindedKey).prefix(2).contains { $0.first == own }
        if isFirst, !isFromServer,
            let id = start(
                .place(record: bytes), target: DirectoryCore.kademliaKey(record.blindedKey), now, &effects)
        {
            try advance(id, now, &effects, &store)
        }
        return .stored(sequence: record.sequence)
    }

    /// Whether this server is among the k nodes closest to the record's Kademlia key, as far as it knows.
    private func isClosest(_ key: VerifyingKey) -> Bool {
        let target = DirectoryCore.kademliaKey(key)
        let near = table.closest(to: target, RoutingTable.k)
        guard near.count == RoutingTable.k, let farthest = near.last else { return true }
        return own.distance(to: target) < farthest.nodeID.distance(to: target)
    }
}
