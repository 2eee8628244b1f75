import Correspondence
import Directory
import Envelope
import Federation
import Home
import Primitives
import Records
import Relay
import Storage
import Wire

/// Servers and agents with the cores that nodes and agents run, a network and disks that fail, under virtual time.
///
/// Everything random is drawn from the seed, in the order of events: the same scenario and seed give the same run to
/// the byte (specs/simulator.md).
final class World {
    let scenario: Scenario
    let seed: UInt64
    let defect: Defect?
    /// What the invariants allow.
    var bounds = Bounds()
    let start: Timestamp
    var now: Timestamp
    var entropy: Entropy
    var sessions = SessionTable()
    var network = NetworkModel()
    var queue = VirtualQueue<WorldEvent>()
    var log: EffectLog
    var ledger = Ledger()
    var servers: [WorldServer] = []
    var agents: [WorldAgent] = []
    var figures = WorldFigures()

    var byNode: [NodeID: Int] = [:]
    var byAddress: [SocketAddress: Int] = [:]
    var byUser: [NetworkID: Int] = [:]
    /// Pairs of servers that gossip, by link number.
    var links: [(left: Int, right: Int)] = []
    var linksOf: [[Int]] = []
    var placements: [UInt64: (value: Bytes32?, placement: Placement)] = [:]
    var nextRequest: UInt64 = 1
    /// To whom the text of a request goes.
    var texts: [UInt64: Int] = [:]
    /// What had been acknowledged when a lookup began.
    var floors: [UInt64: LookupFloor] = [:]

    init(_ scenario: Scenario, seed: UInt64, defect: Defect? = nil, trace: ((String) -> Void)? = nil) throws {
        self.scenario = scenario
        self.seed = seed
        self.defect = defect
        start = Timestamp(seconds: 20_000 * Timestamp.secondsPerEpoch + scenario.start)
        now = start
        entropy = Entropy(seed: seed)
        log = EffectLog(trace: trace)
        try build()
    }

    private func build() throws {
        let count = scenario.servers
        links = World.topology(count)
        linksOf = [[Int]](repeating: [], count: count)
        for (number, link) in links.enumerated() {
            linksOf[link.left].append(number)
            linksOf[link.right].append(number)
        }
        let peers = linksOf.enumerated().map { index, numbers in
            numbers.map { links[$0].left == index ? links[$0].right : links[$0].left }
        }
        for index in 0..<count {
            let first = index - index % scenario.clusterSize
            // Endorsements are asked for at the start, when all keys are there.
            let server = try WorldServer(
                index, cluster: index / scenario.clusterSize, prefixes: min(count, scenario.prefixes), now: now,
                seed: entropy.uint64(), sharing: first < index ? servers[first] : nil
            ) { [unowned self] in
                self.endorsements(of: first, peers)
            }
            servers.append(server)
            byNode[server.nodeID] = index
            byAddress[server.endpoint.address] = index
            network.addPlace(&entropy)
            if scenario.skew > 0 { server.skew = Int64(entropy.below(2 * scenario.skew + 1) - scenario.skew) }
        }
        var next = count - 1
        for liars in scenario.liars {
            for _ in 0..<liars.count where next > 0 {
                servers[next].liar = Liar(liars.conduct)
                next -= 1
            }
        }
        var configuration = AgentConfiguration()
        configuration.rate = scenario.rate
        if defect == .believesFirst { configuration.lookup.freshAnswers = 1 }
        configuration.outboxLimit = defect == .longOutbox ? bounds.outbox * 100 : bounds.outbox
        for index in 0..<scenario.agents {
            let agent = try WorldAgent(
                index, home: index % (next + 1), configuration: configuration, seed: entropy.uint64())
            agents.append(agent)
            byUser[agent.id] = index
            network.addPlace(&entropy)
            if scenario.skew > 0 { agent.skew = Int64(entropy.below(2 * scenario.skew + 1) - scenario.skew) }
        }
        try remember()
    }

    /// The network is as old as the scenario says.
    private func remember() throws(StorageError) {
        let clusters = Set(servers.filter { $0.liar.conduct != .stranger }.map { $0.clusterKey.publicKey })
        let epochs = now.epoch - UInt64(scenario.history)..<now.epoch
        for server in servers where !epochs.isEmpty {
            try SharedRandomCore.remember(clusters, in: epochs, &server.store)
            server.store.commit()
            server.store.sync()
        }
    }

