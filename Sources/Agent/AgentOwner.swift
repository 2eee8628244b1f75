import Correspondence
import Federation
import Link
import Logging
import NIOCore
import NIOPosix
import Primitives
import Records
import Storage
import Transport
import Wire

/// The event loop that owns an agent's cores, its store and its links.
///
/// Confined to `loop`: every method but ``enqueue(_:)`` runs there, which is what makes `@unchecked Sendable` true.
final class AgentOwner: @unchecked Sendable {
    /// How long changes of the map are gathered.
    private static let mapDelay = TimeAmount.milliseconds(250)
    /// How often it is looked whether the store is still there.
    private static let storeWatch = TimeAmount.seconds(10)

    let loop: any EventLoop
    let bootstrap: BootstrapList
    let local: NIOCore.SocketAddress?
    var core: AgentCore
    var map: MapCore
    var store: SealedStore
    var entropy = Entropy.system()
    let logger: Logger
    var links: [UInt64: StreamLink] = [:]
    var gateways: [NodeID: StreamLink] = [:]
    /// Gateways to which a connection is being made, or waits to be tried again.
    var connecting: Set<NodeID> = []
    var attempts: [NodeID: Int] = [:]
    var rounds = BootstrapRounds()
    /// Since when no gateway is linked.
    var aloneSince = NIODeadline.now()
    /// When somebody first had nothing more to tell of the map in this run.
    private(set) var wholeSince: NIODeadline?
    private var watch: RepeatedTask?
    private var isMapPending = false
    var isStarted = false
    /// Whether gateways may be connected; before the home is known they would be chosen without regard to it.
    var usesGateways = false
    var isStopped = false
    private var wakeTask: Scheduled<Void>?
    private var observers: [UInt64: @Sendable (Result<AgentEffect, AgentFailure>) -> Void] = [:]
    private var nextObserver: UInt64 = 1
    private var nextRequest: UInt64 = 1
    var failure: AgentFailure?
    let directory: String
    /// Links that failed, by reason.
    private var linkFailures: [String: UInt64] = [:]

    /// What was counted since the start, by name.
    var sums: [String: UInt64] {
        core.counters.sums.merging(map.sums) { _, new in new }.merging(linkFailures) { _, new in new }
    }

    init(
        loop: any EventLoop, directory: String, identity: Identity, configuration: AgentConfiguration,
        bootstrap: BootstrapList, local: NIOCore.SocketAddress?, store: consuming SealedStore, logger: Logger
    ) throws(StorageError) {
        self.loop = loop
        self.directory = directory
        self.bootstrap = bootstrap
        self.local = local
        self.logger = logger
        let now = Timestamp.now()
        var mapConfiguration = MapConfiguration()
        mapConfiguration.isAgent = true
        var opened = store
        map = try MapCore(
            configuration: mapConfiguration, admission: Admission(bootstrap: bootstrap), now: now, store: opened)
        core = try AgentCore(identity: identity, configuration: configuration, now: now, store: &opened)
        self.store = opened
    }

    /// Runs `body` on the owner's loop.
    func enqueue(_ body: @escaping @Sendable (AgentOwner) -> Void) {
        loop.execute { body(self) }
    }

    func note(_ failure: LinkError?) {
        if let failure { linkFailures["link.failed.\(failure.label)", default: 0] += 1 }
    }

    func noteUnexpectedFrame() { linkFailures["frame.unexpected", default: 0] += 1 }

    // MARK: Life

    /// Begins with the map; and with the gateways, unless they are to wait until the home is known.
    func start(usingGateways: Bool) {
        if usingGateways, !usesGateways {
            usesGateways = true
            connectGateways()
        }
        guard !isStarted else { return }
        isStarted = true
        watchStore()
        for (epoch, value) in core.sharedValues { handle(.sharedRandom(epoch: epoch, value)) }
        aloneSince = .now()
        if map.currentTotal(at: .now()) > 0 { refreshMap() }
        connectGateways()
        askBootstrap()
        watch = loop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { [weak self] _ in
            self?.dropStrandedLinks()
            self?.askBootstrap()
        }
        scheduleWake()
    }

