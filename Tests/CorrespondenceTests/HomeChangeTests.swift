import Correspondence
import Home
import Primitives
import Records
import Testing
import Wire

/// Two homes, and moving from one to another.
@Suite struct HomeChangeTests {
    /// Agent 1 is registered at server 1 and has a second home at server 2.
    static func twoHomes(_ seed: UInt64) throws -> World {
        var world = try DeliveryTests.pair(seed, HomeChangeTests.calm)
        try world.addHome(1, 2)
        #expect(try world.run(seconds: 60) { $0.agents[1].registered.count == 2 }, "\(world.agents[1].failed)")
        return world
    }

    static func accounts(_ world: World, at index: Int) throws -> [Bytes16] {
        try HomeCore.accounts(world.servers[index].store).map(\.account)
    }

    static func stages(_ world: World) -> [HomeReport.Stage] { world.agents[1].core?.homes.map(\.stage) ?? [] }

    @Test("a record names two homes, whose accounts have nothing in common")
    func record() throws {
        var world = try HomeChangeTests.twoHomes(70)
        try world.resolve(0, world.agents[1].id)
        #expect(try world.run(seconds: 30) { !$0.agents[0].resolved.isEmpty })
        let homes = try #require(world.agents[0].resolved.last?.body.homes)
        #expect(homes.map(\.node) == [world.servers[1].nodeID, world.servers[2].nodeID])
        #expect(try [homes[0].account] == HomeChangeTests.accounts(world, at: 1))
        #expect(try [homes[1].account] == HomeChangeTests.accounts(world, at: 2))
        #expect(homes[0].account != homes[1].account)
        // Neither home is a gateway of its user.
        let gateways = try #require(world.agents[1].core?.wantedGateways)
        #expect(!gateways.contains(world.servers[1].nodeID) && !gateways.contains(world.servers[2].nodeID))
    }

    @Test("a message goes to the first home, and to the second when the first is dead")
    func failOver() throws {
        var world = try HomeChangeTests.twoHomes(71)
        try world.send(0, to: 1, "first")
        #expect(try world.run(seconds: 60) { $0.agents[0].delivered.count == 1 })
        #expect(world.servers[1].home.counters.accepted == 1 && world.servers[2].home.counters.accepted == 0)
        world.kill(1)
        for index in 0..<3 { try world.send(0, to: 1, "while it is dead \(index)") }
        #expect(try world.run(seconds: 120) { $0.agents[0].delivered.count == 4 })
        #expect(world.servers[2].home.counters.accepted == 3)
        try world.restart(1)
        try world.run(seconds: 30)
        #expect(try world.agents[1].inbox().count == 4)
    }

    @Test("a message that both homes have is shown once")
    func shownOnce() throws {
        var world = try HomeChangeTests.twoHomes(78)
        world.kill(agent: 1)
        try world.send(0, to: 1, "twice")
        // The first home dies between its disk and the sender's eyes.
        #expect(try world.run(seconds: 30) { $0.servers[1].home.counters.accepted == 1 })
        world.kill(1)
        world.lossPercent = 100
        try world.run(seconds: 3)
        world.lossPercent = 0
        #expect(world.agents[0].accepted.isEmpty)
        #expect(try world.run(seconds: 60) { $0.servers[2].home.counters.accepted == 1 })
        try world.restart(1)
        try world.start(agent: 1)
        #expect(try world.run(seconds: 60) { $0.agents[0].delivered.count == 1 })
        let isCollected = try world.run(seconds: 60) { world in
            try (1...2).allSatisfy { try HomeCore.accounts(world.servers[$0].store).allSatisfy { $0.items == 0 } }
        }
        #expect(isCollected)
        #expect(try world.agents[1].inbox() == [Array("twice".utf8)])
        #expect(world.agents[1].core?.counters.duplicates == 1)
    }

