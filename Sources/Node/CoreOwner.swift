import Directory
import Envelope
import Federation
import Home
import LMDB
import Link
import Logging
import NIOCore
import Primitives
import Records
import Storage
import Transport
import Wire

/// The event loop that owns the map, the directory, the home and the datagram endpoint, with their store.
///
/// Events that arrive in one turn share one transaction, which is committed before any of their effects is performed.
/// Confined to `loop`: every method but ``enqueue(_:)`` runs there, which is what makes `@unchecked Sendable` true.
final class CoreOwner: @unchecked Sendable {
    /// What the rest of the node does for the cores.
    struct Ports: Sendable {
        /// Hand an envelope that this server starts to its first hop.
        var start: @Sendable (_ envelope: [UInt8], _ node: NodeID) -> Void
        /// The servers on the map changed.
        var mapChanged: @Sendable () -> Void
        /// Measure these relays.
        var measure: @Sendable (_ targets: [NodeID], _ epoch: UInt64, _ until: Timestamp) -> Void
    }

    enum Event: Sendable {
        case map(MapEvent)
        case publish([UInt8])
        case directory(DirectoryEvent)
        case home(HomeEvent)
    }

    private enum Answerer {
        case datagram(UInt64)
        case replyBlock(ReplyBlock)
    }

    static let tables: [Table] = [
        Table("map"), Table("roots"), Table("agreed"), Table("capacity"), Table("evidence"), Table("directory/records"),
        Table("directory/evidence"),
        Table("directory/contacts"),
        Table("directory/expiry"), Table("directory/floors"), Table("directory/quotas"),
        Table("shared/values"), Table("shared/rounds"), Table("shared/history"), Table("shared/evidence"),
        Table("home/accounts"), Table("home/items"), Table("home/blocks"), Table("home/recent"), Table("home/index"),
        Table("home/closed"), Table("home/names"), Table("home/labels"),
    ]
    /// Events that wait for a turn; beyond it requests are dropped and counted.
    private static let eventLimit = 65_536
    /// Answers that wait for the directory's searches.
    private static let answererLimit = 4096
    /// Up to so many servers every change of the map is told at once.
    private static let smallMap = 1000
    private static let tellingDelay = TimeAmount.seconds(30)

    let loop: any EventLoop
    private let environment: LMDBEnvironment
    private let ledger: NodeLedger
    private let logger: Logger
    private(set) var endpoint: DatagramEndpoint
    private(set) var map: MapCore
    private(set) var directory: DirectoryCore
    private(set) var home: HomeCore
    private var socket: DatagramSocket?
    var ports: Ports?
    private var entropy = Entropy.system()
    private var events: [Event] = []
    private var isDraining = false
    private var isTellingLater = false
    private var links: [UInt64: StreamLink] = [:]
    private var answerers: [UInt64: Answerer] = [:]
    private var nextToken: UInt64 = 1
    private var wakeTask: Scheduled<Void>?
    /// What the timer is set for.
    private var wakeDue: Timestamp?
    private var isNearlyFull = false
    /// Whether the store has changed since its space was looked at.
    private var isSpaceUnknown = true
    /// Where proofs against others are put as files.
    private let evidence: EvidenceFolder?

    init(
        loop: any EventLoop, environment: LMDBEnvironment, keys: NodeKeys, descriptor: [UInt8],
        admission: Admission, home configuration: HomeConfiguration, map mapConfiguration: MapConfiguration,
        ledger: NodeLedger, logger: Logger,
        evidence: EvidenceFolder? = nil
    ) throws(StorageError) {
        self.loop = loop
        self.evidence = evidence
        self.environment = environment
        self.ledger = ledger
        self.logger = logger
        let now = Timestamp.now()
        var map: MapCore?
        var directory: DirectoryCore?
        var kept: [EquivocationEvidence] = []
        try environment.read { (transaction: inout LMDBTransaction) throws(StorageError) in
            map = try MapCore(
                configuration: mapConfiguration, admission: admission, now: now, store: transaction)
            kept = try MapCore.evidence(transaction)
            directory = try DirectoryCore(
                serverID: keys.server.publicKey, descriptor: descriptor, now: now, store: transaction)
        }
        guard let map, let directory else { throw .unavailable("the store could not be read") }
        self.map = map
        self.directory = directory
        self.directory.sign = { keys.server.sign($0) }
        self.map.setSigner(CoreOwner.signer(keys))
        self.directory.setSigner(CoreOwner.randomSigner(keys))
        home = HomeCore(node: keys.nodeID, configuration: configuration)
        home.nameSigner = { label, pointer, epoch, sequence, expiry in
            try? NameRecord.seal(
                label: label, pointer: pointer, server: keys.server, epoch: epoch, sequence: sequence, expiry: expiry)
        }
        endpoint = DatagramEndpoint(key: keys.link.key.copy(), entropy: &entropy)
        ledger.replaceServers(map.currentServers(at: now), view: map.view(at: now))
        // A crash may have come between the store and the file.
        for piece in kept { evidence?.write(piece.fileName, piece.encode(), logger) }
    }