    /// An agent that only waits writes nothing, and would go on without its store.
    private func watchStore() {
        loop.scheduleTask(in: AgentOwner.storeWatch) {
            guard !self.isStopped else { return }
            guard self.store.isInPlace else { return self.fail(.unavailable("the data file is gone")) }
            self.watchStore()
        }
    }

    func stop() {
        isStopped = true
        wakeTask?.cancel()
        watch?.cancel()
        for link in links.values { link.close() }
        observers = [:]
    }

    /// Reports every effect to `body` until it is removed.
    func observe(_ body: @escaping @Sendable (Result<AgentEffect, AgentFailure>) -> Void) -> UInt64 {
        let id = nextObserver
        nextObserver += 1
        observers[id] = body
        if let failure { body(.failure(failure)) }
        return id
    }

    func removeObserver(_ id: UInt64) { observers[id] = nil }

    func freshRequest() -> UInt64 {
        defer { nextRequest += 1 }
        return nextRequest
    }

    var isConnected: Bool { !gateways.isEmpty }
    /// Whether the map has clusters enough for a path.
    var hasPaths: Bool { core.relayClusters >= core.leastClusters }
    /// Whether the map is too small for a path although whoever was asked has told all: a second later another may know
    /// more.
    var isMapTooSmall: Bool { !hasPaths && wholeSince.map { NIODeadline.now() - $0 >= .seconds(1) } ?? false }
    /// The servers that may be used.
    var servers: [ServerDescriptor] { map.usableServers(at: .now()) }
    var isMapRefused: Bool { map.isViewRefused(at: .now()) }
    var clusters: [ClusterDescriptor] { map.clusters.values.sorted { $0.name < $1.name } }
    func clusterID(of node: NodeID) -> VerifyingKey? { map.server(node)?.clusterID }
    var clusterTable: ClusterTable { ClusterTable(map.clusters) }
    func server(_ node: NodeID) -> ServerDescriptor? { map.server(node) }

    /// The home servers of a cluster, always in the same order.
    func homeServers(of cluster: VerifyingKey) -> [ServerDescriptor] {
        servers.filter { $0.clusterID == cluster && $0.roles.contains(.home) }.sorted { $0.nodeID < $1.nodeID }
    }

    /// How a cluster is written in a friendly address: by its name, if no other has it, else by its ID.
    func clusterText(_ cluster: VerifyingKey) -> String {
        guard let name = map.cluster(cluster)?.name, ClusterName.isWritable(name),
            clusterTable.find(name) == .one(cluster)
        else { return ClusterText.encode(cluster) }
        return name
    }

    func clusterText(of node: NodeID) -> String { clusterID(of: node).map { clusterText($0) } ?? node.hex }

    var gatewayAttemptCount: Int { attempts.values.reduce(0, +) }

    // MARK: Events

    /// Hands an event to the core, commits, and performs what came of it.
    func handle(_ event: AgentEvent) {
        guard failure == nil, !isStopped else { return }
        var effects: [AgentEffect] = []
        do throws(StorageError) {
            effects = try core.handle(event, now: .now(), entropy: &entropy, store: &store)
            try store.commit(&entropy)
        } catch {
            return fail(error)
        }
        perform(effects)
        scheduleWake()
    }

    func handle(_ event: MapEvent) {
        guard failure == nil, !isStopped else { return }
        var effects: [MapEffect] = []
        do throws(StorageError) {
            effects = try map.handle(event, now: .now(), entropy: &entropy, store: &store)
            try store.commit(&entropy)
        } catch {
            return fail(error)
        }
        for effect in effects {
            switch effect {
            case .send(let link, let body): links[link]?.send(kind: .map, body: body)
            case .learned, .lost, .learnedCluster, .viewChanged: mapChanged()
            case .inquire(let questions): handle(.inquire(questions))
            case .compared(let link): compared(link)
            case .evidence(let piece):
                EvidenceFolder(path: AgentFiles(directory: directory).evidencePath)
                    .write(piece.fileName, piece.encode(), logger)
            case .snapshotVerdict(_, .refused):
                logger.warning("few clusters hold this map: a gateway may hide servers from this agent")
            case .snapshotVerdict, .measure, .copied: break
            }
        }
    }

