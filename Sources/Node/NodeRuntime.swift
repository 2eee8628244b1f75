import Directory
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
    /// Envelopes and claims that wait for the relay's loop; beyond it they are dropped and counted.
    static let relayBacklogLimit = 65_536
    /// Map messages and payloads that wait for the cores' loop.
    static let coreBacklogLimit = 16_384
    /// The most links that others open.
    static let guestLimit = 8192
    /// How fast the links of agents, and of servers that are on no map, are read: a quarter more than the fastest
    /// profile sends (10 a second; design, section 8), so that a Poisson process of that rate never waits, with a burst
    /// for what gathers while an agent's network is away.
    static let guestPace = FramePace(perSecond: 12.5, burst: 64)

    /// As it was read last; what a running server cannot take of a new one is that of its start.
    public var configuration: NodeConfiguration { settings.withLockedValue { $0 } }
    let settings: NIOLockedValueBox<NodeConfiguration>
    let keys: NodeKeys
    let ledger: NodeLedger
    let relay: RelayOwner
    let cores: CoreOwner
    let group: MultiThreadedEventLoopGroup
    let relayThread: MultiThreadedEventLoopGroup
    let journalThread: NIOThreadPool
    let mixKeys: MixKeyStore
    let stores: NodeStores
    /// Why the node cannot go on: whoever started it is to stop it then.
    public let failures: AsyncStream<NodeError>
    private let failing: AsyncStream<NodeError>.Continuation
    /// The servers with which this one began.
    private let named: [BootstrapSource: [PeerLink]]
    let logger: Logger
    let started = Timestamp.now()
    let state = NIOLockedValueBox(State())
    let relayBacklog = Backlog(limit: relayBacklogLimit)
    let coreBacklog = Backlog(limit: coreBacklogLimit)

    struct State {
        var channels: [any Channel] = []
        /// The epoch of the last announcement.
        var announced: UInt64?
        /// The time of the last upkeep.
        var clock = ClockWatch()
        var clusterAnnounced: Timestamp?
        /// That the keys of coming days cannot be written.
        var keysRefusal = FailureRun()
        var neighbours: (nodes: [NodeID], at: Timestamp)?
        var bootstrap: [PeerLink] = []
        /// After so long a copy's word is replaced by the own one.
        var copyPatience = TimeAmount.seconds(30)
        /// Lookups that the operator has asked for so far.
        var lookups: UInt64 = 0
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
        settings = NIOLockedValueBox(configuration)
        self.logger = logger
        let directory = configuration.dataDirectory
        try NodeFiles.makeDirectory(directory)
        DurableFile.sweep(directory)
        let now = Timestamp.now()
        var entropy = Entropy.system()
        (failures, failing) = AsyncStream.makeStream(of: NodeError.self, bufferingPolicy: .bufferingOldest(1))
        let stores = try NodeStores.open(configuration, logger)
        self.stores = stores
        keys = try NodeKeys(directory: directory, now: now, entropy: &entropy)
        mixKeys = MixKeyStore(directory: directory)
        if stores.needsNewMixKeys { try mixKeys.destroyAll() }
        let ring = try mixKeys.load(now: now, entropy: &entropy)
        try stores.acknowledge(\.journal)
        // What is missing of today matters until tomorrow.
        if !stores.isSilent { try stores.acknowledge(\.environment) }
        ledger = NodeLedger(ring: ring)
        named = try NodeFiles.named(configuration)
        try NodeFiles.keepList(configuration)
        let peers = NodeFiles.peers(named)
        state.withLockedValue { state in
            state.bootstrap = peers
            state.clock = ClockWatch(now)
        }
        let descriptor = try NodeRuntime.descriptor(keys, addresses, ring, sequence: now.milliseconds, now)

        group = MultiThreadedEventLoopGroup(numberOfThreads: max(2, System.coreCount))
        relayThread = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        journalThread = NIOThreadPool(numberOfThreads: 1)
        journalThread.start()
        var roots = Set(peers.map(\.clusterID))
        roots.insert(keys.certificate.clusterID)
        var map = MapConfiguration()
        map.highestVersion = UInt8(clamping: configuration.wireVersion)
        var records = DirectoryConfiguration(records: configuration.records)
        if map.highestVersion < MapVersion.second { records.highestRequest = DirectoryMessage.firstVersion }
        let loop = try DatagramLoop()
        do throws(StorageError) {
            relay = try RelayOwner(
                loop: relayThread.next(), journal: ReplayJournal(stores.journal, thread: journalThread, logger: logger),
                visitors: configuration.testbedAddresses ? VisitorList() : nil, logger: logger)
            cores = try CoreOwner(
                loop: loop, environment: stores.environment, keys: keys, descriptor: descriptor.encode(),
                admission: Admission(roots: roots), home: NodeRuntime.home(configuration), map: map,
                directory: records, ledger: ledger, logger: logger,
                evidence: EvidenceFolder(path: NodeFiles.evidencePath(configuration)))
        } catch {
            throw NodeError.storage(path: directory, reason: "\(error)")
        }
        if stores.isSilent { cores.directory.signNothing(inEpoch: now.epoch) }
        try loop.start()
        destroyOldKeys(now)
    }

    private func open(_ addresses: NodeAddresses) async throws {
        let report: @Sendable (StreamEvent) -> Void = { [weak self] event in self?.accepted(event) }
        let pace: StreamLink.Pace = { [weak self] peer, link in self?.pace(of: peer, link) }
        // As many again are left for links to others, beside what every process needs.
        let descriptors = FileDescriptors.raise() - FileDescriptors.needed
        let guests = GuestBook(limit: max(1, min(NodeRuntime.guestLimit, descriptors / 2)))
        let stream = try await NodeAddresses.listening(addresses.listen) {
            try await StreamLink.serve(
                addresses.listen.nio(), key: self.keys.link, group: self.group, guests: guests, pace: pace,
                report: report)
        }
        state.withLockedValue { $0.channels.append(stream) }
        let cores = self.cores
        let socket = try await NodeAddresses.listening(addresses.listenDatagram) {
            try DatagramSocket(addresses.listenDatagram)
        }
        let admin = try await ControlSocket.serve(
            path: NodeFiles.socketPath(configuration), group: group,
            refused: { [ledger] reason in ledger.count("operator.refused.\(reason.rawValue)") },
            answer: { [weak self] line, loop in
                self?.answer(line, on: loop) ?? loop.makeSucceededFuture(Array("{}".utf8))
            })
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
        let (relay, named, own) = (self.relay, self.named, keys.link.publicKey)
        cores.enqueue { [weak self] cores in
            cores.ports = .init(
                start: { [weak self] envelope, node in self?.start(envelope, to: node) },
                mapChanged: { [weak self] in self?.openGossipLinks() },
                measure: { targets, epoch, until in
                    relay.enqueue { $0.measure(targets, epoch: epoch, until: until) }
                },
                copied: { [weak self] sighting in self?.copied(sighting, addresses) })
            cores.start(socket, named: named, own: own)
        }
        try announce(addresses)
        startTimers(addresses)
        openGossipLinks()
        if configuration.testbedAddresses {
            logger.warning("testbed_addresses is set: this server lists the addresses of its users in its statement")
        }
        reportList()
        logger.notice(
            "listening",
            metadata: [
                "cluster": "\(configuration.clusterName)", "stream": "\(addresses.listen)",
                "datagram": "\(addresses.listenDatagram)", "peer": "\(peerLink(addresses).text)",
            ])
    }

    /// Closes the sockets and waits until what was begun is on disk.
    public func stop() async {
        for channel in state.withLockedValue({ $0.channels }) { try? await channel.close().get() }
        cores.enqueue { $0.loop.closeSocket() }
        await cores.giveUpLookups()
        await relay.openNoMore()
        try? await group.shutdownGracefully()
        await cores.flush()
        await cores.writer.stop()
        await cores.loop.stop()
        try? await relayThread.shutdownGracefully()
        try? await journalThread.shutdownGracefully()
        stores.environment.settle()
        stores.journal.settle()
        unlink(NodeFiles.socketPath(configuration))
    }

    /// Looks whether the data files are still there. Nothing that is written lasts when they are not: everything is
    /// refused from then on, and the node is to end.
    /// - Returns: whether they are.
    func watchStores() -> Bool {
        guard stores.environment.isInPlace, stores.journal.isInPlace else {
            logger.error("the data files were removed or replaced: nothing is accepted any more, and the node stops")
            cores.enqueue { $0.refuseAll() }
            failing.yield(.storeRemoved(path: configuration.dataDirectory))
            return false
        }
        return true
    }

    /// A copy of this server has announced itself: its word is replaced by the own one, unless it goes on.
    private func copied(_ sighting: CopyWatch.Sighting, _ addresses: NodeAddresses) {
        guard !sighting.isContested else {
            failing.yield(.copied(address: "\(sighting.address)"))
            return
        }
        // A copy runs the same program and answers too: at once, the two would have spoken three times within a second.
        group.next().scheduleTask(in: state.withLockedValue { $0.copyPatience }) {
            do { try self.announce(addresses) } catch { self.logger.error("cannot announce this server: \(error)") }
        }
    }

    var uptimeSeconds: UInt64 { Timestamp.now().milliseconds(since: started) / 1000 }

    /// An envelope that this server starts. A user chose its first hop, who wrote the reply block.
    private func start(_ envelope: [UInt8], to node: NodeID) {
        guard canForward(to: node) else { return }
        relay.enqueue { $0.start(envelope, to: node) }
    }

    /// Hands something that came from the network to the relay's loop, unless too much waits there.
    /// - Returns: whether it did.
    @discardableResult
    func toRelay(_ body: @escaping @Sendable (RelayOwner) -> Void) -> Bool {
        guard relayBacklog.enter() else {
            ledger.count("relay.backlog")
            return false
        }
        let backlog = relayBacklog
        relay.enqueue { relay in
            backlog.leave()
            body(relay)
        }
        return true
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
