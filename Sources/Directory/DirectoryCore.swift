import Primitives
import Records
import Storage
import Wire

/// A directory server: holds the records for which the map makes it responsible, repairs their copies, and keeps a
/// Kademlia routing table for joining and as a fallback (specs/directory.md).
public struct DirectoryCore: TimedCore, Sendable {
    static let contactTable = Table("directory/contacts")
    /// What it reads and writes of a store.
    public static let tables = [contactTable] + RecordStore.tables + SharedRandomStore.tables + [ClusterHistory.table]
    static let sweepInterval: UInt64 = 60_000
    /// Records deleted in one sweep.
    static let sweepLimit = 2000
    /// Between two rounds of checking records that wait.
    static let queueInterval: UInt64 = 100
    /// Contacts that are asked after a restart.
    static let rejoinLimit = 64
    /// Descriptors whose signatures need no second check; more than the routing table has contacts.
    static let verifiedLimit = 512
    /// Peers that are asked at a time who they are, because they have asked something: whoever answers nothing keeps
    /// others from being asked, and nothing else from being done.
    static let meetingLimit = 64
    /// The same of one address prefix.
    static let prefixMeetingLimit = 8
    /// Milliseconds after which a call is given up here, whatever its driver says of it: the driver does so after a tenth
    /// of that, but what it says may be lost.
    static let callLifetime: UInt64 = 30_000
    /// Milliseconds before the first repetition of a join, doubled up to the refresh interval.
    static let firstJoinWait: UInt64 = 2000

    struct Pending: Sendable {
        let call: Call
        let endpoint: Endpoint
        let started: Timestamp
        /// When to ask somebody else meanwhile.
        let deadline: Timestamp
        /// Whether only another's word says that somebody answers there.
        var isNamed = false
    }

    enum Call: Sendable {
        case ping
        /// The oldest of a full bucket, or one that was silent for long.
        case liveness(NodeID)
        case iteration(UInt64, NodeID)
        /// What is put once more when it is answered as busy.
        case put(NodeID, again: [UInt8]?)
        /// Which of these records a holder lacks.
        case compare(NodeID, [VerifyingKey])
        /// What it knows of an epoch's shared random value.
        case shared(NodeID)
        /// Whether a holder has the record of a lookup.
        case holder(UInt64, NodeID)

        /// Whom it asks, if that is known.
        var node: NodeID? {
            switch self {
            case .ping: nil
            case .liveness(let node), .iteration(_, let node), .put(let node, _), .compare(let node, _),
                .shared(let node), .holder(_, let node):
                node
            }
        }
    }

    let own: NodeID
    let serverID: VerifyingKey
    var configuration: DirectoryConfiguration
    /// This server's signed descriptor, with which it proves who it is.
    public var descriptor: [UInt8]
    /// Signs with the server's key, so that the core never holds it: with it, misses are answered with an ``Absence``.
    public var sign: (@Sendable ([UInt8]) -> Signature)?
    /// Whether the store has room; the driver clears it when the store is nearly full.
    public var acceptsWrites = true
    public internal(set) var counters = DirectoryCounters()
    public internal(set) var nextWake: Timestamp?

