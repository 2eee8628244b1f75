import Envelope
import Federation
import FoundationEssentials
import Home
import LMDB
import Link
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Primitives
import Records
import Relay
import Storage
import Transport
import Wire

/// One server: sockets, timers and stores around the cores.
///
/// Link event loops decrypt frames and unwrap envelopes, in parallel over the machine's cores; one loop owns the relay,
/// one the map, the directory and the home.
public final class NodeRuntime: Sendable {
    public static let software = "hulda 0.1.0"
    /// Peers with which a node keeps links for the map; others are opened when envelopes need them.
    private static let gossipLinks = 16
    /// Envelopes and claims that wait for the relay's loop; beyond it they are dropped and counted.
    private static let relayBacklogLimit = 65_536
    /// Map messages and payloads that wait for the cores' loop.
    private static let coreBacklogLimit = 16_384
    /// The most links that others open.
    private static let guestLimit = 8192
    /// Milliseconds of delay at a mix of an own loop, in the mean: that of agents (specs/correspondence.md).
    private static let meanDelay = 50.0
    /// Seconds for which a descriptor is announced; it is renewed once a day.
    private static let descriptorLifetime: UInt64 = 2 * 86_400
    private static let clusterLifetime: UInt64 = 30 * 86_400
    /// Seconds after which the cluster's own is renewed.
    private static let clusterRenewal: UInt64 = 10 * 86_400
    /// Seconds for which the neighbours of a large map are not drawn again.
    private static let neighbourTime: UInt64 = 60

    public let configuration: NodeConfiguration
    let keys: NodeKeys
    let ledger: NodeLedger
    let relay: RelayOwner
    let cores: CoreOwner
    let group: MultiThreadedEventLoopGroup
    private let owners: MultiThreadedEventLoopGroup
    private let journalThread: NIOThreadPool
    private let mixKeys: MixKeyStore
    let logger: Logger
    private let started = Timestamp.now()
    private let state = NIOLockedValueBox(State())
    let relayBacklog = Backlog(limit: relayBacklogLimit)
    let coreBacklog = Backlog(limit: coreBacklogLimit)

    private struct State {
        var channels: [any Channel] = []
        var timers: [RepeatedTask] = []
        /// The epoch of the last announcement.
        var announced: UInt64?
        var clusterAnnounced: Timestamp?
        var neighbours: (nodes: [NodeID], at: Timestamp)?
        var bootstrap: [PeerLink] = []
    }

    /// Opens the stores and the sockets, and joins the network.
    public static func start(_ configuration: NodeConfiguration, logger: Logger) async throws -> NodeRuntime {
        try configuration.validate()
        let addresses = try NodeAddresses(configuration)
        let node = try NodeRuntime(configuration, addresses, logger: logger)
        do {
            try await node.open(addresses)
        } catch {
            await node.stop()
            throw error
        }
        return node
    }

