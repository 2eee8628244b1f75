import Correspondence
import Home
import Primitives
import Records
import Testing
import Wire

/// What agents and homes refuse, and what an observer sees.
@Suite struct HabitTests {
    @Test("a message of 60 kB travels in parts and arrives whole and once")
    func longMessage() throws {
        var world = try DeliveryTests.pair(30)
        let body = world.dice.entropy.array(60_000)
        try world.send(0, to: world.agents[1].id, body)
        #expect(try world.run(seconds: 300) { $0.agents[0].delivered.count == 1 })
        #expect(try world.agents[1].inbox() == [body])
        #expect(world.agents[0].accepted.count == 1)
    }

    @Test("the longest message is taken, one byte more is refused at once")
    func longestMessage() throws {
        var world = try DeliveryTests.pair(31)
        let request = try world.send(0, to: world.agents[1].id, [UInt8](repeating: 7, count: 65_536))
        #expect(world.agents[0].failed[request] == .messageTooLong(limit: 65_535))
        try world.send(0, to: world.agents[1].id, [UInt8](repeating: 7, count: 65_535))
        try world.send(0, to: world.agents[1].id, [])
        #expect(try world.run(seconds: 300) { $0.agents[0].delivered.count == 2 })
        #expect(try Set(world.agents[1].inbox().map(\.count)) == [0, 65_535])
    }

    @Test("an ID that nobody publishes is not found")
    func unknownID() throws {
        var world = try DeliveryTests.pair(32)
        let nobody = NetworkID(key: SigningKey(&world.dice.entropy).publicKey)
        let request = try world.resolve(0, nobody)
        #expect(try world.run(seconds: 60) { $0.agents[0].failed[request] != nil })
        guard case .notFound(let asked, let missing) = world.agents[0].failed[request] else {
            Issue.record("\(String(describing: world.agents[0].failed[request]))")
            return
        }
        #expect(asked == 7)
        #expect(missing >= 4)
        try world.send(0, to: nobody, Array("anybody?".utf8))
        #expect(try world.run(seconds: 60) { !$0.agents[0].unresolved.isEmpty })
        #expect(try world.agents[0].outbox().map(\.state) == [.queued])
    }

    @Test("no answer is told from a negative one")
    func noAnswer() throws {
        var world = try DeliveryTests.pair(33)
        world.lossPercent = 100
        let request = try world.resolve(0, world.agents[1].id)
        #expect(try world.run(seconds: 90) { $0.agents[0].failed[request] != nil })
        #expect(world.agents[0].failed[request] == .noAnswer(asked: 7))
    }