    /// A cluster endorses the clusters with which its servers gossip.
    private func endorsements(of first: Int, _ peers: [[Int]]) -> [VerifyingKey] {
        let own = servers[first].clusterKey.publicKey
        let isStranger = servers[first].liar.conduct == .stranger
        var out: [VerifyingKey] = []
        for member in first..<min(first + scenario.clusterSize, servers.count) {
            for peer in peers[member] {
                guard isStranger || servers[peer].liar.conduct != .stranger else { continue }
                let key = servers[peer].clusterKey.publicKey
                if key != own, !out.contains(key) { out.append(key) }
            }
        }
        // All strangers endorse each other.
        if isStranger {
            let others = servers.filter { $0.liar.conduct == .stranger }.map { $0.clusterKey.publicKey }
            out += others.filter { $0 != own && !out.contains($0) }
        }
        return out
    }

    /// A ring with chords: each server gossips with two on both sides and with the one opposite.
    private static func topology(_ count: Int) -> [(left: Int, right: Int)] {
        var pairs: [(left: Int, right: Int)] = []
        var known: Set<Int> = []
        for left in 0..<count {
            for step in [1, 2, count / 2] {
                let right = (left + step) % count
                let pair = min(left, right) * count + max(left, right)
                if left != right, known.insert(pair).inserted { pairs.append((left, right)) }
            }
        }
        return pairs
    }

    /// The place of an agent in the network.
    func place(_ agent: Int) -> Int { servers.count + agent }

    func schedule(_ delay: UInt64, _ event: WorldEvent) { queue.push(event, due: now.milliseconds + delay) }

    func record(
        _ kind: EffectLog.Kind, from: Int, to: Int? = nil, _ bytes: [UInt8] = [], _ note: StaticString = ""
    ) {
        log.record(kind, at: elapsed, from: from, to: to, bytes, note)
    }

    /// Milliseconds since the beginning.
    var elapsed: UInt64 { now.milliseconds(since: start) }

    // MARK: Time

    /// Lets time pass.
    func run(seconds: UInt64, progress: (UInt64) -> Void = { _ in }) throws {
        let end = now.milliseconds + seconds * 1000
        var nextReport = now.milliseconds
        while let due = queue.next, due <= end, let (_, event) = queue.pop() {
            now = Timestamp(milliseconds: max(now.milliseconds, due))
            figures.events += 1
            try perform(event)
            if now.milliseconds >= nextReport {
                nextReport = now.milliseconds + 1000
                progress(elapsed)
            }
        }
        now = Timestamp(milliseconds: max(now.milliseconds, end))
    }

    private func perform(_ event: WorldEvent) throws {
        switch event {
        case .envelope(let bytes, let server): try arrive(bytes, servers[server])
        case .upload(let bytes, let server, let agent, let generation):
            if agents[agent].generation == generation { try arrive(bytes, servers[server]) }
        case .frame(let link, let to, let generation, let body):
            guard servers[to].generation == generation else { return }
            if let kind = body.first, SharedRandomCore.kinds.contains(kind) {
                handle(servers[to], .frame(link: UInt64(link), body))
            } else {
                handle(servers[to], .message(link: UInt64(link), body))
            }
        case .journaled(let index, let generation, let ticket):
            if servers[index].generation == generation { try journaled(servers[index], ticket) }
        case .journalAgain(let index, let generation):
            if servers[index].generation == generation { commitJournal(servers[index]) }
        case .sync(let index, let generation):
            if servers[index].generation == generation { try sync(servers[index]) }
        case .wake(let index, let generation, let part, let time):
            if servers[index].generation == generation { try wake(servers[index], part, time) }
        case .mapChanged(let index, let generation):
            if servers[index].generation == generation { tellMap(servers[index]) }
        case .call(let from, let call, let to, let message): called(from, call, to, message)
        case .answer(let index, let generation, let call, let message):
            guard servers[index].generation == generation, servers[index].calls.remove(call) != nil else { return }
            handle(servers[index], message.map { .answer(call: call, message: $0) } ?? .failed(call: call))
        case .claim(let secret, let server, let agent, let generation):
            guard agents[agent].generation == generation, servers[server].isUp else { return }
            for reply in servers[server].mailboxes.claim(secret, agent: agent) {
                download(reply.id, reply.payload, servers[server], agent)
            }
        case .reply(let agent, let generation, let id, let payload):
            if agents[agent].generation == generation { try handle(agents[agent], .reply(id: id, payload: payload)) }
        case .agentWake(let agent, let generation, let time):
            if agents[agent].generation == generation { try wake(agents[agent], time) }
        case .agentMap(let agent, let generation):
            if agents[agent].generation == generation { try tellMap(agents[agent]) }
        case .connect(let agent, let generation, let gateway, let attempt):
            if agents[agent].generation == generation { try connect(agents[agent], gateway, attempt) }
        case .disconnect(let agent, let generation, let gateway):
            if agents[agent].generation == generation { try disconnect(agents[agent], gateway) }
        case .stalled(let server, let generation, let place, let life):
            if servers[server].generation == generation { try stalled(servers[server], place, life) }
        case .startAgent(let agent): try start(agents[agent])
        case .startServer(let index): start(servers[index])
        case .register(let agent, let generation):
            if agents[agent].generation == generation { try register(agents[agent]) }
        case .send(let agent, let other, let number): try send(agents[agent], to: other, number)
        case .lookup(let agent, let other): try lookup(agents[agent], other)
        case .change(let agent): try change(agents[agent])
        case .fault(let fault, let isEnd, let victims): try apply(fault, isEnd, victims)
        case .agentBootstrap(let agent, let generation):
            if agents[agent].generation == generation { try bootstrap(agents[agent]) }
        case .agentMapEvent(let agent, let generation, let event):
            if agents[agent].generation == generation { try handle(agents[agent], event) }
        case .agentFrame(let agent, let life, let server, let generation, let isUp, let body):
            guard agents[agent].generation == life, servers[server].generation == generation else { return }
            try framed(agents[agent], servers[server], isUp: isUp, body)
        case .ownLoop(let index, let generation):
            if servers[index].generation == generation { try startLoop(servers[index]) }
        case .check:
            checkBounds()
            schedule(10_000, .check)
        }
    }
}