    private init(_ configuration: NodeConfiguration, _ addresses: NodeAddresses, logger: Logger) throws {
        self.configuration = configuration
        self.logger = logger
        let directory = configuration.dataDirectory
        try NodeFiles.makeDirectory(directory)
        let now = Timestamp.now()
        var entropy = Entropy.system()
        let environment: LMDBEnvironment
        let journal: LMDBEnvironment
        do throws(StorageError) {
            environment = try LMDBEnvironment(
                path: directory + "/store", mapSize: configuration.storeMiB << 20, tables: CoreOwner.tables,
                exclusive: true)
            journal = try LMDBEnvironment(
                path: directory + "/replay", mapSize: max(64, configuration.storeMiB) << 20,
                tables: [ReplayJournal.table], exclusive: true)
        } catch {
            throw NodeError.storage(path: directory, reason: "\(error)")
        }
        keys = try NodeKeys(directory: directory, now: now, entropy: &entropy)
        mixKeys = MixKeyStore(directory: directory)
        let ring = try mixKeys.load(now: now, entropy: &entropy)
        ledger = NodeLedger(ring: ring)
        let peers = try NodeFiles.peers(configuration)
        state.withLockedValue { $0.bootstrap = peers }
        let descriptor = try NodeRuntime.descriptor(keys, addresses, ring, now)

        group = MultiThreadedEventLoopGroup(numberOfThreads: max(2, System.coreCount))
        owners = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        journalThread = NIOThreadPool(numberOfThreads: 1)
        journalThread.start()
        var home = HomeConfiguration()
        home.registrationToken = configuration.registrationToken
        home.namesPerAccount = configuration.namesPerAccount
        var roots = Set(peers.map(\.clusterID))
        roots.insert(keys.certificate.clusterID)
        var map = MapConfiguration()
        map.highestVersion = UInt8(clamping: configuration.wireVersion)
        do throws(StorageError) {
            relay = try RelayOwner(
                loop: owners.next(), journal: ReplayJournal(journal, thread: journalThread, logger: logger),
                logger: logger)
            cores = try CoreOwner(
                loop: owners.next(), environment: environment, keys: keys, descriptor: descriptor.encode(),
                admission: Admission(roots: roots), home: home, map: map, ledger: ledger, logger: logger,
                evidence: EvidenceFolder(path: NodeFiles.evidencePath(configuration)))
        } catch {
            throw NodeError.storage(path: directory, reason: "\(error)")
        }
    }

    private func open(_ addresses: NodeAddresses) async throws {
        let report: @Sendable (StreamEvent) -> Void = { [weak self] event in self?.accepted(event) }
        // As many again are left for links to others, the stores and the operator.
        let descriptors = FileDescriptors.raise(to: 2 * NodeRuntime.guestLimit)
        let guests = GuestBook(limit: min(NodeRuntime.guestLimit, descriptors / 2))
        let stream = try await NodeAddresses.listening(addresses.listen) {
            try await StreamLink.serve(
                addresses.listen.nio(), key: self.keys.link, group: self.group, guests: guests, report: report)
        }
        state.withLockedValue { $0.channels.append(stream) }
        let cores = self.cores
        let socket = try await NodeAddresses.listening(addresses.listenDatagram) {
            try await DatagramSocket.bind(addresses.listenDatagram.nio(), loop: cores.loop) { datagram, from in
                cores.receive(datagram, from: from)
            }
        }
        state.withLockedValue { $0.channels.append(socket.channel) }
        let admin = try await ControlSocket.serve(
            path: NodeFiles.socketPath(configuration), group: group
        ) { [weak self] line, loop in
            self?.answer(line, on: loop) ?? loop.makeSucceededFuture(Array("{}".utf8))
        }
        state.withLockedValue { $0.channels.append(admin) }

        relay.enqueue { [weak self] relay in
            relay.ports = .init(
                connect: { [weak self] node in self?.connect(to: node) },
                deliver: { [weak self] payload in self?.toCores { $0.deliver(payload) } },
                loopThrough: { [weak self] node in self?.loopPath(measuring: node) },
                measured: { [weak self] epoch, results in
                    self?.toCores { $0.handle(.map(.measured(epoch: epoch, results))) }
                })
        }
        let relay = self.relay
        cores.enqueue { [weak self] cores in
            cores.ports = .init(
                start: { envelope, node in relay.enqueue { $0.start(envelope, to: node) } },
                mapChanged: { [weak self] in self?.openGossipLinks() },
                measure: { targets, epoch, until in
                    relay.enqueue { $0.measure(targets, epoch: epoch, until: until) }
                })
            cores.start(socket)
        }
        try announce(addresses)
        startTimers(addresses)
        openGossipLinks()
        logger.notice(
            "listening",
            metadata: [
                "cluster": "\(configuration.clusterName)", "stream": "\(addresses.listen)",
                "datagram": "\(addresses.listenDatagram)", "peer": "\(peerLink(addresses).text)",
            ])
    }

    /// Closes the sockets and waits until what was begun is on disk.
    public func stop() async {
        let (channels, timers) = state.withLockedValue { ($0.channels, $0.timers) }
        for timer in timers { timer.cancel() }
        for channel in channels { try? await channel.close().get() }
        try? await group.shutdownGracefully()
        try? await owners.shutdownGracefully()
        try? await journalThread.shutdownGracefully()
        unlink(NodeFiles.socketPath(configuration))
    }