    private static func signer(_ keys: NodeKeys) -> SnapshotSigner {
        SnapshotSigner(certificate: keys.certificate) { keys.server.sign($0) }
    }

    private static func randomSigner(_ keys: NodeKeys) -> SharedRandomSigner {
        SharedRandomSigner(certificate: keys.certificate) { keys.server.sign($0) }
    }

    /// The server's certificate may have been renewed.
    func certify(_ keys: NodeKeys) {
        map.setSigner(CoreOwner.signer(keys))
        directory.setSigner(CoreOwner.randomSigner(keys))
    }

    /// Runs `body` on the owner's loop.
    func enqueue(_ body: @escaping @Sendable (CoreOwner) -> Void) {
        loop.execute { body(self) }
    }

    func start(_ socket: DatagramSocket) {
        self.socket = socket
        tellDirectory()
        handle(.directory(.wake))
    }

    /// The own descriptor changed.
    func publish(_ bytes: [UInt8], isServer: Bool) {
        if isServer { directory.descriptor = bytes }
        handle(.publish(bytes))
    }

    // MARK: Turns

    func handle(_ event: Event) {
        guard events.count < CoreOwner.eventLimit else {
            ledger.count("core.overload")
            return
        }
        events.append(event)
        guard !isDraining else { return }
        isDraining = true
        loop.execute { self.drain() }
    }

    private func drain() {
        isDraining = false
        let batch = events
        events.removeAll(keepingCapacity: true)
        let now = Timestamp.now()
        checkSpace()
        var mapEffects: [MapEffect] = []
        var directoryEffects: [DirectoryEffect] = []
        var homeEffects: [HomeEffect] = []
        do throws(StorageError) {
            isSpaceUnknown = try environment.update { (transaction: inout LMDBTransaction) throws(StorageError) in
                for event in batch {
                    switch event {
                    case .map(let event):
                        mapEffects += try map.handle(event, now: now, entropy: &entropy, store: &transaction)
                    case .publish(let bytes):
                        do throws(MapError) {
                            mapEffects += try map.publish(bytes, now: now, store: &transaction)
                        } catch {
                            if case .storage(let reason) = error { throw reason }
                            ledger.count("map.publish.refused")
                        }
                    case .directory(let event):
                        directoryEffects += try directory.handle(
                            event, now: now, entropy: &entropy, store: &transaction)
                    case .home(let event):
                        homeEffects += try home.handle(event, now: now, store: &transaction)
                    }
                }
            }
        } catch {
            // Nothing of the batch is on disk, so none of its effects may happen; those who asked will ask again.
            isSpaceUnknown = true
            logger.error("the store refused a transaction: \(error)")
            ledger.count("core.storage.failed")
            scheduleWake()
            return
        }
        perform(mapEffects)
        perform(directoryEffects)
        perform(homeEffects)
        scheduleWake()
    }

    /// Near the end of the store only what frees space is done; what needs it is refused with an answer.
    private func checkSpace() {
        guard isSpaceUnknown else { return }
        isSpaceUnknown = false
        let isFull = environment.usedBytes > environment.mapSize / 10 * 9
        guard isFull != isNearlyFull else { return }
        isNearlyFull = isFull
        home.acceptsWrites = !isFull
        directory.acceptsWrites = !isFull
        if isFull { logger.warning("the store is nearly full: raise store_mib; new records and messages are refused") }
    }