/// What a run did, in numbers.
struct WorldFigures: Equatable, Sendable {
    var events: UInt64 = 0
    var crashes = 0
    var kills = 0
    var storageFailures = 0
    var lookups = 0
    var lookupFailures = 0
    /// Lookups for which holders were asked, not the agent's memory.
    var lookupsAsked = 0
    /// Keys replaced, homes added, changed and left, as users were told.
    var changes = 0
    var registrations = 0
    var largestStore = 0
    var directoryCalls = 0
    var mapsAgreed = 0
    var mapsContested = 0
    var agentMapsAgreed = 0
    var agentMapsRefused = 0
    var valuesAgreed = 0
    var valuesFailed = 0
    var loopsStarted = 0
    var loopsReturned = 0
    var loopsLost = 0
    var relaysMeasured = 0
    /// Envelopes that relays had seen before.
    var replays = 0
    var alarms = 0
    /// By cores of honest servers and of agents.
    var clockTurns = 0
    /// Streams that were closed because a frame on them did not become whole.
    var stalledStreams = 0
    var refused = RefusedInput()
}

/// What the invariants allow at most.
struct Bounds {
    /// Messages that are not delivered yet.
    var outbox = 64
    var relayQueue = 100_000
    var contacts = 256 * 20
    var records = 200_000
    var homeItems = 1000
    var replyBlocks = 12
}

/// What happens in a world.
indirect enum WorldEvent {
    case envelope([UInt8], to: Int)
    case upload([UInt8], to: Int, agent: Int, generation: Int)
    case frame(link: Int, to: Int, generation: Int, [UInt8])
    case journaled(Int, generation: Int, ticket: UInt64)
    case journalAgain(Int, generation: Int)
    case sync(Int, generation: Int)
    case wake(Int, generation: Int, WorldServer.Part, UInt64)
    case mapChanged(Int, generation: Int)
    case call(from: Int, UInt64, to: Int, [UInt8])
    case answer(Int, generation: Int, call: UInt64, [UInt8]?)
    case claim(Bytes32, at: Int, agent: Int, generation: Int)
    case reply(Int, generation: Int, id: Bytes16, [UInt8])
    case agentWake(Int, generation: Int, UInt64)
    case agentMap(Int, generation: Int)
    case connect(Int, generation: Int, NodeID, attempt: Int)
    case disconnect(Int, generation: Int, NodeID)
    /// A server's stream to a place, on which it stopped within a frame.
    case stalled(Int, generation: Int, to: Int, life: Int)
    case startAgent(Int)
    case startServer(Int)
    case register(Int, generation: Int)
    case send(Int, to: Int, number: Int)
    case lookup(Int, of: Int)
    case change(Int)
    case fault(Scenario.Fault, isEnd: Bool, victims: [Int])
    case agentBootstrap(Int, generation: Int)
    case agentMapEvent(Int, generation: Int, MapEvent)
    /// A frame of the map, up from the agent to the server or down to the agent.
    case agentFrame(Int, agent: Int, server: Int, generation: Int, isUp: Bool, [UInt8])
    case ownLoop(Int, generation: Int)
    case check
}