    /// Makes the data directory and the keys, without starting anything.
    /// - Returns: the link with which others peer with this cluster.
    public static func prepare(_ configuration: NodeConfiguration) throws -> PeerLink {
        try configuration.validate()
        let addresses = try NodeAddresses(configuration)
        if let path = configuration.bootstrap { _ = try NodeFiles.list(path, isRequired: true) }
        try NodeFiles.makeDirectory(configuration.dataDirectory)
        return try link(configuration, addresses)
    }

    /// The link with which others peer with the cluster whose keys lie in the data directory.
    public static func peerLink(_ configuration: NodeConfiguration) throws -> PeerLink {
        let addresses = try NodeAddresses(configuration)
        let keys = configuration.dataDirectory + "/link.key"
        guard FileManager.default.fileExists(atPath: keys) else {
            throw NodeError.unreadable(path: keys, reason: "there are no keys yet")
        }
        return try link(configuration, addresses)
    }

    private static func link(_ configuration: NodeConfiguration, _ addresses: NodeAddresses) throws -> PeerLink {
        var entropy = Entropy.system()
        let keys = try NodeKeys(directory: configuration.dataDirectory, now: .now(), entropy: &entropy)
        return PeerLink(
            clusterID: keys.certificate.clusterID, linkKey: keys.link.publicKey, address: addresses.advertise)
    }

    /// What other operators put into their bootstrap lists.
    func peerLink(_ addresses: NodeAddresses) -> PeerLink {
        PeerLink(
            clusterID: keys.certificate.clusterID, linkKey: keys.link.publicKey, address: addresses.advertise)
    }

    // MARK: Announcing

    private static func descriptor(
        _ keys: NodeKeys, _ addresses: NodeAddresses, _ ring: MixKeyRing, _ now: Timestamp
    ) throws -> ServerDescriptor {
        try ServerDescriptor(
            certificate: keys.certificate, sequence: now.milliseconds, expiry: now.seconds + descriptorLifetime,
            linkKey: keys.link.publicKey, tcp: addresses.advertise, udp: addresses.advertiseDatagram,
            roles: [.relay, .home, .directory, .gateway],
            mixKeys: ring.publicKeys.map { MixKeyEntry(epoch: $0.epoch, key: $0.key) }, software: software,
            key: keys.server)
    }

    /// Publishes the own descriptors: at the start, when peers change, and once a day. The cluster's changes seldom, and
    /// everybody has to learn it, so it is signed anew only when it must be.
    private func announce(_ addresses: NodeAddresses, peersChanged: Bool = false) throws {
        let now = Timestamp.now()
        if let days = try keys.renew(now: now) {
            logger.warning("the server's certificate ends in \(days) days: put cluster.key back for a restart")
        }
        let server = try NodeRuntime.descriptor(keys, addresses, ledger.ring, now).encode()
        let keys = self.keys
        cores.enqueue { cores in
            cores.certify(keys)
            cores.publish(server, isServer: true)
        }
        let last = state.withLockedValue { state in
            state.announced = now.epoch
            return state.clusterAnnounced
        }
        let isOld = last.map { now.milliseconds(since: $0) > NodeRuntime.clusterRenewal * 1000 } ?? true
        guard peersChanged || isOld, let cluster = try clusterDescriptor(now) else { return }
        cores.enqueue { $0.publish(cluster, isServer: false) }
        state.withLockedValue { $0.clusterAnnounced = now }
    }

    /// The second of the day at which this server renews its descriptor: after the last epoch's key is destroyed, and at
    /// another moment for each server, so that the network has as much to learn at all times.
    private var renewalSecond: UInt64 {
        let draw = keys.nodeID.bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return MixKeyRing.grace + 60 + draw % (Timestamp.secondsPerEpoch - 3 * MixKeyRing.grace)
    }

