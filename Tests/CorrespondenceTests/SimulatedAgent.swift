import Correspondence
import Primitives
import Records
import Storage
import Wire

/// An agent of the world: what is in its store survives a kill, everything else does not.
struct SimulatedAgent {
    /// A kill while an event is handled.
    struct Kill {
        enum Moment: CaseIterable {
            /// The transaction is not committed and no effect performed.
            case beforeCommit
            /// The transaction is committed and no effect performed.
            case afterCommit
        }

        var handle: Int
        var moment: Moment
    }

    let id: NetworkID
    var configuration: AgentConfiguration
    var store: MemoryStore
    var core: AgentCore?
    var generation = 0
    var links: Set<NodeID> = []
    var connecting: Set<NodeID> = []
    var armed: UInt64?
    /// Events handled since the start of the world.
    var handles = 0
    var kill: Kill?
    /// Envelopes handed to each link, by time.
    var sent: [UInt64] = []
    var sentReal = 0
    /// The mailboxes claimed over each link that came up.
    var claims: [(gateway: NodeID, secrets: [Bytes32])] = []

    // What the user saw.
    var registered: [RegistrationReport] = []
    /// What its map is told.
    var sharedValues: [UInt64: Bytes32] = [:]
    var removed: [UInt64] = []
    var closed: [NodeID] = []
    var names: [String] = []
    var nameReports: [UInt64: NameReport] = [:]
    var serials: [UInt64] = []
    var resolved: [ResolveReport] = []
    var failed: [UInt64: AgentError] = [:]
    var queued: [UInt64: Bytes16] = [:]
    var accepted: [Bytes16] = []
    var delivered: [Bytes16] = []
    var received: [StoredMessage] = []
    var unresolved: [AgentError] = []
    var foreign: [ForeignRecord] = []

    init(_ configuration: AgentConfiguration, _ dice: Dice) throws {
        let identity = Identity(&dice.entropy)
        id = identity.id
        self.configuration = configuration
        store = MemoryStore()
        try identity.save(&store)
    }

    /// Somebody else's copy of the identity's folder.
    init(copyOf other: SimulatedAgent) {
        id = other.id
        configuration = other.configuration
        store = other.store
    }

    mutating func start(_ now: Timestamp) throws {
        guard let identity = try Identity.load(store) else { return }
        core = try AgentCore(identity: identity, configuration: configuration, now: now, store: &store)
    }

    mutating func stop() {
        core = nil
        generation += 1
        links = []
        connecting = []
        armed = nil
    }

    /// - Returns: the effects, or `nil` when the agent was killed while it handled the event.
    mutating func handle(_ event: AgentEvent, _ now: Timestamp, _ dice: Dice) throws -> [AgentEffect]? {
        handles += 1
        if let kill, kill.handle == handles {
            var copy = store
            _ = try core?.handle(event, now: now, entropy: &dice.entropy, store: &copy)
            if kill.moment == .afterCommit { store = copy }
            return nil
        }
        return try core?.handle(event, now: now, entropy: &dice.entropy, store: &store) ?? []
    }

    mutating func gatewayFailed(_ gateway: NodeID, _ now: Timestamp, _ dice: Dice) throws -> [AgentEffect] {
        try core?.gatewayFailed(gateway, now: now, entropy: &dice.entropy, store: &store) ?? []
    }

    mutating func deleteMessages(_ selection: InboxSelection) throws -> Int {
        try core?.deleteMessages(selection, &store) ?? 0
    }

    /// The bodies in the inbox on disk.
    func inbox() throws -> [[UInt8]] { try AgentCore.inboxMessages(store).map(\.body) }

    func outbox() throws -> [SentMessage] { try AgentCore.outboxMessages(store) }
}
