import Primitives
import Records
import Storage
import Wire

/// Calls to other servers, and what their answers prove.
extension DirectoryCore {
    mutating func call(
        _ call: Call, _ endpoint: Endpoint, _ message: DirectoryMessage, isNamed: Bool = false, _ now: Timestamp,
        _ effects: inout [DirectoryEffect]
    ) {
        guard calls.count < room(for: call) else {
            counters.busy += 1
            // The search goes on with others when calls are free again.
            if case .iteration(let search, let node) = call { _ = iterations[search]?.late(node) }
            return
        }
        let id = nextCall
        nextCall += 1
        let wait = wait(for: call)
        calls[id] = Pending(
            call: call, endpoint: endpoint, started: now, deadline: now.adding(milliseconds: wait), isNamed: isNamed)
        nextOverdue = nextOverdue ?? now.adding(milliseconds: DirectoryCore.callLifetime)
        if case .iteration = call, let deadline = calls[id]?.deadline {
            nextDeadline = min(nextDeadline ?? deadline, deadline)
        }
        effects.append(.call(id, to: endpoint, message: message.encode()))
    }

    /// Hands a record to another server.
    mutating func put(
        _ record: [UInt8], to node: NodeID, _ endpoint: Endpoint, _ now: Timestamp, _ effects: inout [DirectoryEffect]
    ) {
        call(.put(node, again: record), endpoint, .put(record: record), now, &effects)
    }

    /// How many calls may be under way for this one to be made. Anybody can make this server search; repair, and asking
    /// whether others live, keep a quarter of the calls.
    private func room(for call: Call) -> Int {
        switch call {
        case .iteration, .holder: configuration.callLimit - configuration.callLimit / 4
        default: configuration.callLimit
        }
    }

    /// Milliseconds until a call is late.
    private func wait(for call: Call) -> UInt64 {
        let known = call.node.flatMap { table.entry($0)?.roundTrip }
        guard case .iteration(let search, _) = call, iterations[search]?.awaitsRecord ?? false else {
            return known?.timeout ?? RoundTrip.first
        }
        return known?.patience ?? usual.strangersPatience
    }