    /// The cluster's word for itself and its peers; `nil` while its key is kept elsewhere.
    private func clusterDescriptor(_ now: Timestamp) throws -> [UInt8]? {
        guard let cluster = keys.cluster else { return nil }
        let own = cluster.key.publicKey
        // Added peers come first: they are told to others before the clusters of the bootstrap list.
        var endorsements: [VerifyingKey] = []
        let added = (try? NodeFiles.list(NodeFiles.peersPath(configuration), isRequired: false)) ?? []
        for link in added + state.withLockedValue({ $0.bootstrap })
        where link.clusterID != own && !endorsements.contains(link.clusterID) {
            endorsements.append(link.clusterID)
        }
        var policy: ClusterPolicy = [.openGateway]
        if configuration.registrationToken == nil { policy.insert(.openRegistration) }
        return try ClusterDescriptor(
            name: configuration.clusterName, sequence: now.milliseconds,
            expiry: now.seconds + NodeRuntime.clusterLifetime,
            endorsements: Array(endorsements.prefix(ClusterDescriptor.endorsementLimit)),
            contact: configuration.contact, software: NodeRuntime.software, policy: policy, key: cluster.key
        ).encode()
    }

    /// Reads the peers again; called after `hulda node peer` has changed them.
    func reloadPeers() throws {
        let peers = try NodeFiles.peers(configuration)
        state.withLockedValue { $0.bootstrap = peers }
        let roots = Set(peers.map(\.clusterID) + [keys.certificate.clusterID])
        cores.enqueue { $0.handle(.map(.roots(roots))) }
        try announce(try NodeAddresses(configuration), peersChanged: true)
        openGossipLinks()
    }

    // MARK: Timers

    private func startTimers(_ addresses: NodeAddresses) {
        let loop = group.next()
        let second = loop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { [weak self] _ in
            self?.everySecond(addresses)
        }
        state.withLockedValue { $0.timers.append(second) }
        loop.scheduleTask(in: .seconds(10)) { CodePages.release() }
        if configuration.loopsPerMinute > 0 { scheduleLoop(on: loop) }
    }

    /// Loops leave at the times of a Poisson process, and are delayed like agents' envelopes, so that no relay on their
    /// way can tell them by their rhythm or delays.
    private func scheduleLoop(on loop: any EventLoop) {
        var entropy = Entropy.system()
        let wait = entropy.exponential(mean: 60_000 / Double(configuration.loopsPerMinute))
        loop.scheduleTask(in: .milliseconds(Int64(wait))) { [weak self] in
            self?.startLoop()
            self?.scheduleLoop(on: loop)
        }
    }

    private func everySecond(_ addresses: NodeAddresses) {
        relay.enqueue { $0.tick() }
        openGossipLinks()
        let now = Timestamp.now()
        let second = now.seconds % Timestamp.secondsPerEpoch
        // The ring has the last epoch's key during the grace after midnight, and never that of a later one than the next.
        let epochs = ledger.ring.epochs
        let isRingOld = epochs.last.map { $0 <= now.epoch } ?? true
        let isGraceOver = second >= MixKeyRing.grace && epochs.first.map { $0 < now.epoch } ?? false
        let isDue = state.withLockedValue { $0.announced } != now.epoch && second >= renewalSecond
        guard isRingOld || isGraceOver || isDue else { return }
        do {
            var entropy = Entropy.system()
            ledger.ring = try mixKeys.load(now: now, entropy: &entropy)
            let first = ledger.ring.epochs.first ?? now.epoch
            relay.enqueue { $0.forget(before: first) }
            if isDue { try announce(addresses) }
        } catch {
            logger.error("cannot renew the descriptor: \(error)")
        }
    }

    private func startLoop() {
        guard let path = loopPath() else { return }
        relay.enqueue { $0.startLoop(path) }
    }