    /// A timer that is set for an earlier moment stays: it finds nothing to do and is set anew. Most requests move
    /// nothing forward, so most set no timer.
    private func scheduleWake() {
        let due = [map.nextWake, directory.nextWake, home.nextWake, endpoint.nextWake].compactMap(\.self).min()
        guard let due else { return }
        if let wakeDue, wakeDue <= due { return }
        wakeTask?.cancel()
        wakeDue = due
        let delay = min(due.milliseconds(since: .now()), 60_000)
        wakeTask = loop.scheduleTask(in: .milliseconds(Int64(max(1, delay)))) { self.wake() }
    }

    private func wake() {
        wakeDue = nil
        let now = Timestamp.now()
        if let due = endpoint.nextWake, due <= now { perform(endpoint.wake(now: now, entropy: &entropy)) }
        if let due = map.nextWake, due <= now { handle(.map(.wake)) }
        if let due = directory.nextWake, due <= now { handle(.directory(.wake)) }
        if let due = home.nextWake, due <= now { handle(.home(.wake)) }
        if !isDraining { scheduleWake() }
    }

    // MARK: Effects

    private func perform(_ effects: [MapEffect]) {
        var isChanged = false
        for effect in effects {
            switch effect {
            case .send(let link, let body): links[link]?.send(kind: .map, body: body)
            case .learned(let server):
                ledger.replace(server)
                isChanged = true
            case .lost(let node):
                ledger.remove(node)
                isChanged = true
            case .viewChanged: isChanged = true
            case .learnedCluster: break
            case .evidence(let piece): evidence?.write(piece.fileName, piece.encode(), logger)
            // Only agents ask in envelopes; nodes hear of every root over their links.
            case .inquire: break
            case .measure(let epoch, let targets, let until): ports?.measure(targets, epoch, until)
            case .snapshotVerdict(let epoch, let verdict): verdict.report(epoch, logger)
            }
        }
        if isChanged { mapChanged() }
    }

    /// Those who need the whole map are told at once while it is small, and else after some time, with all changes of
    /// that time: each telling takes a pass over it.
    private func mapChanged() {
        guard map.serverTotal > CoreOwner.smallMap else { return tellOfMap() }
        guard !isTellingLater else { return }
        isTellingLater = true
        loop.scheduleTask(in: CoreOwner.tellingDelay) {
            self.isTellingLater = false
            self.tellOfMap()
        }
    }

    private func tellOfMap() {
        let now = Timestamp.now()
        ledger.replaceServers(map.currentServers(at: now), view: map.view(at: now))
        tellDirectory()
        ports?.mapChanged()
    }

    private func tellDirectory() {
        let servers = map.currentServers(at: .now()).filter { $0.roles.contains(.directory) }
        handle(
            .directory(
                .map(
                    servers.map {
                        Placement.Node(
                            id: $0.nodeID, cluster: $0.clusterID, prefix: $0.udp.prefix,
                            endpoint: Endpoint(linkKey: $0.linkKey, address: $0.udp))
                    })))
        if directory.contactCount < 20 {
            let own = directory.descriptor
            let endpoints = servers.filter { $0.encode() != own }.prefix(40).map {
                Endpoint(linkKey: $0.linkKey, address: $0.udp)
            }
            handle(.directory(.join(Array(endpoints))))
        }
    }

    private func perform(_ effects: [DirectoryEffect]) {
        for effect in effects {
            switch effect {
            case .call(let call, let endpoint, let message):
                perform(
                    self.endpoint.call(
                        call, to: endpoint.address, peer: endpoint.linkKey, request: message, now: .now(),
                        entropy: &entropy))
            case .answer(let token, let message):
                switch answerers.removeValue(forKey: token) {
                case .datagram(let request):
                    perform(endpoint.answer(request, message, now: .now(), entropy: &entropy))
                case .replyBlock(let block): reply(block, message)
                case nil: break
                }
            case .joined(let contacts):
                logger.info("joined the directory", metadata: ["contacts": "\(contacts)"])
            case .alarm(_, let detail):
                logger.warning("the directory may be under attack", metadata: ["detail": "\(detail)"])
            case .send(let link, let body): links[link]?.send(kind: .map, body: body)
            case .sharedRandom(let report): CoreOwner.log(report, logger)
            }
        }
    }

    private func perform(_ effects: [HomeEffect]) {
        for case .send(let block, let content) in effects { reply(block, content) }
    }