    var table: RoutingTable
    /// What peers take to answer, all together.
    var usual = RoundTrip()
    var strangers = KnownStrangers()
    var named = NamedContacts()
    var nodes: [Placement.Node] = []
    var placements: [UInt64: Placement] = [:] { didSet { silences = [:] } }
    /// Counts changes of what placements follow from.
    var placementVersion: UInt64 = 0
    var calls: [UInt64: Pending] = [:]
    var nextCall: UInt64 = 1
    var iterations: [UInt64: Iteration] = [:]
    var nextIteration: UInt64 = 1
    /// Lookups that the operator asked for.
    var lookups: [UInt64: DirectLookup] = [:]
    /// What they have shown of how long servers take to answer.
    var answerTimes = AnswerTimes()
    var verified: [NodeID: Bytes32] = [:]
    /// What other cores of this process have checked; `nil` in a server.
    var checked: CheckedSignatures?
    var joining: UInt64?
    var budget = RequestBudget()
    var waiting = FairQueue()
    /// When records that wait are checked next.
    var checkDue: Timestamp?
    var gate = PuzzleGate()
    var challenges = PuzzleChallenges()
    /// Who is on the map, once somebody asks who has no place on the circle.
    var listedNodes: Set<NodeID>?
    /// Link keys of servers on the map, once somebody's put asks for them.
    var listedLinks: Set<X25519PublicKey>?
    var watch: EclipseWatch
    var nextWatch: Timestamp
    var anchorCheck: Timestamp?
    var trust = BootstrapTrust()
    /// What places nodes in each epoch, and how that is agreed on.
    public internal(set) var random: SharedRandomCore
    /// Nodes on the map that do not answer.
    var silent: Set<NodeID> = [] { didSet { silences = [:] } }
    /// The same by epoch and place.
    private var silences: [UInt64: Placement.Silence] = [:]
    var unanswered: [NodeID: Int] = [:]
    /// Neighbours on the circle, and when each is asked.
    var nearby = NeighbourWatch()
    /// When the last round of asking began, and when it is looked next who is to be asked.
    var neighboursTurned: Timestamp
    var nextNeighbours: Timestamp
    /// Neighbours that have answered, and when the last of those fell silent.
    var answering: Set<NodeID> = []
    var fallenSilent: [Timestamp] = []
    var auditCursor: [UInt8]?
    /// When those who share records with this server are asked once more.
    var auditDue: Timestamp?
    /// The key of the next record to look at; `nil` when no repair is due.
    var repairCursor: [UInt8]?
    /// Whether records of this pass were looked at already.
    var isPassing = false
    var repairBase = View()
    /// Against which view to look through the records once more.
    var nextRepairBase: View?
    /// Whom this server has handed a record since it last asked its neighbours, and before that.
    var repairTargets: Set<NodeID> = []
    var earlierTargets: Set<NodeID> = []
    /// Where holders answer whom a search of this pass has found.
    var foundEndpoints: [NodeID: Endpoint] = [:]
    var isRepairIncomplete = false
    /// What others have to bring to new holders, and this server sees to afterwards.
    var offers = RepairOffers()
    /// The key of the next record of which other holders are asked whether they have it.
    var settleCursor: [UInt8]?
    /// When that begins because of a mass loss, and when it begins anyhow.
    var settleDue: Timestamp?
    /// How long that may be put off.
    var settleLatest: Timestamp?
    var nextSettle: Timestamp
    /// Who is still to be asked before that whether he lives.
    var around: ArraySlice<Placement.Node> = []
    /// The last of the silent ones that were.
    var lastAsked: NodeID?
    var nextPass = Timestamp(milliseconds: 0)
    var repeatedPasses = 0
    /// When housekeeping is due; ``nextWake`` may come earlier, for a call that is late.
    var nextRound: Timestamp
    /// The earliest deadline of a search's call.
    var nextDeadline: Timestamp?
    /// When it is looked next which calls nobody has reported on.
    var nextOverdue: Timestamp?
    var nextRefresh: Timestamp
    var nextSweep: Timestamp
    var stored: [Contact] = []
    /// Where joining begins, and begins again while the table is nearly empty.
    var bootstrap: [Endpoint] = []
    var nextJoin: Timestamp
    var joinWait = DirectoryCore.firstJoinWait
    public internal(set) var clock: ClockWatch

    /// - Parameters:
    ///   - descriptor: this server's own, encoded.
    ///   - store: the routing table of the last run is in it, so that a restart needs no bootstrap list.
    public init(
        serverID: VerifyingKey, descriptor: [UInt8],
        configuration: DirectoryConfiguration = DirectoryConfiguration(), now: Timestamp,
        store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        own = Node.id(of: serverID)
        self.serverID = serverID
        self.descriptor = descriptor
        self.configuration = configuration
        random = try SharedRandomCore(own: Node.id(of: serverID), now: now, store: store)
        table = RoutingTable(own: own)
        nextWake = now
        nextRound = now
        clock = ClockWatch(now)
        watch = EclipseWatch(now: now)
        nextWatch = now
        neighboursTurned = now
        nextNeighbours = now
        nextRefresh = now.adding(milliseconds: configuration.refreshInterval)
        nextSweep = now
        // Not all servers at the same time.
        nextSettle = now.adding(milliseconds: own.leadingWord % DirectoryCore.settleInterval)
        nextJoin = now.adding(milliseconds: DirectoryCore.firstJoinWait)
        var stored: [Contact] = []
        try store.scan(DirectoryCore.contactTable, from: []) { _, value in
            var reader = Reader(value)
            if let contact = try? Contact(&reader) { stored.append(contact) }
            return stored.count < DirectoryCore.rejoinLimit
        }
        self.stored = stored
    }

    /// Lets this server take part in making shared random values, and learn those that others made.
    public mutating func setSigner(_ signer: CertifiedSigner) { random.signer = signer }

    /// Has this server sign nothing for the shared value in an epoch: what it signed before may be lost, and two votes of
    /// one epoch would be a contradiction.
    public mutating func signNothing(inEpoch epoch: UInt64) { random.silentEpoch = epoch }

