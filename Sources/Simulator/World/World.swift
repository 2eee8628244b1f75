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
        case mapFrame(MapLink, to: Int, generations: [Int], [UInt8])
        case mapLink(MapLink)
        case mapCheck(Int, generation: Int)
    }

    /// Milliseconds before the start in which maps become equal.
    private static let warmUp: Int64 = 5000

    let seed: UInt64
    var dice: Dice
    var now: Timestamp
    var servers: [SimulatedServer] = []
    var agents: [SimulatedAgent] = []
    var queue = VirtualQueue<Action>()
    var nextRequest: UInt64 = 1

    /// Of a hundred envelopes between servers so many are lost, or come a second time soon and a third time late.
    var lossPercent = 0
    var duplicatePercent = 0
    /// Of a hundred replies so many are changed on their way from gateway to agent.
    var tamperPercent = 0
    /// Server-to-server envelopes that a dead server did not get.
    var undelivered = 0
    var largestDirectoryMessage = 0
    var network = Network()
    var watch = InvariantWatch()
    /// A hash over everything that has happened, in order.
    private(set) var digest = Bytes32()
    private(set) var effects = 0
    /// Is told every step as a line, if set.
    var trace: ((String) -> Void)?

    init(seed: UInt64, servers count: Int = 7, start: Timestamp = World.noon) throws {
        self.seed = seed
        now = start.shifted(by: -World.warmUp)
        dice = Dice(seed)
        let keys = (0..<count).map { _ in ServerKeys(dice) }
        let clusters = keys.map { $0.cluster.publicKey }
        for index in keys.indices {
            let peers = [1, 2, 3, count - 3, count - 2, count - 1].map { clusters[(index + max(0, $0)) % count] }
            servers.append(
                try SimulatedServer(
                    index: index, keys: keys[index], roots: Set(clusters.prefix(2)),
                    peers: peers.filter { $0 != clusters[index] }, now: now, dice))
        }
        for index in servers.indices { try announce(index) }
        for link in mapLinks { try open(link) }
        // The maps are equal before the world begins, as those of a network that has run for long.
        try run(seconds: Int(World.warmUp / 1000))
        for index in servers.indices {
            try handle(index, .join([servers[(index + 1) % count].endpoint]))
            arm(index)
        }
        queue.push(.midnight, due: (now.epoch + 1) * 86_400_000)
    }

    /// The same world with another future.
    func fork(_ seed: UInt64) -> World {
        var copy = self
        copy.dice = Dice(seed)
        return copy
    }

    mutating func random(_ bound: Int) -> Int { dice.entropy.below(bound) }

    mutating func schedule(_ delay: Int, _ action: Action) {
        queue.push(action, due: now.milliseconds + UInt64(max(0, delay)))
    }

    /// Notes a step in the digest and the trace.
    mutating func note(_ what: StaticString, _ who: Int, _ bytes: [UInt8] = []) {
        effects += 1
        var hash = BLAKE2b(outputCount: 32, domain: Domain("simulator/run"))
        hash.update(digest)
        hash.update(now.milliseconds)
        hash.update(UInt64(who))
        hash.update(UnsafeRawBufferPointer(start: what.utf8Start, count: what.utf8CodeUnitCount))
        hash.update(bytes)
        digest = hash.finalize()
        guard let trace else { return }
        let content =
            bytes.isEmpty ? "" : " \(bytes.count) bytes \(BLAKE2b.h(Domain("simulator/run"), bytes).hex.prefix(8))"
        trace("\(now.milliseconds) \(what) \(who)\(content)")
    }

    // MARK: Time

    /// Lets time pass until `isDone`; false when that did not come in time.
    @discardableResult
    mutating func run(seconds: Int, until isDone: (World) throws -> Bool = { _ in false }) throws -> Bool {
        try run(milliseconds: UInt64(max(0, seconds)) * 1000, until: isDone)
    }

    @discardableResult
    mutating func run(milliseconds: UInt64, until isDone: (World) throws -> Bool = { _ in false }) throws -> Bool {
        let end = now.milliseconds + milliseconds
        if try isDone(self) { return true }
        while let first = queue.next, first <= end, let event = queue.pop() {
            now.milliseconds = max(now.milliseconds, event.due)
            try perform(event.element)
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
            watch.journaled(tags.map(\.tag), at: index)
            servers[index].journal += tags
            try perform(servers[index].relay.journaled(through: ticket, now: local(index)), index)
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
            note("reply", agent, payload)
            try handle(agent: agent, .reply(id: id, payload: payload))
        case .agentWake(let agent, let generation, let time):
            guard agents[agent].generation == generation else { return }
            if agents[agent].armed == time { agents[agent].armed = nil }
            if let due = agents[agent].core?.nextWake, due <= local(agent: agent) {
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
            queue.push(.midnight, due: now.milliseconds + 86_400_000)
            for index in servers.indices {
                try servers[index].roll(now)
                if servers[index].isUp { try announce(index) }
            }
        case .mapFrame(let link, let index, let generations, let body):
            guard network.open.contains(link), generations == link.ends.map({ servers[$0].generation }) else { return }
            note("map", index, body)
            try handle(index, .message(link: link.number, body))
        case .mapLink(let link): try open(link)
        case .mapCheck(let agent, let generation):
            guard agents[agent].generation == generation else { return }
            try giveMap(agent)
        }
    }
}