    /// Nothing of the event is on disk, so nothing of it may be told: the agent ends here and starts from the disk.
    func fail(_ error: StorageError) {
        let failure: AgentFailure =
            store.isInPlace
            ? .storage(directory: directory, reason: "\(error)") : .storeRemoved(directory: directory)
        self.failure = failure
        for observer in observers.values { observer(.failure(failure)) }
        stop()
    }

    func perform(_ effects: [AgentEffect]) {
        for effect in effects {
            switch effect {
            case .envelope(let envelope, let gateway): gateways[gateway]?.send(kind: .envelope, body: envelope)
            case .claim(let secret, let gateway): gateways[gateway]?.send(kind: .claim, body: secret.bytes)
            case .mapAnswer(let answer): handle(.inquired(answer))
            case .sharedValue(let epoch, let value): handle(.sharedRandom(epoch: epoch, value))
            case .gatewaysChanged: connectGateways()
            case .renewLink(let gateway): renewLink(gateway)
            default:
                for observer in observers.values { observer(.success(effect)) }
            }
        }
    }

    /// Tells the core of the map as it is now.
    func refreshMap() { handle(.map(map.view(at: .now()))) }

    private func mapChanged() {
        guard !isMapPending else { return }
        isMapPending = true
        loop.scheduleTask(in: AgentOwner.mapDelay) {
            self.isMapPending = false
            self.refreshMap()
            self.connectGateways()
        }
    }

    /// Whoever was asked for the map has told all of it.
    private func compared(_ link: UInt64) {
        guard wholeSince == nil || rounds.open.contains(link) else { return }
        refreshMap()
        connectGateways()
        if wholeSince == nil { wholeSince = .now() }
        if rounds.open.contains(link), hasPaths { links[link]?.close() }
    }

    func scheduleWake() {
        wakeTask?.cancel()
        guard !isStopped, let due = [core.nextWake, map.nextWake].compactMap(\.self).min() else { return }
        let delay = min(due.milliseconds(since: .now()), 60_000)
        wakeTask = loop.scheduleTask(in: .milliseconds(Int64(max(1, delay)))) { self.wake() }
    }

    private func wake() {
        let now = Timestamp.now()
        if map.isDue(now) { handle(MapEvent.wake) }
        if core.isDue(now) { handle(AgentEvent.wake) } else { scheduleWake() }
    }

    // MARK: Reading

    private static let readKey = Array("read".utf8)
    private static let readTable = Table("state")

    /// The messages that no `inbox` has shown yet.
    func unread() throws(StorageError) -> [StoredMessage] {
        let last = try lastRead()
        return last == .max ? [] : try AgentCore.inboxMessages(store, from: last + 1)
    }

    private func lastRead() throws(StorageError) -> UInt64 {
        try store.get(AgentOwner.readTable, AgentOwner.readKey)?.reduce(0) { $0 << 8 | UInt64($1) } ?? 0
    }

    func delete(_ deletion: AgentRuntime.Deletion) throws(StorageError) -> Int {
        let selection: InboxSelection =
            switch deletion {
            case .message(let id): .message(id)
            case .from(let sender): .from(sender)
            case .read: .through(try lastRead())
            }
        let count = try core.deleteMessages(selection, &store)
        try store.commit(&entropy)
        return count
    }

    func count(_ deletion: AgentRuntime.Deletion) throws(StorageError) -> Int {
        let last = try lastRead()
        return try AgentCore.inboxMessages(store).count { message in
            switch deletion {
            case .message(let id): message.messageID == id
            case .from(let sender): message.sender == sender
            case .read: message.number <= last
            }
        }
    }

    func markRead(through number: UInt64) throws(StorageError) {
        let bytes = (0..<8).map { UInt8(truncatingIfNeeded: number >> UInt64(56 - 8 * $0)) }
        try store.put(AgentOwner.readTable, AgentOwner.readKey, bytes)
        try store.commit(&entropy)
    }
}
