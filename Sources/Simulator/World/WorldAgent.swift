import Correspondence
import Federation
import Primitives
import Records
import Storage
import Wire

/// An agent of a world: what is on its disk survives ``stop(_:)``, everything else does not.
final class WorldAgent {
    let index: Int
    let id: NetworkID
    /// The server at which its user has an account.
    let homeServer: Int
    var configuration: AgentConfiguration
    var entropy: Entropy
    var store = FaultyStore()
    var core: AgentCore?
    /// Its own map.
    var map: MapCore?
    /// Servers over whose links it hears of the map.
    var mapLinks: Set<Int> = []
    var mapChanged = false
    var generation = 0
    var links: Set<NodeID> = []
    var connecting: Set<NodeID> = []
    var armed: UInt64?
    /// The agent's clock less the world's, in milliseconds.
    var skew: Int64 = 0
    /// When that became so.
    var clockSince = Timestamp(milliseconds: 0)
    /// The agent is killed in so many events, before or after its transaction is committed.
    var doom: (events: Int, isCommitted: Bool)?
    var account: Bytes16?
    var registering = false
    /// Other homes and new keys that were asked for.
    var changes: Set<UInt64> = []

    init(_ index: Int, home: Int, configuration: AgentConfiguration, seed: UInt64) throws {
        self.index = index
        homeServer = home
        self.configuration = configuration
        entropy = Entropy(seed: seed)
        let identity = Identity(&entropy)
        id = identity.id
        try identity.save(&store)
        store.commit()
        store.sync()
    }

    func clock(_ now: Timestamp) -> Timestamp {
        let moment = Int64(clamping: now.milliseconds).addingReportingOverflow(skew).partialValue
        return Timestamp(milliseconds: UInt64(max(0, moment)))
    }

    /// Where messages may wait: the homes that the agent knows of, or the first one.
    func accounts(_ servers: [NodeID: Int]) -> [(server: Int, account: Bytes16)] {
        let known = (core?.homes ?? []).compactMap { home -> (server: Int, account: Bytes16)? in
            guard let account = home.account, let server = servers[home.node] else { return nil }
            return (server, account)
        }
        return known.isEmpty ? account.map { [(homeServer, $0)] } ?? [] : known
    }

    /// - Parameter roots: the clusters that its user trusts.
    func start(_ now: Timestamp, trusting roots: Set<VerifyingKey>) throws(StorageError) {
        guard let identity = try Identity.load(store) else { return }
        var mapConfiguration = MapConfiguration()
        mapConfiguration.isAgent = true
        map = try MapCore(
            configuration: mapConfiguration, admission: Admission(roots: roots), now: clock(now), store: store)
        core = try AgentCore(identity: identity, configuration: configuration, now: clock(now), store: &store)
        store.commit()
        store.sync()
        generation += 1
    }

    func stop(_ crash: FaultyStore.Crash) {
        store.crash(crash) { entropy.below($0) }
        core = nil
        map = nil
        mapLinks = []
        mapChanged = false
        generation += 1
        links = []
        connecting = []
        armed = nil
        doom = nil
        registering = false
    }
}