    mutating func answered(
        _ id: UInt64, _ bytes: [UInt8], _ now: Timestamp, _ entropy: inout Entropy,
        _ effects: inout [DirectoryEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let pending = calls.removeValue(forKey: id) else { return }
        let (call, endpoint) = (pending.call, pending.endpoint)
        if pending.isNamed { named.answered(endpoint.address) }
        let milliseconds = now.milliseconds(since: pending.started)
        if let node = call.node { table.measured(node, milliseconds: milliseconds) }
        usual.measured(milliseconds)
        guard let message = try? DirectoryMessage(decoding: bytes) else {
            counters.malformed += 1
            if case .holder(let lookup, let node) = call { lookups[lookup]?.take(nil, from: node, now: now) }
            try callFailed(call, now, &entropy, &effects, &store)
            return
        }
        switch (call, message) {
        case (.ping, .nodes(let descriptor, _)):
            if let contact = verify(descriptor, endpoint, now) {
                let known = table.count
                try learn(contact, now, &effects, &store)
                // Who finds no place in the table is no news: else servers of few prefixes would join for ever.
                if table.count > known { startJoin(now, &entropy, &effects) }
            }
        case (.liveness(let node), .nodes(let descriptor, _)):
            guard let contact = verify(descriptor, endpoint, now), contact.contact.nodeID == node else {
                return try callFailed(call, now, &entropy, &effects, &store)
            }
            try learn(contact, now, &effects, &store)
        case (.iteration(let iteration, let node), .nodes(let descriptor, let contacts)):
            guard let contact = verify(descriptor, endpoint, now), contact.contact.nodeID == node else {
                return try callFailed(call, now, &entropy, &effects, &store)
            }
            try learn(contact, now, &effects, &store)
            iterations[iteration]?.answered(node, contacts, cluster: contact.cluster)
            try advance(iteration, now, &effects, &store)
        case (.iteration(let iteration, let node), .record(let record)):
            try found(record, iteration, from: node, now, &entropy, &effects, &store)
        case (.put(let node, let record?), .refused(.busy)):
            // It may want the address proven, or have no room for one that is not: this time it is.
            heard(node, now)
            counters.putsRepeated += 1
            self.call(.put(node, again: nil), endpoint, .put(record: record), now, &effects)
        case (.put(let node, _), .stored), (.put(let node, _), .refused), (.put(let node, _), .puzzle):
            heard(node, now)
        case (.compare(let node, let keys), .lacking(let lacking)) where lacking.count == keys.count:
            heard(node, now)
            let missing = zip(keys, lacking).filter(\.1).map(\.0)
            try handOn(missing, to: node, endpoint, now, &effects, store)
        case (.compare(let node, let keys), .refused(.unsupported)):
            // An earlier version, which is brought everything.
            heard(node, now)
            try handOn(keys, to: node, endpoint, now, &effects, store)
        case (.compare(let node, _), .refused): heard(node, now)
        case (.holder(let lookup, let node), _):
            heard(node, now)
            lookups[lookup]?.take(message, from: node, now: now)
        case (.shared(let node), .shared(let answer)):
            try randomise(.answer(node, answer), now, &entropy, &effects, &store)
        default:
            counters.malformed += 1
            try callFailed(call, now, &entropy, &effects, &store)
        }
    }

    /// Lets searches ask others where an answer is late.
    mutating func timeOut(
        _ now: Timestamp, _ effects: inout [DirectoryEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let due = nextDeadline, due <= now else { return }
        var searches: Set<UInt64> = []
        nextDeadline = nil
        for id in calls.keys.sorted() {
            guard let pending = calls[id], case .iteration(let search, let node) = pending.call else { continue }
            if pending.deadline > now {
                nextDeadline = min(nextDeadline ?? pending.deadline, pending.deadline)
            } else if iterations[search]?.late(node) ?? false {
                counters.lateAnswers += 1
                searches.insert(search)
            }
        }
        for search in searches.sorted() { try advance(search, now, &effects, &store) }
    }

    mutating func failed(
        _ id: UInt64, _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [DirectoryEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let call = calls.removeValue(forKey: id)?.call else { return }
        counters.callsFailed += 1
        try callFailed(call, now, &entropy, &effects, &store)
    }

    /// Gives up calls on which the driver has not reported: else each of them would take a place for ever.
    mutating func giveUpOverdue(
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [DirectoryEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let due = nextOverdue, due <= now else { return }
        let end = { (call: Pending) in call.started.adding(milliseconds: DirectoryCore.callLifetime) }
        for id in calls.keys.sorted() {
            guard let pending = calls[id], end(pending) <= now else { continue }
            counters.callsOverdue += 1
            try failed(id, now, &entropy, &effects, &store)
        }
        nextOverdue = calls.values.map(end).min()
    }

    private mutating func callFailed(
        _ call: Call, _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [DirectoryEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        switch call {
        case .ping: break
        case .shared(let node): try randomise(.failed(node), now, &entropy, &effects, &store)
        case .liveness(let node), .put(let node, _), .compare(let node, _), .holder(_, let node):
            try drop(node, now, &store)
            missed(node, now)
        case .iteration(let iteration, let node):
            try drop(node, now, &store)
            iterations[iteration]?.failed(node)
            try advance(iteration, now, &effects, &store)
        }
    }

    private mutating func drop(
        _ node: NodeID, _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let change = table.failed(node, isFrozen: isFrozen(now)) else { return }
        try store.delete(DirectoryCore.contactTable, change.removed.nodeID.bytes)
        if let added = change.added { try save(added, &store) }
    }

    /// The contact that a descriptor proves: signed, certified, and of the link key that answered.
    mutating func verify(_ bytes: [UInt8], _ endpoint: Endpoint, _ now: Timestamp) -> (
        contact: Contact, cluster: VerifyingKey
    )? {
        let digest = BLAKE2b.h(Domain("hulda/dir-desc"), bytes)
        if let proven = checked?.proof(digest), proven.isCurrent(at: now), proven.contact.endpoint == endpoint {
            return (proven.contact, proven.descriptor.clusterID)
        }
        guard let descriptor = try? ServerDescriptor(decoding: bytes), descriptor.linkKey == endpoint.linkKey else {
            counters.forgedAnswers += 1
            return nil
        }
        if verified[descriptor.nodeID] != digest || !descriptor.isCurrent(at: now) {
            do throws(DescriptorError) { try descriptor.verify(at: now) } catch {
                counters.forgedAnswers += 1
                return nil
            }
            if verified.count >= DirectoryCore.verifiedLimit { verified.removeAll(keepingCapacity: true) }
            verified[descriptor.nodeID] = digest
        }
        let contact = Contact(serverID: descriptor.serverID, endpoint: endpoint)
        checked?.insert(CheckedSignatures.Proof(descriptor: descriptor, contact: contact), digest)
        return (contact, descriptor.clusterID)
    }

    mutating func learn(
        _ proven: (contact: Contact, cluster: VerifyingKey), _ now: Timestamp, _ effects: inout [DirectoryEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let contact = proven.contact
        heard(contact.nodeID, now)
        let known = table.entry(contact.nodeID)
        let isMoved = known.map { $0.contact.endpoint != contact.endpoint } ?? false
        trust.answered(contact.endpoint, cluster: proven.cluster)
        let isFrozen = isFrozen(now)
        // Of those in the table a change of the map has said it already.
        let isListed = known?.isListed ?? isListed(contact.nodeID)
        let insertion = table.insert(
            contact, cluster: proven.cluster, isListed: isListed, isFrozen: isFrozen,
            isAnchor: trust.isAnchor(contact.endpoint), now: now)
        switch insertion {
        case .inserted:
            try save(contact, &store)
            watchJoin(contact, now, &effects)
        case .replaced(let stranger):
            try store.delete(DirectoryCore.contactTable, stranger.nodeID.bytes)
            try save(contact, &store)
        case .full(let oldest):
            strangers.insert(contact.endpoint, now)
            // Whoever was heard of lately lives: only a contact that upkeep would ask too is asked for a stranger.
            guard now.milliseconds(since: oldest.lastSeen) >= configuration.livenessInterval else { return }
            call(.liveness(oldest.contact.nodeID), oldest.contact.endpoint, .ping, now, &effects)
        case .refreshed: if isMoved { try save(contact, &store) }
        case .refused:
            strangers.insert(contact.endpoint, now)
            counters.frozenOut += isFrozen ? 1 : 0
        }
    }

    func save(_ contact: Contact, _ store: inout some (KeyValueStore & ~Copyable)) throws(StorageError) {
        guard acceptsWrites else { return }
        var writer = Writer(capacity: Contact.encodedSize)
        contact.encode(&writer)
        try store.put(DirectoryCore.contactTable, contact.nodeID.bytes, writer.bytes)
    }

    /// A proven sender that is not in the table yet is asked who it is, unless it found no place there lately.
    mutating func meet(_ endpoint: Endpoint, _ now: Timestamp, _ effects: inout [DirectoryEffect]) {
        guard !strangers.contains(endpoint, now), !table.knows(endpoint) else { return }
        var meetings = 0
        var ofPrefix = 0
        for pending in calls.values {
            if pending.endpoint == endpoint { return }
            guard case .ping = pending.call else { continue }
            meetings += 1
            if pending.endpoint.address.prefixKey == endpoint.address.prefixKey { ofPrefix += 1 }
        }
        guard meetings < DirectoryCore.meetingLimit, ofPrefix < DirectoryCore.prefixMeetingLimit else {
            counters.busy += 1
            return
        }
        call(.ping, endpoint, .ping, now, &effects)
    }
}