    /// Three other relays, and back to here; more where one is to be measured.
    private func loopPath(measuring relay: NodeID? = nil) -> [Hop]? {
        let now = Timestamp.now()
        var entropy = Entropy.system()
        guard let ownKey = ledger.server(keys.nodeID)?.mixKey(epoch: now.epoch) else { return nil }
        let index = ledger.paths(epoch: now.epoch)
        let relays =
            if let relay {
                try? index.loop(measuring: relay, from: keys.nodeID, entropy: &entropy)
            } else {
                try? index.path(length: MixLayers.count, ends: [keys.nodeID], entropy: &entropy)
            }
        guard let relays else { return nil }
        var path: [Hop] = relays.compactMap { server in
            server.mixKey(epoch: now.epoch).map {
                Hop(
                    node: server.nodeID, key: $0,
                    delayMilliseconds: UInt32(min(entropy.exponential(mean: NodeRuntime.meanDelay), 60_000)))
            }
        }
        path.append(Hop(node: keys.nodeID, key: ownKey))
        return path
    }

    // MARK: Peers

    /// Keeps a few links open for the map: to peers of the bootstrap list first, then to any server.
    private func openGossipLinks() {
        let bootstrap = state.withLockedValue { $0.bootstrap }
        for link in bootstrap.prefix(NodeRuntime.gossipLinks) where link.linkKey != keys.link.publicKey {
            // Until the map names it, a bootstrap peer is known by its link key only.
            let provisional = NodeRuntime.provisionalID(link.linkKey)
            let isNamed = ledger.node(linkKey: link.linkKey) != nil
            relay.enqueue { relay in
                if isNamed { relay.abandon(provisional) } else { relay.open(provisional) }
            }
        }
        for node in neighbours() { relay.enqueue { $0.open(node) } }
    }

    /// The servers to which this one keeps links: drawn by a hash of both, so that all together make a random graph, in
    /// which nobody has more links than others for long.
    private func neighbours() -> [NodeID] {
        let now = Timestamp.now()
        let servers = ledger.servers
        if servers.count > 1000, let drawn = state.withLockedValue({ $0.neighbours }),
            now.milliseconds(since: drawn.at) < NodeRuntime.neighbourTime * 1000
        {
            return drawn.nodes
        }
        let own = keys.nodeID.bytes
        let ranked = servers.keys.filter { $0 != keys.nodeID }
            .map { (rank: BLAKE2b.h(Domain("hulda/map-peer"), own + $0.bytes), node: $0) }
            .sorted { $0.rank < $1.rank }
        let nodes = ranked.prefix(NodeRuntime.gossipLinks).map(\.node)
        state.withLockedValue { $0.neighbours = (nodes, now) }
        return nodes
    }

    /// Stands for a server whose identity is not on the map yet.
    static func provisionalID(_ key: X25519PublicKey) -> NodeID { BLAKE2b.h(Domain("hulda/node-link"), key.bytes) }

    /// Where a node answers, and the key that it proves there.
    func endpoint(of node: NodeID) -> (place: StreamLink.Place, key: X25519PublicKey)? {
        if let server = ledger.server(node) {
            return (try? server.tcp.nio()).map { (.address($0), server.linkKey) }
        }
        let bootstrap = state.withLockedValue { $0.bootstrap }
        for link in bootstrap where NodeRuntime.provisionalID(link.linkKey) == node {
            return (.name(link.host, port: link.port), link.linkKey)
        }
        return nil
    }

    var uptimeSeconds: UInt64 { Timestamp.now().milliseconds(since: started) / 1000 }

    /// Hands something that came from the network to the relay's loop, unless too much waits there.
    func toRelay(_ body: @escaping @Sendable (RelayOwner) -> Void) {
        guard relayBacklog.enter() else { return ledger.count("relay.backlog") }
        let backlog = relayBacklog
        relay.enqueue { relay in
            backlog.leave()
            body(relay)
        }
    }

    /// Hands something that came from the network to the cores' loop, unless too much waits there.
    func toCores(_ body: @escaping @Sendable (CoreOwner) -> Void) {
        guard coreBacklog.enter() else { return ledger.count("core.backlog") }
        let backlog = coreBacklog
        cores.enqueue { cores in
            backlog.leave()
            body(cores)
        }
    }
}
