import Directory
import Envelope
import Federation
import Home
import Primitives
import Records
import Storage
import Wire

/// An agent's protocol: it keeps a mailbox at its gateways, publishes its owner's record, resolves others, sends
/// messages until their receivers have them, and takes messages in exactly once (specs/correspondence.md).
///
/// The driver commits the store after each ``handle(_:now:entropy:store:)`` and before it performs the effects.
public struct AgentCore: TimedCore, Sendable {
    static let state = Table("state")

    /// A request to a service that waits for its turn in the Poisson process.
    enum Outgoing: Sendable {
        case service(Service, destination: NodeID, body: [UInt8], reply: ReplyPurpose?)
        /// Reply blocks and acknowledgements for a home.
        case attach(NodeID)
    }

    /// An account that is being opened, or given another key.
    struct Registration: Sendable {
        /// 0 when nobody waits: the home has lost the account, or the last run did not see the answer.
        var request: UInt64
        var started: Timestamp
        var nextTry: Timestamp
        var attempts = 0

        init(request: UInt64, _ now: Timestamp) {
            self.request = request
            started = now
            nextTry = now
        }
    }

    public internal(set) var identity: Identity
    public let configuration: AgentConfiguration
    public internal(set) var counters = AgentCounters()

    var network = NetworkView()
    var health: RelayHealth
    var guards: GuardList
    /// The gateways whose links stand.
    var gateways: [NodeID] = []
    var queue: [Outgoing] = []
    /// What of the outbox waits for its turn.
    var parts = PartQueue()
    /// What takes the places of cover: the map's questions, cover lookups and audits.
    var coverQueue: [Outgoing] = []
    var nextTick: Timestamp?
    var replies: ReplyTable
    var outbox: Outbox
    var inbox: Inbox
    var settings: AgentSettings
    var registrations: [NodeID: Registration] = [:]
    var homeContacts: [NodeID: HomeContact] = [:]
    /// Requests that wait for the publication to be sufficient.
    var awaitingPublication: [AwaitedRecord] = []
    var publications: [UInt64: Publication] = [:]
    var shared: SharedKnowledge
    /// Lookups that wait until records of this epoch can be placed.
    var waitingForPlacement: [(lookup: AwaitedLookup, request: UInt64, since: Timestamp)] = []
    var lookups: [NetworkID: Lookup<RecordBody>] = [:]
    var names: OwnNames
    var nameLookups: [Bytes32: NameLookup] = [:]
    var coverLookups = CoverLookups()
    var ahead: RecordAhead
    var ownRecords: OwnRecordWatch
    var contacts: ContactBook
    var serials: ContactSerials
    var mailboxes = MailboxClaims()
    var nextExpiry: Timestamp?
    var nextSweep: Timestamp?
    public private(set) var clock: ClockWatch

    /// - Parameter store: as the last run left it; see ``Identity/save(_:)`` for a new one.
    public init(
        identity: Identity, configuration: AgentConfiguration = AgentConfiguration(), now: Timestamp,
        store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        self.identity = identity
        clock = ClockWatch(now)
        self.configuration = configuration
        contacts = ContactBook(limit: configuration.contactLimit)
        replies = try ReplyTable(limit: configuration.replyLimit, now, &store)
        outbox = try Outbox(now, receiptRetry: configuration.receiptRetry, store)
        inbox = try Inbox(store)
        settings = try AgentSettings(store)
        shared = try SharedKnowledge(now, store)
        network.place(shared.values)
        guards = try GuardList(store)
        health = try RelayHealth(store)
        serials = try ContactSerials(store)
        names = try OwnNames(store)
        ahead = try RecordAhead(store)
        ownRecords = try OwnRecordWatch(store)
        // Stopped while a record was being published: that is done again.
        if settings.publishedSequence != settings.sequence { settings.nextPublish = now }
        if ahead.isPublished, !ahead.isConfirmed { ahead.repeated(at: now) }
        for home in settings.homes {
            homeContacts[home.node] = HomeContact()
            // Stopped while an account was opened, or was given another key: that goes on. An account of the first
            // version is given its recovery commitment.
            if home.account == nil || home.serial < identity.serial || home.incarnation == 0 {
                registrations[home.node] = Registration(request: 0, now)
            }
        }
    }

    /// Whether everything that was queued has reached its next place of safety: nothing to send, resolve or acknowledge.
    public var isIdle: Bool {
        queue.isEmpty && lookups.isEmpty && waitingForPlacement.isEmpty && registrations.isEmpty
            && homeContacts.values.allSatisfy(\.toAcknowledge.isEmpty) && nameLookups.isEmpty && names.isIdle
            && outbox.isSettled && publications.values.allSatisfy { $0.isSufficient || $0.isFinished }
    }

    /// Messages that are not yet on the disk of their recipients' homes; receipts count.
    public var queuedMessages: Int { outbox.open.values.count { $0.state == .queued } }

    /// Clusters with a relay on the map, of which a path needs ``leastClusters``.
    public var relayClusters: Int { network.index.clusterCount }

    /// A gateway, the mixes, and the destination, each of another cluster.
    public var leastClusters: Int { configuration.mixes + 2 }

    /// Whether a message still waits to be taken by its recipient's home.
    public func isQueued(_ message: Bytes16) -> Bool { outbox.open[message]?.state == .queued }

    /// The home whose record names it first.
    public var home: NodeID? { settings.homes.first?.node }

    /// Every message that came, oldest first.
    /// - Parameter first: the number of the first that is wanted.
    public static func inboxMessages(
        _ store: borrowing some (KeyValueStore & ~Copyable), from first: UInt64 = 0
    ) throws(StorageError) -> [StoredMessage] { try Inbox.messages(store, from: first) }

