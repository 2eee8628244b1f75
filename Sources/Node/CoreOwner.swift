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

/// The loop that owns the map, the directory, the home and the datagram endpoint, with their store.
///
/// Turns read the store and gather what they write; a thread of its own brings it to disk in batches, and effects that
/// follow from a write wait for its batch (``CommitQueue``).
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
        /// Somebody else announces this server.
        var copied: @Sendable (CopyWatch.Sighting) -> Void
    }

    enum Event: Sendable {
        case map(MapEvent)
        case publish([UInt8])
        case directory(DirectoryEvent)
        case home(HomeEvent)

        var part: CommitQueue<Effect>.Part {
            switch self {
            case .map, .publish: .map
            case .directory: .directory
            case .home: .home
            }
        }

        /// Whether anybody outside causes it, as often as he likes. Such events are dropped when too many wait. Of all
        /// others there are as many as this server has calls, links and timers, and none of them may be lost: who waits
        /// for one would wait for ever.
        var isInput: Bool {
            switch self {
            case .map(.message), .directory(.request), .directory(.frame), .home(.request): true
            case .map, .publish, .directory, .home: false
            }
        }

        var isWake: Bool {
            switch self {
            case .map(.wake), .directory(.wake), .home(.wake): true
            case .map, .publish, .directory, .home: false
            }
        }
    }

    enum Effect: Sendable {
        case map(MapEffect)
        /// An own descriptor is on disk.
        case published([UInt8])
        case directory(DirectoryEffect)
        case home(HomeEffect)

        /// Whether it may happen only when what was written before it is on disk.
        var awaitsCommit: Bool {
            if case .directory(let effect) = self { effect.awaitsCommit } else { true }
        }

        var part: CommitQueue<Effect>.Part {
            switch self {
            case .map, .published: .map
            case .directory: .directory
            case .home: .home
            }
        }
    }

    enum Answerer {
        case datagram(UInt64)
        case replyBlock(ReplyBlock)
    }

    static let tables = MapCore.tables + DirectoryCore.tables + HomeCore.tables
    /// Events that wait for a turn; beyond it those from outside are dropped and counted.
    static let eventLimit = 65_536
    /// Turns that may fail at one event before it is given up.
    static let failureLimit = 3
    /// Milliseconds after which a turn that failed is tried again.
    static let retryDelay: UInt64 = 1000
    /// Milliseconds between two looks at the clock while the disk is behind: events wait then.
    static let behindDelay: UInt64 = 100
    /// Answers that wait for the directory's searches.
    static let answererLimit = 4096
    /// Up to so many servers every change of the map is told at once.
    static let smallMap = 1000
    /// Milliseconds that larger maps wait, with all changes of that time.
    static let tellingDelay: UInt64 = 30_000

    let loop: DatagramLoop
    /// This server.
    let own: NodeID
    let environment: LMDBEnvironment
    let ledger: NodeLedger
    let logger: Logger
    var endpoint: DatagramEndpoint
    var map: MapCore
    var directory: DirectoryCore
    var home: HomeCore
    var ports: Ports?
    var entropy = Entropy.system()
    var events: [Event] = []
    /// Parts whose wake is among the events: one does for all.
    var wakesWaiting: Set<CommitQueue<Effect>.Part> = []
    /// Turns that failed at the same event, one after the other, and when the next is tried.
    var failures = 0
    var retryDue: Timestamp?
    /// Empty: the room of the last turn's.
    var spareEvents: [Event] = []
    var commits = CommitQueue<Effect>()
    let writer: StoreWriter
    /// Who waits until all is on disk.
    var flushes: [CheckedContinuation<Void, Never>] = []
    /// Whether a turn is to come.
    var isDraining = false
    /// When a large map is told of.
    var tellingDue: Timestamp?
    var links: [UInt64: StreamLink] = [:]
    var answerers: [UInt64: Answerer] = [:]
    var nextToken: UInt64 = 1
    /// With whom to begin; `nil` until that was read.
    var beginnings: Beginnings?
    /// Who waits for lookups.
    var seekers: [UInt64: Seeker] = [:]
    /// What the timer is set for.
    var wakeDue: Timestamp?
    var isNearlyFull = false
    /// Whether the data file was removed: nothing is accepted any more.
    var isStoreRemoved = false
    /// Who else has announced this server.
    var copies = CopyWatch()
    /// Own descriptors that are not on disk.
    var publications = Publications()
    /// Since when the store refuses what is to be written, and why; `nil` when it took what it was handed last.
    var refusal = FailureRun()
    /// For the operator's log and lists.
    var news = News()
    /// Where proofs against others are put as files.
    let evidence: EvidenceFolder?

    init(
        loop: DatagramLoop, environment: LMDBEnvironment, keys: NodeKeys, descriptor: [UInt8],
        admission: Admission, home configuration: HomeConfiguration, map mapConfiguration: MapConfiguration,
        directory directoryConfiguration: DirectoryConfiguration, ledger: NodeLedger, logger: Logger,
        evidence: EvidenceFolder? = nil
    ) throws(StorageError) {
        self.loop = loop
        own = keys.nodeID
        self.evidence = evidence
        self.environment = environment
        writer = StoreWriter(environment)
        self.ledger = ledger
        self.logger = logger
        let now = Timestamp.now()
        var map: MapCore?
        var directory: DirectoryCore?
        var kept: [(name: String, bytes: [UInt8])] = []
        try environment.read { (transaction: inout LMDBTransaction) throws(StorageError) in
            map = try MapCore(
                configuration: mapConfiguration, admission: admission, now: now, store: transaction)
            kept = try MapCore.evidence(transaction).map { ($0.fileName, $0.encode()) }
            kept += try DirectoryCore.evidence(transaction).map { ($0.fileName, $0.encode()) }
            directory = try DirectoryCore(
                serverID: keys.server.publicKey, descriptor: descriptor, configuration: directoryConfiguration,
                now: now, store: transaction)
        }
        guard let map, let directory else { throw .unavailable("the store could not be read") }
        self.map = map
        self.directory = directory
        self.directory.sign = { keys.server.sign($0) }
        home = HomeCore(node: keys.nodeID, configuration: configuration)
        home.nameSigner = { label, pointer, epoch, published in
            try? NameRecord.seal(
                label: label, pointer: pointer, server: keys.server, epoch: epoch, published: published)
        }
        endpoint = DatagramEndpoint(key: keys.link.key.copy(), entropy: &entropy)
        certify(keys)
        checkSpace(environment.usedBytes)
        ledger.replaceServers(map.currentTable(at: now), view: map.view(at: now))
        // A crash may have come between the store and the file.
        for piece in kept { evidence?.write(piece.name, piece.bytes, logger) }
    }

    /// The server's certificate may have been renewed.
    func certify(_ keys: NodeKeys) {
        map.setSigner(keys.signer)
        directory.setSigner(keys.signer)
    }

    /// Runs `body` on the owner's loop.
    func enqueue(_ body: @escaping @Sendable (CoreOwner) -> Void) {
        loop.execute { body(self) }
    }

    func start(_ socket: DatagramSocket, named: [BootstrapSource: [PeerLink]], own: X25519PublicKey) {
        loop.serve(socket) { [unowned self] datagram, from in receive(datagram, from: from) }
        begin(with: named, own: own)
        for (epoch, value) in directory.recentValues(at: .now()) {
            handle(.map(.sharedRandom(epoch: epoch, value)))
        }
        handle(.directory(.wake))
    }

    /// What this server says of itself has changed.
    /// - Parameter sign: makes the descriptor of that sequence.
    func publishServer(_ node: NodeID, signing sign: (_ sequence: UInt64) throws -> ServerDescriptor) rethrows {
        let descriptor = try sign(map.nextSequence(ofServer: node, from: Timestamp.now().milliseconds)).encode()
        directory.descriptor = descriptor
        publications.add(descriptor, of: .server, now: .now())
        publish()
    }

    /// The same of its cluster.
    func publishCluster(
        _ cluster: VerifyingKey, signing sign: (_ sequence: UInt64) throws -> ClusterDescriptor
    ) rethrows {
        let sequence = map.nextSequence(ofCluster: cluster, from: Timestamp.now().milliseconds)
        publications.add(try sign(sequence).encode(), of: .cluster, now: .now())
        publish()
    }

    /// Hands the map what the store has not taken yet.
    func publish() {
        for descriptor in publications.take(.now()) { handle(.publish(descriptor)) }
    }
}