    private func reply(_ block: ReplyBlock, _ content: [UInt8]) {
        do throws(EnvelopeError) {
            ports?.start(try block.reply(content: content), block.firstHop)
        } catch {
            ledger.count("core.reply.failed")
        }
    }

    private func perform(_ effects: [DatagramEndpoint.Effect]) {
        for effect in effects {
            switch effect {
            case .send(let datagram, let address): socket?.send(datagram, to: address)
            case .requested(let request, let peer, let address, let body):
                guard let token = token(.datagram(request)) else { continue }
                handle(
                    .directory(
                        .request(from: Endpoint(linkKey: peer, address: address), token: token, message: body)))
            case .answered(let call, let body): handle(.directory(.answer(call: call, message: body)))
            case .failed(let call): handle(.directory(.failed(call: call)))
            }
        }
        if !isDraining { scheduleWake() }
    }

    private func token(_ answerer: Answerer) -> UInt64? {
        guard answerers.count < CoreOwner.answererLimit else {
            ledger.count("core.overload")
            return nil
        }
        let token = nextToken
        nextToken += 1
        answerers[token] = answerer
        return token
    }

    // MARK: Inputs

    func receive(_ datagram: [UInt8], from address: Wire.SocketAddress) {
        perform(endpoint.receive(datagram, from: address, now: .now(), entropy: &entropy))
    }

    /// An envelope's payload reached its destination: this server.
    func deliver(_ payload: [UInt8]) {
        guard let content = try? Payload.content(of: payload), let request = try? ServiceRequest(decoding: content)
        else {
            ledger.count("service.malformed")
            return
        }
        switch request.service {
        case .directory:
            guard let block = request.replyBlocks.first, let token = token(.replyBlock(block)) else {
                ledger.count("service.malformed")
                return
            }
            handle(.directory(.request(from: nil, token: token, message: request.body)))
        case .map:
            guard let block = request.replyBlocks.first, let answer = map.answerInquiry(request.body) else {
                ledger.count("service.malformed")
                return
            }
            reply(block, answer)
        case .home:
            handle(.home(.request(body: request.body, replyBlocks: request.replyBlocks)))
        }
    }

    func linkUp(_ link: StreamLink, peer: NodeID?) {
        links[link.id] = link
        handle(.map(.linkUp(link: link.id, peer: peer)))
        if peer != nil { handle(.directory(.linkUp(link.id))) }
    }

    /// A frame of the map's kind: the first byte says whose it is (specs/map.md, "Gossip").
    func frame(_ body: [UInt8], on id: UInt64) {
        guard let kind = body.first, SharedRandomCore.kinds.contains(kind) else {
            return handle(.map(.message(link: id, body)))
        }
        handle(.directory(.frame(link: id, body)))
    }

    func linkDown(_ id: UInt64) {
        guard links.removeValue(forKey: id) != nil else { return }
        handle(.map(.linkDown(link: id)))
        handle(.directory(.linkDown(id)))
    }

    // MARK: Statement

    func mapGraph(matching question: String) -> MapGraph { map.graph(matching: question) }

    func fill(_ status: inout NodeStatus) {
        let now = Timestamp.now()
        status.map = .init(
            clusters: map.clusterTotal, servers: map.currentTotal(at: now),
            wireVersion: Int(map.configuration.highestVersion), links: [:])
        for (version, count) in map.linkVersions { status.map.links["\(version)"] = count }
        var rows: [(account: Bytes16, items: Int, replyBlocks: Int)] = []
        var records = 0
        do throws(StorageError) {
            try environment.read { (transaction: inout LMDBTransaction) throws(StorageError) in
                rows = try HomeCore.accounts(transaction)
                records = try DirectoryCore.recordCount(transaction)
            }
        } catch {
            logger.error("status: \(error)")
        }
        status.home = .init(
            accounts: rows.prefix(1000).map(\.account.hex), items: rows.reduce(0) { $0 + $1.items },
            replyBlocks: rows.reduce(0) { $0 + $1.replyBlocks })
        status.directory = .init(
            records: records, contacts: directory.contactCount, requests: directory.counters.requests,
            sharedRandom: sharedRandomStatus(at: now))
        status.counters.merge(homeCounters()) { _, new in new }
        status.counters.merge(networkCounters()) { _, new in new }
        status.store = .init(usedBytes: environment.usedBytes, sizeBytes: environment.mapSize)
    }
}