    /// Whether messages stay at the homes since there is no room for them here.
    public var isInboxFull: Bool { inbox.size >= configuration.inboxLimit }

    /// Deletes messages that came.
    /// - Returns: how many there were.
    public mutating func deleteMessages(
        _ selection: InboxSelection, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Int { try inbox.delete(selection, &store) }

    /// Every message that goes out, and those of late, oldest first.
    public static func outboxMessages(
        _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [SentMessage] { try Outbox.messages(store) }

    /// When to hand in ``AgentEvent/wake``; `nil` while there is nothing to do without a gateway.
    public var nextWake: Timestamp? { clock.latest.flatMap(nextWake(after:)) }

    private func nextWake(after now: Timestamp) -> Timestamp? {
        var due: [Timestamp] = []
        if let nextExpiry { due.append(nextExpiry) }
        if let choice = guards.nextChoice { due.append(choice) }
        guard !gateways.isEmpty else { return due.min() }
        if let nextTick { due.append(nextTick) }
        due += settings.homes.compactMap(nextWake(for:))
        due += registrations.values.map(\.nextTry)
        if !network.servers.isEmpty, let wake = shared.nextWake(after: now) { due.append(wake) }
        guard isPlacementKnown(now) else { return due.min() }
        due += lookups.values.map(\.deadline)
        due += nameLookups.values.map(\.lookup.deadline)
        due += names.wakes
        if let next = coverLookups.next { due.append(next) }
        due += publications.values.filter { !$0.isFinished }.map(\.nextStep)
        if let wake = outboxWake(now) { due.append(wake) }
        if settings.isRegistered {
            due.append(settings.nextPublish)
            // The next epoch is planned as this one begins.
            if let moment = ahead.due, shared.isReady(ahead.epoch) { due.append(moment) }
        }
        return due.min()
    }

    public mutating func handle(
        _ event: AgentEvent, now: Timestamp, entropy: inout Entropy, store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [AgentEffect] {
        var effects: [AgentEffect] = []
        network.turn(to: now.epoch)
        if let amount = clock.turned(to: now) { turnBack(to: now, by: amount, &entropy) }
        switch event {
        case .linkUp(let gateway):
            if !gateways.contains(gateway) { gateways.append(gateway) }
            claimMailbox(gateway, now, &effects)
            if nextTick == nil { scheduleTick(now, &entropy) }
            for home in homeContacts.keys {
                homeContacts[home]?.nextAttach = now
                homeContacts[home]?.isReturning = true
            }
        case .linkDown(let gateway):
            gateways.removeAll { $0 == gateway }
            mailboxes.disconnected(gateway)
            health.disconnected(gateway)
            if gateways.isEmpty { nextTick = nil }
        case .map(let view):
            network.update(view, epoch: now.epoch)
            health.keep { network.byID[$0] != nil }
            try chooseGateways(now, &entropy, &effects, &store)
        case .reply(let id, let payload):
            try receive(id, payload, now, &entropy, &effects, &store)
        case .register(let home, let token, let request):
            try register(home, token, request, now, &entropy, &effects, &store)
        case .addHome(let home, let token, let request):
            try addHome(home, token, request, now, &entropy, &effects, &store)
        case .moveHome(let home, let token, let old, let request):
            try moveHome(to: home, token, from: old, request, now, &entropy, &effects, &store)
        case .removeHome(let home, let discards, let request):
            try removeHome(home, discards: discards, request, now, &effects, &store)
        case .claimName(let name, let secret, let request):
            try claimName(name, secret, request, now, &entropy, &effects, &store)
        case .releaseName(let name, let home, let request):
            try releaseName(name, at: home, request, now, &effects, &store)
        case .resolveName(let query, let request):
            resolveName(query, request, now, &entropy, &effects)
        case .rotate(let request):
            try rotate(request, now, &entropy, &effects, &store)
        case .resolve(let id, let request):
            try resolve(id, request, now, &entropy, &effects, &store)
        case .send(let id, let body, let request):
            try send(id, body, request, now, &entropy, &effects, &store)
        case .inquire(let questions):
            for question in questions where network.byID[question.server] != nil {
                enqueueAsCover(
                    .service(.map, destination: question.server, body: question.body, reply: .inquiry))
            }
        case .wake:
            break
        }
        try advance(now, &entropy, &effects, &store)
        return effects
    }

    /// Does whatever is due.
    private mutating func advance(
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        if nextExpiry.map({ now >= $0 }) ?? true {
            nextExpiry = now.adding(seconds: 30)
            try replies.expire(now, &store)
            try expireMessages(now, &store)
            giveUpWaiting(now, &effects)
            try destroyRetiredKeys(now, &store)
        }
        if let choice = guards.nextChoice, now >= choice { try chooseGateways(now, &entropy, &effects, &store) }
        guard !gateways.isEmpty else { return }
        health.expire(now)
        network.suspects = health.suspects
        try health.save(&store)
        if let deaf = health.deafGateway(now) {
            try giveUp(deaf, isDeaf: true, now, &entropy, &effects, &store)
        }
        for gateway in mailboxes.due(now, &entropy) { effects.append(.renewLink(gateway: gateway)) }
        try advanceRegistrations(now, &effects, &store)
        try advanceShared(now, &entropy, &effects, &store)
        if isPlacementKnown(now) {
            try advanceLookups(now, &entropy, &effects, &store)
            try advancePublications(now, &entropy, &effects, &store)
            try advanceNames(now, &effects, &store)
            try advanceNameLookups(now, &effects, &store)
            try advanceOutbox(now, &entropy, &effects, &store)
            advanceCoverLookups(now, &entropy)
        }
        advanceAttachments(now)
        try advanceClosings(now, &effects, &store)
        try tick(now, &entropy, &effects, &store)
    }
}