    @Test("messages to two homes arrive once over a network that loses and repeats")
    func lossAndReplay() throws {
        var world = try HomeChangeTests.twoHomes(72)
        world.lossPercent = 12
        world.duplicatePercent = 20
        for index in 0..<6 { try world.send(0, to: 1, "message \(index)") }
        #expect(try world.run(seconds: 300) { $0.agents[0].delivered.count == 6 })
        world.lossPercent = 0
        try world.run(seconds: 20)
        #expect(try world.agents[1].inbox().count == 6)
    }

    @Test("a second home that has no room is passed over, and a third is refused")
    func limits() throws {
        var world = try HomeChangeTests.twoHomes(73)
        let third = try world.addHome(1, 3)
        #expect(world.agents[1].failed[third] == .tooManyHomes(limit: 2))
        let elsewhere = try world.register(1, at: 4)
        #expect(world.agents[1].failed[elsewhere] == .registeredElsewhere)
        world.servers[1].home.acceptsWrites = false
        try world.send(0, to: 1, "go on")
        #expect(try world.run(seconds: 60) { $0.agents[0].delivered.count == 1 })
        #expect(world.servers[1].home.counters.full > 0)
    }

    /// The power is out until every record that named the old home has expired.
    static func outlast(_ world: inout World) throws {
        for agent in 0..<2 { world.kill(agent: agent) }
        for index in world.servers.indices { world.kill(index) }
        try world.run(seconds: 32 * 3600)
        for index in world.servers.indices { try world.restart(index) }
        for agent in 0..<2 { try world.start(agent: agent) }
    }

    /// Fewer envelopes make a cheaper world.
    static var calm: AgentConfiguration {
        var configuration = AgentConfiguration()
        configuration.rate = 5
        return configuration
    }