    /// Contacts in the routing table.
    public var contactCount: Int { table.count }
    /// Endpoints of the last run's routing table: with them a node rejoins.
    public var storedEndpoints: [Endpoint] { stored.map(\.endpoint) }

    /// Whether an alarm holds.
    public func isAlarmed(at now: Timestamp) -> Bool { watch.isAlarmed(at: now) }

    /// The alarms that hold, and how many milliseconds longer each does.
    public func standingAlarms(at now: Timestamp) -> [(alarm: EclipseWatch.Alarm, left: UInt64)] {
        watch.standing(at: now)
    }

    /// Whether three classes of sources, or three unrelated servers with which this one began, have proven themselves, and
    /// what speaks for that.
    public var viewTrust: ViewTrust { trust.report }

    /// When a call should be given up for another; `nil` when it is not under way. It follows from the peer's round
    /// trips (RFC 6298). A driver may report ``DirectoryEvent/failed(call:)`` then, but needs not: the core asks others
    /// by itself and still uses an answer that comes later.
    public func deadline(for call: UInt64) -> Timestamp? { calls[call]?.deadline }

    public static func recordCount(_ store: borrowing some (KeyValueStore & ~Copyable)) throws(StorageError) -> Int {
        try store.count(RecordStore.table)
    }

    /// Proofs against those who signed two statements on a shared random value, of earlier runs too.
    public static func evidence(
        _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [SharedRandomEvidence] { try SharedRandomStore.evidence(store) }

    public mutating func handle(
        _ event: DirectoryEvent, now: Timestamp, entropy: inout Entropy,
        store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [DirectoryEffect] {
        var effects: [DirectoryEffect] = []
        if let amount = clock.turned(to: now) { try turnBack(by: amount, to: now, &store) }
        switch event {
        case .join(let endpoints): ask(endpoints, now, &effects)
        case .bootstrap(let source, let endpoints): begin(endpoints, from: source, now, &effects)
        case .listed(let source, let keys):
            let gone = trust.keep(keys, of: source)
            bootstrap.removeAll { gone.contains($0.linkKey) }
        case .request(let from, let isProven, let token, let message):
            try request(from, isProven, token, message, now, &entropy, &effects, &store)
        case .answer(let id, let message):
            try answered(id, message, now, &entropy, &effects, &store)
        case .failed(let id):
            try failed(id, now, &entropy, &effects, &store)
        case .map(let nodes):
            replaceMap(nodes, now)
            markListed()
            try randomise(.map(nodes), now, &entropy, &effects, &store)
            raise(watch.size(nodes.count, now: now), now, &effects)
            nextWatch = min(nextWatch, now.adding(milliseconds: configuration.roundInterval))
        case .linkUp(let link): try randomise(.linkUp(link), now, &entropy, &effects, &store)
        case .linkDown(let link): try randomise(.linkDown(link), now, &entropy, &effects, &store)
        case .frame(let link, let body):
            try randomise(.message(link: link, body), now, &entropy, &effects, &store)
        case .wake:
            try timeOut(now, &effects, &store)
            try giveUpOverdue(now, &entropy, &effects, &store)
            checkDue = nil
            try checkWaiting(now, &entropy, &effects, &store)
            if now >= nextRound {
                try wake(now, &entropy, &effects, &store)
            }
            if let due = random.nextWake, now >= due { try randomise(.wake, now, &entropy, &effects, &store) }
        case .placement(let epoch, let placement): placements[epoch] = placement
        case .lookUp(let request, let id): lookUp(request, id, now, &entropy, &effects)
        }
        if !lookups.isEmpty { try advanceLookups(now, &effects, &store) }
        nextRound = min(nextRound, nextRound(after: now))
        // Whatever comes meanwhile does not put it off.
        checkDue = waiting.isEmpty ? nil : checkDue ?? now.adding(milliseconds: DirectoryCore.queueInterval)
        let lookupDue = lookups.values.map(\.deadline).min()
        nextWake = [nextDeadline, nextOverdue, checkDue, random.nextWake, lookupDue].reduce(nextRound) { first, due in
            due.map { min(first, $0) } ?? first
        }
        return effects
    }

    mutating func placement(_ epoch: UInt64) -> Placement {
        if let known = placements[epoch] { return known }
        let placement = Placement(nodes: nodes, epoch: epoch, shared: random.values[epoch]?.bytes)
        if placements.count >= 4 { placements.removeAll() }
        placements[epoch] = placement
        return placement
    }

    /// Who does not answer, by places on the circle of an epoch.
    mutating func silence(_ epoch: UInt64) -> Placement.Silence {
        if let known = silences[epoch] { return known }
        let silence = Placement.Silence(silent, on: placement(epoch))
        silences[epoch] = silence
        return silence
    }
}