    @Test("an idle agent and one that talks send at the same rate")
    func sameRate() throws {
        let base = try DeliveryTests.pair(34)
        var counts: [Int] = []
        for isTalking in [false, true] {
            var world = base.fork(35)
            for agent in 0..<2 { world.agents[agent].sent = [] }
            for second in 0..<100 {
                if isTalking, second % 5 == 0 { try world.send(0, to: 1, "\(second)") }
                try world.run(seconds: 1)
            }
            counts.append(world.agents[0].sent.count)
            if isTalking { #expect(try world.agents[1].inbox().count >= 15) }
        }
        // A Poisson process of 10/s: 1000 in 100 s with a deviation of 32; four of them is far less than the 20 messages
        // with their parts, lookups and attachments would add.
        for count in counts { #expect(abs(count - 1000) < 127, "\(counts)") }
    }

    @Test("an idle agent does not spin")
    func noSpinning() throws {
        var world = try DeliveryTests.pair(36)
        let before = world.agents[0].handles
        try world.run(seconds: 60)
        // Ten ticks a second, and replies to half of them.
        #expect(world.agents[0].handles - before < 60 * 25)
    }

    @Test("an agent that cannot resolve a recipient neither spins nor gives up")
    func unresolvableDoesNotSpin() throws {
        var world = try DeliveryTests.pair(37)
        try world.send(0, to: 1, "accepted first")
        #expect(try world.run(seconds: 60) { $0.agents[0].accepted.count == 1 })
        let nobody = NetworkID(key: SigningKey(&world.dice.entropy).publicKey)
        try world.send(0, to: nobody, Array("?".utf8))
        let before = world.agents[0].handles
        try world.run(seconds: 180)
        #expect((2...6).contains(world.agents[0].unresolved.count), "\(world.agents[0].unresolved.count)")
        #expect(world.agents[0].handles - before < 180 * 25)
    }

    @Test("a message that no receipt came for is not looked up without end when its recipient is gone")
    func receiptRetryDoesNotSpin() throws {
        var configuration = AgentConfiguration()
        configuration.receiptRetry = 60_000
        configuration.recordLifetime = 30_000
        var world = try DeliveryTests.pair(38, configuration)
        world.kill(agent: 1)
        try world.run(seconds: 1)
        try world.send(0, to: 1, "accepted, never fetched")
        #expect(try world.run(seconds: 60) { $0.agents[0].accepted.count == 1 })
        // The record is gone from every holder.
        for index in world.servers.indices { world.servers[index].store = .init() }
        let misses = { (world: World) in world.servers.reduce(0) { $0 + $1.directory.counters.misses } }
        let before = misses(world)
        try world.run(seconds: 180)
        // Three attempts, each of seven holders and two fallback searches, which ask all others.
        #expect((1...3 * (7 + 2 * 7)).contains(misses(world) - before), "\(misses(world) - before)")
    }

    @Test("an agent whose home has forgotten the account registers again")
    func forgottenAccount() throws {
        var world = try DeliveryTests.pair(39)
        world.servers[1].store = .init()
        world.kill(1)
        try world.restart(1)
        let isBack = try world.run(seconds: 150) { world in
            try HomeCoreAccounts.count(world.servers[1].store) == 1
        }
        #expect(isBack)
        try world.send(0, to: 1, "welcome back")
        #expect(try world.run(seconds: 240) { $0.agents[0].delivered.count == 1 })
        #expect(try world.agents[1].inbox().count == 1)
    }

    @Test("an agent whose home has forgotten the account registers again with its token, after a restart too")
    func forgottenAccountWithToken() throws {
        var world = try World(seed: 40)
        world.servers[1].homeConfiguration.registrationToken = "sesame"
        world.kill(1)
        try world.restart(1)
        let agent = try world.addAgent()
        try world.register(agent, at: 1, token: "sesame")
        #expect(try world.run(seconds: 60) { $0.agents[0].registered.count == 1 })
        world.servers[1].store = .init()
        world.kill(1)
        // Down until the agent knows, then the agent is killed while it registers.
        try world.restart(1)
        #expect(try world.run(seconds: 150) { $0.servers[1].home.counters.unknownAccount > 0 })
        world.kill(1)
        try world.run(seconds: 5)
        world.kill(agent: 0)
        try world.restart(1)
        try world.start(agent: 0)
        let isBack = try world.run(seconds: 150) { world in
            try HomeCoreAccounts.count(world.servers[1].store) == 1
        }
        #expect(isBack)
    }

    @Test("a wrong registration token is refused and nothing is published")
    func wrongToken() throws {
        var world = try World(seed: 41)
        world.servers[0].homeConfiguration.registrationToken = "sesame"
        world.kill(0)
        try world.restart(0)
        let agent = try world.addAgent()
        let request = try world.register(agent, at: 0, token: "poppy")
        #expect(try world.run(seconds: 60) { $0.agents[0].failed[request] != nil })
        #expect(world.agents[0].failed[request] == .homeRefused(.wrongToken))
        #expect(world.servers[0].home.counters.wrongToken == 1)
        let second = try world.register(agent, at: 0, token: "sesame")
        #expect(try world.run(seconds: 60) { $0.agents[0].registered.count == 1 })
        #expect(world.agents[0].failed[second] == nil)
    }

    @Test("registering at a home that does not answer fails in the end")
    func homeUnreachable() throws {
        var world = try World(seed: 42)
        let agent = try world.addAgent()
        try world.run(seconds: 2)
        world.kill(0)
        let request = try world.register(agent, at: 0)
        #expect(try world.run(seconds: 90) { $0.agents[0].failed[request] != nil })
        #expect(world.agents[0].failed[request] == .homeUnreachable)
    }

    @Test("what a full inbox refuses is sent again later and arrives")
    func fullInbox() throws {
        var world = try DeliveryTests.pair(43)
        world.servers[1].homeConfiguration.inboxItems = 2
        world.kill(1)
        try world.restart(1)
        world.kill(agent: 1)
        for index in 0..<4 { try world.send(0, to: 1, "\(index)") }
        #expect(try world.run(seconds: 60) { $0.agents[0].accepted.count == 2 })
        try world.run(seconds: 20)
        #expect(world.agents[0].accepted.count == 2)
        #expect(world.servers[1].home.counters.full > 0)
        try world.start(agent: 1)
        #expect(try world.run(seconds: 400) { $0.agents[0].delivered.count == 4 })
        #expect(try Set(world.agents[1].inbox()).count == 4)
    }
}
