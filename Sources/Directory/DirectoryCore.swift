import Primitives
import Records
import Storage
import Wire

/// A directory server: holds the records for which the map makes it responsible, repairs their copies, and keeps a
/// Kademlia routing table for joining and as a fallback (specs/directory.md).
public struct DirectoryCore: Sendable {
    static let contactTable = Table("directory/contacts")
    static let sweepInterval: UInt64 = 600_000
    /// Contacts that are asked after a restart.
    static let rejoinLimit = 64
    static let verifiedLimit = 8192
    /// Milliseconds before the first repetition of a join, doubled up to the refresh interval.
    static let firstJoinWait: UInt64 = 2000

    enum Call: Sendable {
        case ping
        /// The oldest of a full bucket, or one that was silent for long.
        case liveness(NodeID)
        case iteration(UInt64, NodeID)
        case put(NodeID)
    }

    let own: NodeID
    let configuration: DirectoryConfiguration
    /// This server's signed descriptor, with which it proves who it is.
    public var descriptor: [UInt8]
    /// Whether the store has room; the driver clears it when the store is nearly full.
    public var acceptsWrites = true
    public internal(set) var counters = DirectoryCounters()
    public internal(set) var nextWake: Timestamp?

    var table: RoutingTable
    var nodes: [Placement.Node] = []
    var placements: [UInt64: Placement] = [:]
    var calls: [UInt64: (call: Call, endpoint: Endpoint)] = [:]
    var nextCall: UInt64 = 1
    var iterations: [UInt64: Iteration] = [:]
    var nextIteration: UInt64 = 1
    var verified: [NodeID: Bytes32] = [:]
    var joining: UInt64?
    var newNodes: Set<NodeID> = []
    var repairCursor: [UInt8]?
    var nextRefresh: Timestamp
    var nextSweep: Timestamp
    var stored: [Contact] = []
    /// Where joining begins, and begins again while the table is nearly empty.
    var bootstrap: [Endpoint] = []
    var nextJoin: Timestamp
    var joinWait = DirectoryCore.firstJoinWait

    /// - Parameters:
    ///   - descriptor: this server's own, encoded.
    ///   - store: the routing table of the last run is in it, so that a restart needs no bootstrap list.
    public init(
        serverID: VerifyingKey, descriptor: [UInt8],
        configuration: DirectoryConfiguration = DirectoryConfiguration(), now: Timestamp,
        store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        own = Node.id(of: serverID)
        self.descriptor = descriptor
        self.configuration = configuration
        table = RoutingTable(own: own)
        nextWake = now
        nextRefresh = now.adding(milliseconds: configuration.refreshInterval)
        nextSweep = now
        nextJoin = now.adding(milliseconds: DirectoryCore.firstJoinWait)
        var stored: [Contact] = []
        try store.scan(DirectoryCore.contactTable, from: []) { _, value in
            var reader = Reader(value)
            if let contact = try? Contact(&reader) { stored.append(contact) }
            return stored.count < DirectoryCore.rejoinLimit
        }
        self.stored = stored
    }

    /// Contacts in the routing table.
    public var contactCount: Int { table.count }
    /// Endpoints of the last run's routing table: with them a node rejoins.
    public var storedEndpoints: [Endpoint] { stored.map(\.endpoint) }

    public static func recordCount(_ store: borrowing some (KeyValueStore & ~Copyable)) throws(StorageError) -> Int {
        try store.count(RecordStore.table)
    }

