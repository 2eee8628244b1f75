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

/// Servers, agents and a network under virtual time. The same seed gives the same world; a copy continues by itself
/// once it has other ``dice``.
struct World {
    static let noon = Timestamp(seconds: 20_000 * 86_400 + 43_200)

    indirect enum Action {
        case envelope([UInt8], to: Int)
        case upload([UInt8], to: Int, agent: Int, generation: Int)
        case journaled(Int, generation: Int, [(epoch: UInt64, tag: Bytes16)], ticket: UInt64)
        case wake(Int, generation: Int, SimulatedServer.Part, UInt64)
        case call(from: Int, UInt64, to: Int?, [UInt8])
        case answer(Int, call: UInt64, [UInt8]?)
        case claim(Bytes32, at: Int, agent: Int, generation: Int)
        case reply(Int, generation: Int, id: Bytes16, [UInt8])
        case agentWake(Int, generation: Int, UInt64)
        case connect(Int, generation: Int, NodeID, attempt: Int)
        case disconnect(Int, generation: Int, NodeID)
        case startAgent(Int)
        case startServer(Int)
        case midnight
    }

    let seed: UInt64
    var dice: Dice
    var now: Timestamp
    var servers: [SimulatedServer] = []
    var agents: [SimulatedAgent] = []
    var queue = EventQueue<Action>()
    var nextRequest: UInt64 = 1

    /// Of a hundred envelopes between servers so many are lost, or come a second time soon and a third time late.
    var lossPercent = 0
    var duplicatePercent = 0
    /// Of a hundred replies so many are changed on their way from gateway to agent.
    var tamperPercent = 0
    /// Server-to-server envelopes that a dead server did not get.
    var undelivered = 0
    var largestDirectoryMessage = 0

    init(seed: UInt64, servers count: Int = 7, start: Timestamp = World.noon) throws {
        print("world seed \(seed)")
        self.seed = seed
        now = start
        dice = Dice(seed)
        for index in 0..<count { servers.append(try SimulatedServer(index: index, now: now, dice)) }
        for index in servers.indices {
            try handle(index, .map(placementNodes))
            try handle(index, .join([servers[(index + 1) % count].endpoint]))
            arm(index)
        }
        queue.push((now.epoch + 1) * 86_400_000, .midnight)
    }

    private var placementNodes: [Placement.Node] {
        servers.map {
            Placement.Node(id: $0.nodeID, cluster: $0.keys.cluster.publicKey, prefix: $0.endpoint.address.prefix)
        }
    }

    /// The same world with another future.
    func fork(_ seed: UInt64) -> World {
        var copy = self
        copy.dice = Dice(seed)
        return copy
    }

    mutating func random(_ bound: Int) -> Int { dice.entropy.below(bound) }

    mutating func schedule(_ delay: Int, _ action: Action) { queue.push(now.milliseconds + UInt64(delay), action) }

    // MARK: Time

    /// Lets time pass until `isDone`; false when that did not come in time.
    @discardableResult
    mutating func run(seconds: Int, until isDone: (World) throws -> Bool = { _ in false }) throws -> Bool {
        let end = now.milliseconds + UInt64(seconds) * 1000
        if try isDone(self) { return true }
        while let first = queue.first, first <= end {
            now.milliseconds = max(now.milliseconds, first)
            guard let action = queue.pop() else { break }
            try perform(action)
            if try isDone(self) { return true }
        }
        now.milliseconds = end
        return false
    }

    private mutating func perform(_ action: Action) throws {
        switch action {
        case .envelope(let bytes, let index): try arrive(bytes, index)
        case .upload(let bytes, let index, let agent, let generation):
            if agents[agent].generation == generation { try arrive(bytes, index) }
        case .journaled(let index, let generation, let tags, let ticket):
            guard servers[index].generation == generation else { return }
            servers[index].journal += tags
            try perform(servers[index].relay.journaled(through: ticket, now: now), index)
        case .wake(let index, let generation, let part, let time):
            guard servers[index].generation == generation else { return }
            try wake(index, part, time)
        case .call(let from, let call, let index, let message): try called(from, call, index, message)
        case .answer(let index, let call, let message):
            guard servers[index].isUp else { return }
            try handle(index, message.map { .answer(call: call, message: $0) } ?? .failed(call: call))
        case .claim(let secret, let index, let agent, let generation):
            guard agents[agent].generation == generation, servers[index].isUp else { return }
            for reply in servers[index].mailboxes.claim(secret, agent: agent) {
                download(reply.id, reply.payload, agent)
            }
        case .reply(let agent, let generation, let id, let payload):
            guard agents[agent].generation == generation else { return }
            try handle(agent: agent, .reply(id: id, payload: payload))
        case .agentWake(let agent, let generation, let time):
            guard agents[agent].generation == generation else { return }
            if agents[agent].armed == time { agents[agent].armed = nil }
            if let due = agents[agent].core?.nextWake, due <= now {
                try handle(agent: agent, .wake)
            } else {
                arm(agent: agent)
            }
        case .connect(let agent, let generation, let gateway, let attempt):
            guard agents[agent].generation == generation else { return }
            try connect(agent, gateway, attempt)
        case .disconnect(let agent, let generation, let gateway):
            guard agents[agent].generation == generation, agents[agent].links.remove(gateway) != nil else { return }
            try handle(agent: agent, .linkDown(gateway: gateway))
            try syncLinks(agent)
        case .startAgent(let agent): try start(agent: agent)
        case .startServer(let index): try restart(index)
        case .midnight:
            queue.push(now.milliseconds + 86_400_000, .midnight)
            for index in servers.indices { try servers[index].roll(now) }
            for agent in agents.indices where agents[agent].core != nil {
                try handle(agent: agent, .map(MapView(servers: servers.map(\.descriptor))))
            }
        }
    }
}
