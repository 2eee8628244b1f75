import Correspondence
import Primitives
import Records
import Storage
import Wire

/// An agent of the world: what is in its store survives a kill, everything else does not.
struct SimulatedAgent {
    let id: NetworkID
    var configuration: AgentConfiguration
    var store: FaultyStore
    var core: AgentCore?
    var generation = 0
    var links: Set<NodeID> = []
    var connecting: Set<NodeID> = []
    var armed: UInt64?
    /// Milliseconds by which its clock is ahead of the world's.
    var skew: Int64 = 0
    /// The map that it was given last, by its servers' sequences.
    var mapStamp: UInt64 = 0
    /// Events handled since the start of the world.
    var handles = 0
    var kill: Kill?
    /// Envelopes handed to each link, by time.
    var sent: [UInt64] = []
    var sentReal = 0

    // What the user saw.
    var registered: [RegistrationReport] = []
    var resolved: [ResolveReport] = []
    var failed: [UInt64: AgentError] = [:]
    var queued: [UInt64: Bytes16] = [:]
    var accepted: [Bytes16] = []
    var delivered: [Bytes16] = []
    var received: [StoredMessage] = []
    var unresolved: [AgentError] = []

    init(_ configuration: AgentConfiguration, _ dice: Dice) throws {
        let identity = Identity(&dice.entropy)
        id = identity.id
        self.configuration = configuration
        store = FaultyStore()
        try identity.save(&store)
        store.commit()
    }

    mutating func start(_ now: Timestamp) throws {
        guard let identity = try Identity.load(store) else { return }
        core = try AgentCore(identity: identity, configuration: configuration, now: now, store: &store)
        store.commit()
    }

    mutating func stop() {
        core = nil
        generation += 1
        links = []
        connecting = []
        armed = nil
    }

    mutating func handle(_ event: AgentEvent, _ now: Timestamp, _ dice: Dice) throws -> Outcome<AgentEffect> {
        handles += 1
        let effects: [AgentEffect]
        do throws(StorageError) {
            effects = try core?.handle(event, now: now, entropy: &dice.entropy, store: &store) ?? []
        } catch {
            guard error == .full else { throw error }
            // The agent's driver ends the program on this; it starts again from the disk.
            try store.rollBack()
            return Outcome(effects: [], isDead: true)
        }
        guard let kill, kill.handle == handles else {
            store.commit()
            return Outcome(effects: effects)
        }
        switch kill.moment {
        case .beforeCommit: try store.rollBack()
        case .afterCommit, .duringEffects: store.commit()
        }
        return Outcome(effects: kill.moment == .duringEffects ? Array(effects.prefix(1)) : [], isDead: true)
    }

    mutating func replaceGateway(_ gateway: NodeID, _ dice: Dice) throws -> [AgentEffect] {
        let effects = try core?.replaceGateway(gateway, entropy: &dice.entropy, store: &store) ?? []
        store.commit()
        return effects
    }

    /// The bodies in the inbox on disk.
    func inbox() throws -> [[UInt8]] { try AgentCore.inboxMessages(store).map(\.body) }

    func outbox() throws -> [SentMessage] { try AgentCore.outboxMessages(store) }
}