    public mutating func handle(
        _ event: DirectoryEvent, now: Timestamp, entropy: inout Entropy,
        store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [DirectoryEffect] {
        var effects: [DirectoryEffect] = []
        switch event {
        case .join(let endpoints):
            bootstrap = Array(
                (endpoints + bootstrap.filter { !endpoints.contains($0) }).prefix(DirectoryCore.rejoinLimit))
            for endpoint in endpoints { call(.ping, endpoint, .ping, &effects) }
        case .request(let from, let token, let message):
            try request(from, token, message, now, &entropy, &effects, &store)
        case .answer(let id, let message):
            try answered(id, message, now, &entropy, &effects, &store)
        case .failed(let id):
            try failed(id, now, &entropy, &effects, &store)
        case .map(let nodes):
            newNodes.formUnion(Set(nodes.map(\.id)).subtracting(self.nodes.map(\.id)))
            self.nodes = nodes
            placements = [:]
            if !newNodes.isEmpty, repairCursor == nil { repairCursor = [] }
        case .wake:
            try wake(now, &entropy, &effects, &store)
        }
        return effects
    }

    // MARK: Calls

    mutating func call(
        _ call: Call, _ endpoint: Endpoint, _ message: DirectoryMessage, _ effects: inout [DirectoryEffect]
    ) {
        guard calls.count < configuration.callLimit else {
            counters.busy += 1
            return
        }
        let id = nextCall
        nextCall += 1
        calls[id] = (call, endpoint)
        effects.append(.call(id, to: endpoint, message: message.encode()))
    }

    private mutating func answered(
        _ id: UInt64, _ bytes: [UInt8], _ now: Timestamp, _ entropy: inout Entropy,
        _ effects: inout [DirectoryEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let (call, endpoint) = calls.removeValue(forKey: id) else { return }
        guard let message = try? DirectoryMessage(decoding: bytes) else {
            counters.malformed += 1
            try callFailed(call, now, &entropy, &effects, &store)
            return
        }
        switch (call, message) {
        case (.ping, .nodes(let descriptor, _)):
            if let contact = verify(descriptor, endpoint, now) {
                try learn(contact, now, &effects, &store)
                startJoin(now, &entropy, &effects)
            }
        case (.liveness(let node), .nodes(let descriptor, _)):
            guard let contact = verify(descriptor, endpoint, now), contact.nodeID == node else {
                return try callFailed(call, now, &entropy, &effects, &store)
            }
            try learn(contact, now, &effects, &store)
        case (.iteration(let iteration, let node), .nodes(let descriptor, let contacts)):
            guard let contact = verify(descriptor, endpoint, now), contact.nodeID == node else {
                return try callFailed(call, now, &entropy, &effects, &store)
            }
            try learn(contact, now, &effects, &store)
            iterations[iteration]?.answered(node, contacts)
            try advance(iteration, now, &effects, &store)
        case (.iteration(let iteration, let node), .record(let record)):
            try found(record, iteration, from: node, now, &entropy, &effects, &store)
        case (.put, .stored), (.put, .refused): break
        default:
            counters.malformed += 1
            try callFailed(call, now, &entropy, &effects, &store)
        }
    }

    private mutating func failed(
        _ id: UInt64, _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [DirectoryEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let (call, _) = calls.removeValue(forKey: id) else { return }
        counters.callsFailed += 1
        try callFailed(call, now, &entropy, &effects, &store)
    }

    private mutating func callFailed(
        _ call: Call, _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [DirectoryEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        switch call {
        case .ping: break
        case .liveness(let node), .put(let node): try drop(node, now, &store)
        case .iteration(let iteration, let node):
            try drop(node, now, &store)
            iterations[iteration]?.failed(node)
            try advance(iteration, now, &effects, &store)
        }
    }

    private mutating func drop(
        _ node: NodeID, _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let change = table.failed(node, now: now) else { return }
        try store.delete(DirectoryCore.contactTable, change.removed.nodeID.bytes)
        if let added = change.added { try save(added, &store) }
    }

    // MARK: Contacts

    /// The contact that a descriptor proves: signed, certified, and of the link key that answered.
    mutating func verify(_ bytes: [UInt8], _ endpoint: Endpoint, _ now: Timestamp) -> Contact? {
        guard let descriptor = try? ServerDescriptor(decoding: bytes), descriptor.linkKey == endpoint.linkKey else {
            counters.forgedAnswers += 1
            return nil
        }
        let digest = BLAKE2b.h(Domain("hulda/dir-desc"), bytes)
        if verified[descriptor.nodeID] != digest || !descriptor.isCurrent(at: now) {
            do throws(DescriptorError) { try descriptor.verify(at: now) } catch {
                counters.forgedAnswers += 1
                return nil
            }
            if verified.count >= DirectoryCore.verifiedLimit { verified.removeAll(keepingCapacity: true) }
            verified[descriptor.nodeID] = digest
        }
        return Contact(serverID: descriptor.serverID, endpoint: endpoint)
    }

    private mutating func learn(
        _ contact: Contact, _ now: Timestamp, _ effects: inout [DirectoryEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let isMoved = table.contact(contact.nodeID).map { $0.endpoint != contact.endpoint } ?? false
        switch table.insert(contact, now: now) {
        case .inserted: try save(contact, &store)
        case .full(let oldest): call(.liveness(oldest.nodeID), oldest.endpoint, .ping, &effects)
        case .refreshed: if isMoved { try save(contact, &store) }
        case .refused: break
        }
    }

    private func save(_ contact: Contact, _ store: inout some (KeyValueStore & ~Copyable)) throws(StorageError) {
        guard acceptsWrites else { return }
        var writer = Writer(capacity: Contact.encodedSize)
        contact.encode(&writer)
        try store.put(DirectoryCore.contactTable, contact.nodeID.bytes, writer.bytes)
    }

    /// A proven sender that is not in the table yet is asked who it is.
    mutating func meet(_ endpoint: Endpoint, _ effects: inout [DirectoryEffect]) {
        let isKnown = table.contacts.contains { $0.endpoint == endpoint }
        let isAsked = calls.values.contains { $0.endpoint == endpoint }
        if !isKnown, !isAsked { call(.ping, endpoint, .ping, &effects) }
    }

    // MARK: Searches

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
            target: target, goal: goal, start: table.closest(to: target, RoutingTable.k), own: own, now: now)
        nextWake = nextWake.map { min($0, now.adding(milliseconds: Iteration.deadline)) }
        return id
    }

    /// Calls the next nodes, or ends the search.
    mutating func advance(
        _ id: UInt64, _ now: Timestamp, _ effects: inout [DirectoryEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard var iteration = iterations[id] else { return }
        let contacts = iteration.next()
        iterations[id] = iteration
        for contact in contacts {
            call(.iteration(id, contact.nodeID), contact.endpoint, iteration.message, &effects)
        }
        let isLate = now.milliseconds(since: iteration.started) >= Iteration.deadline
        if (contacts.isEmpty && iteration.isFinished) || isLate { finish(id, iteration, &effects) }
    }

    private mutating func finish(_ id: UInt64, _ iteration: Iteration, _ effects: inout [DirectoryEffect]) {
        iterations[id] = nil
        switch iteration.goal {
        case .nodes:
            if joining == id {
                joining = nil
                effects.append(.joined(contacts: table.count))
            }
        case .value(_, _, let token):
            effects.append(.answer(token: token, message: DirectoryMessage.missing.encode()))
        case .place(let record):
            for contact in iteration.closest(configuration.kademliaCopies) {
                call(.put(contact.nodeID), contact.endpoint, .put(record: record), &effects)
            }
        }
    }

    /// A record came in answer to a search; a false one counts as no answer.
    private mutating func found(
        _ bytes: [UInt8], _ id: UInt64, from node: NodeID, _ now: Timestamp, _ entropy: inout Entropy,
        _ effects: inout [DirectoryEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let iteration = iterations[id], case .value(let key, let epoch, let token) = iteration.goal else {
            return
        }
        do throws(RecordError) {
            let record = try DirectoryRecord(decoding: bytes)
            guard record.blindedKey == key, record.epoch == epoch else { throw .wrongEpoch(record.epoch) }
            try record.verify(at: now)
        } catch {
            counters.forgedAnswers += 1
            iterations[id]?.failed(node)
            return try advance(id, now, &effects, &store)
        }
        iterations[id] = nil
        effects.append(.answer(token: token, message: DirectoryMessage.record(bytes).encode()))
    }

    /// Looks for itself: that fills the buckets around it and makes it known there.
    mutating func startJoin(_ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [DirectoryEffect]) {
        guard joining == nil, table.count <= RoutingTable.k, let id = start(.nodes, target: own, now, &effects) else {
            return
        }
        joining = id
        for contact in iterations[id]?.next() ?? [] {
            call(.iteration(id, contact.nodeID), contact.endpoint, .findNode(target: own), &effects)
        }
    }

    mutating func placement(_ epoch: UInt64) -> Placement {
        if let known = placements[epoch] { return known }
        let placement = Placement(nodes: nodes, epoch: epoch)
        if placements.count >= 4 { placements.removeAll() }
        placements[epoch] = placement
        return placement
    }
}