    @Test(
        "a user moves; who has the old record still reaches him; the old account is closed when nobody can know of it")
    func move() throws {
        var world = try DeliveryTests.pair(74)
        try world.send(0, to: 1, "before")
        #expect(try world.run(seconds: 60) { $0.agents[0].delivered.count == 1 })
        try world.move(1, to: 3)
        #expect(try world.run(seconds: 60) { $0.agents[1].registered.count == 2 })
        #expect(try world.run(seconds: 60) { HomeChangeTests.stages($0) == [.active, .leaving] })
        // The sender's record is a few seconds old and names the old home only.
        try world.send(0, to: 1, "to the old home")
        #expect(try world.run(seconds: 60) { $0.agents[0].delivered.count == 2 })
        #expect(world.servers[1].home.counters.accepted == 2)
        try world.removeHome(1, 3)
        #expect(world.agents[1].failed.values.contains(.lastHome))
        try world.send(1, to: 0, "from the new home")
        #expect(try world.run(seconds: 60) { $0.agents[1].delivered.count == 1 })

        world.kill(agent: 1)
        try world.send(0, to: 1, "waits at the old home")
        #expect(try world.run(seconds: 60) { $0.agents[0].accepted.count == 3 })
        try HomeChangeTests.outlast(&world)
        #expect(try world.run(seconds: 240) { $0.agents[1].closed.count == 1 })
        #expect(try HomeChangeTests.accounts(world, at: 1).isEmpty)
        #expect(try HomeChangeTests.accounts(world, at: 3).count == 1)
        #expect(HomeChangeTests.stages(world) == [.active])
        try world.send(0, to: 1, "after")
        #expect(try world.run(seconds: 120) { $0.agents[0].delivered.count == 4 })
        #expect(
            try world.agents[1].inbox().map { String(decoding: $0, as: UTF8.self) } == [
                "before", "to the old home", "waits at the old home", "after",
            ])
    }

    @Test("no message is lost or doubled by a move, whoever crashes when", arguments: UInt64(0)..<4)
    func crashes(_ number: UInt64) throws {
        let seed = 80 + number
        var world = try DeliveryTests.pair(seed, HomeChangeTests.calm)
        world.lossPercent = 5
        world.duplicatePercent = 10
        try world.send(0, to: 1, "0")
        try world.run(seconds: 3)
        try world.move(1, to: 3)
        for index in 1..<8 {
            let victim = world.random(2)
            let moment: SimulatedAgent.Kill.Moment = world.random(2) == 0 ? .beforeCommit : .afterCommit
            world.agents[victim].kill = .init(
                handle: world.agents[victim].handles + 1 + world.random(60), moment: moment)
            let server = [1, 3, 1 + world.random(6)][world.random(3)]
            if world.random(2) == 0, world.servers[server].isUp {
                world.kill(server)
                world.schedule(1000 + world.random(15_000), .startServer(server))
            }
            try world.run(seconds: 1 + world.random(6))
            if world.agents[0].core == nil { try world.run(seconds: 2) }
            world.agents[0].kill = nil
            try world.send(0, to: 1, "\(index)")
        }
        world.agents[1].kill = nil
        world.lossPercent = 0
        try world.run(seconds: 20)
        let isDone = try world.run(seconds: 900) { world in
            try world.agents[0].outbox().allSatisfy { $0.state == .delivered }
                && [[.active], [.active, .leaving]].contains(HomeChangeTests.stages(world))
        }
        let states = try world.agents[0].outbox().map(\.state)
        #expect(isDone, "seed \(seed): \(states), \(HomeChangeTests.stages(world))")
        let inbox = try world.agents[1].inbox().map { String(decoding: $0, as: UTF8.self) }
        #expect(inbox.sorted() == (0..<8).map { "\($0)" }, "seed \(seed)")
        #expect(world.agents[1].core?.home == world.servers[3].nodeID, "seed \(seed)")
        // Until the record that names the new home alone is out, too.
        try world.run(seconds: 120)
        try HomeChangeTests.outlast(&world)
        #expect(try world.run(seconds: 300) { HomeChangeTests.stages($0) == [.active] }, "seed \(seed)")
        #expect(try HomeChangeTests.accounts(world, at: 1).isEmpty)
        #expect(try world.agents[1].inbox().count == 8)
    }

    @Test("a user moves away from a home that is dead for good, and forgets it when he says so")
    func deadHome() throws {
        var configuration = HomeChangeTests.calm
        configuration.recordLifetime = 30_000
        var world = try DeliveryTests.pair(75, configuration)
        try world.send(0, to: 1, "before")
        #expect(try world.run(seconds: 60) { $0.agents[0].delivered.count == 1 })
        world.kill(1)
        try world.run(seconds: 5)
        try world.move(1, to: 3)
        #expect(try world.run(seconds: 90) { $0.agents[1].registered.count == 2 })
        // The sender's record names the dead home until it is asked for again.
        try world.send(0, to: 1, "found")
        #expect(try world.run(seconds: 150) { $0.agents[0].delivered.count == 2 })
        let request = try world.removeHome(1, 1, discards: true)
        #expect(try world.run(seconds: 200) { $0.agents[1].removed == [request] && $0.agents[1].closed.count == 1 })
        #expect(HomeChangeTests.stages(world) == [.active])
    }

    @Test("a move to a home that does not answer fails, and nothing has changed")
    func unreachable() throws {
        var world = try DeliveryTests.pair(76)
        world.kill(3)
        let request = try world.move(1, to: 3)
        #expect(try world.run(seconds: 90) { $0.agents[1].failed[request] == .homeUnreachable })
        #expect(HomeChangeTests.stages(world) == [.active])
        try world.send(0, to: 1, "still here")
        #expect(try world.run(seconds: 60) { $0.agents[0].delivered.count == 1 })
    }

    @Test("who comes back to a home that he has left gets another account there")
    func back() throws {
        var world = try HomeChangeTests.twoHomes(77)
        let before = try HomeChangeTests.accounts(world, at: 2)
        try world.removeHome(1, 2, discards: true)
        #expect(try world.run(seconds: 60) { $0.agents[1].closed.count == 1 })
        try world.addHome(1, 2)
        #expect(try world.run(seconds: 60) { $0.agents[1].registered.count == 3 })
        let after = try HomeChangeTests.accounts(world, at: 2)
        #expect(after.count == 1 && after != before)
    }
}
