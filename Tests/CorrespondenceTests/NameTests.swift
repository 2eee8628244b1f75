import Primitives
import Records
import Testing
import Wire

@testable import Correspondence

/// Friendly addresses from end to end.
@Suite struct NameTests {
    static let cheap = Argon2id(operations: 1, memoryKiB: 8)

    static func secret(_ world: World, _ name: String, at index: Int) throws -> NameSecret {
        try NameSecret(name: name, server: world.servers[index].keys.server.publicKey, cost: cheap)
    }

    static func claim(_ world: inout World, _ agent: Int, _ name: String, at index: Int) throws -> UInt64 {
        let request = world.request()
        let secret = try secret(world, name, at: index)
        try world.handle(agent: agent, .claimName(name, secret, request: request))
        return request
    }

    static func resolve(
        _ world: inout World, _ name: String, at index: Int, accepts: Bool = false
    ) throws -> (report: NameReport?, error: AgentError?) {
        let request = world.request()
        let query = NameQuery(
            name: name, cluster: world.servers[index].keys.cluster.publicKey,
            secret: try secret(world, name, at: index), accepts: accepts)
        try world.handle(agent: 0, .resolveName(query, request: request))
        try world.run(seconds: 60) { $0.agents[0].nameReports[request] != nil || $0.agents[0].failed[request] != nil }
        return (world.agents[0].nameReports[request], world.agents[0].failed[request])
    }

    @Test("a name is given once, leads to its owner's ID, over a network that loses, and is found the next day too")
    func name() throws {
        var world = try DeliveryTests.pair(110)
        world.lossPercent = 5
        _ = try NameTests.claim(&world, 1, "bob", at: 1)
        #expect(try world.run(seconds: 60) { $0.agents[1].names == ["bob"] }, "\(world.agents[1].failed)")
        #expect(world.agents[1].core?.ownNames.map(\.name) == ["bob"])
        var found = try NameTests.resolve(&world, "bob", at: 1)
        #expect(found.report?.id == world.agents[1].id && found.report?.isNew == true)
        found = try NameTests.resolve(&world, "bob", at: 1)
        #expect(found.report?.id == world.agents[1].id && found.report?.isNew == false)
        // That there is no such name is believed when enough holders have said so; where some answers are lost, one asks
        // again.
        var isAbsent = false
        for _ in 0..<8 where !isAbsent {
            found = try NameTests.resolve(&world, "bobby", at: 1)
            switch found.error {
            case .notFound: isAbsent = true
            case .noAnswer: continue
            default: break
            }
            #expect(isAbsent, "\(found)")
        }
        #expect(isAbsent)
        // Everybody is away until the records have expired; the owner comes back and publishes both again.
        try HomeChangeTests.outlast(&world)
        try world.run(seconds: 60)
        found = try NameTests.resolve(&world, "bob", at: 1)
        #expect(found.report?.id == world.agents[1].id)
    }

    @Test("a name that somebody else has is refused, and one that its owner gave up is his no more")
    func taken() throws {
        var world = try DeliveryTests.pair(111)
        let third = try world.addAgent()
        try world.register(third, at: 1)
        #expect(try world.run(seconds: 60) { $0.agents[third].registered.count == 1 })
        _ = try NameTests.claim(&world, 1, "bob", at: 1)
        #expect(try world.run(seconds: 60) { $0.agents[1].names == ["bob"] })
        let request = try NameTests.claim(&world, third, "bob", at: 1)
        #expect(try world.run(seconds: 60) { $0.agents[third].failed[request] == .homeRefused(.nameTaken) })
        #expect(world.agents[third].core?.ownNames.isEmpty == true)
        let elsewhere = try NameTests.claim(&world, 1, "bob", at: 4)
        #expect(world.agents[1].failed[elsewhere] == .notYourHome)
        let release = world.request()
        try world.handle(agent: 1, .releaseName("bob", home: world.servers[1].nodeID, request: release))
        #expect(try world.run(seconds: 60) { $0.agents[1].names.isEmpty })
        #expect(world.agents[1].core?.ownNames.isEmpty == true)
    }

    @Test("a name that leads to another ID than the first time is reported, after a restart too, until it is accepted")
    func pins() throws {
        var world = try DeliveryTests.pair(112)
        let third = try world.addAgent()
        try world.register(third, at: 1)
        _ = try NameTests.claim(&world, 1, "bob", at: 1)
        #expect(try world.run(seconds: 60) { $0.agents[1].names == ["bob"] })
        let first = try NameTests.resolve(&world, "bob", at: 1)
        #expect(first.report?.expected == nil)
        // The home gives the name to somebody else: it forgets that it has given it.
        try world.run(seconds: 10)
        world.kill(agent: 1)
        let label = try NameTests.secret(world, "bob", at: 1).label
        try world.servers[1].store.delete(.init("home/names"), label.bytes)
        _ = try NameTests.claim(&world, third, "bob", at: 1)
        #expect(try world.run(seconds: 90) { $0.agents[third].names == ["bob"] }, "\(world.agents[third].failed)")
        try world.run(seconds: 20)
        world.kill(agent: 0)
        try world.start(agent: 0)
        for (accepts, expected) in [(false, world.agents[1].id), (true, nil), (false, nil)] {
            let found = try NameTests.resolve(&world, "bob", at: 1, accepts: accepts)
            #expect(found.report?.id == world.agents[third].id)
            #expect(found.report?.expected == expected)
        }
    }

    @Test("a user who moves keeps his name until the old account is closed; who used it still has the ID then")
    func moved() throws {
        var world = try DeliveryTests.pair(113)
        _ = try NameTests.claim(&world, 1, "bob", at: 1)
        #expect(try world.run(seconds: 60) { $0.agents[1].names == ["bob"] })
        #expect(try NameTests.resolve(&world, "bob", at: 1).report?.isNew == true)
        try world.move(1, to: 4)
        #expect(try world.run(seconds: 90) { $0.agents[1].registered.count == 2 })
        _ = try NameTests.claim(&world, 1, "bob", at: 4)
        #expect(try world.run(seconds: 60) { $0.agents[1].names == ["bob", "bob"] }, "\(world.agents[1].failed)")
        for home in [1, 4] { #expect(try NameTests.resolve(&world, "bob", at: home).report?.id == world.agents[1].id) }
        // Everybody is away until nobody can know of the old home; then it is closed, and the name is nobody's.
        try HomeChangeTests.outlast(&world)
        #expect(try world.run(seconds: 300) { $0.agents[1].core?.homes.count == 1 })
        #expect(world.agents[1].core?.ownNames.map(\.home) == [world.servers[4].nodeID])
        try HomeChangeTests.outlast(&world)
        try world.run(seconds: 60)
        guard case .notFound = try NameTests.resolve(&world, "bob", at: 1).error else {
            Issue.record("the old name is still found")
            return
        }
        let cluster = world.servers[1].keys.cluster.publicKey
        #expect(try AgentCore.rememberedID(of: "bob", at: cluster, world.agents[0].store) == world.agents[1].id)
        #expect(try AgentCore.rememberedID(of: "eve", at: cluster, world.agents[0].store) == nil)
        #expect(try NameTests.resolve(&world, "bob", at: 4).report?.id == world.agents[1].id)
    }

    /// Ten minutes before midnight; both have replaced their keys.
    private func evening(_ seed: UInt64) throws -> World {
        var world = try World(seed: seed, start: Timestamp(seconds: NameTests.midnight - 600))
        for home in 0..<2 { try world.register(try world.addAgent(HomeChangeTests.calm), at: home) }
        #expect(try world.run(seconds: 60) { $0.agents.allSatisfy { $0.registered.count == 1 } })
        for agent in 0..<2 { try world.rotate(agent) }
        #expect(try world.run(seconds: 60) { $0.agents.allSatisfy { $0.serials == [1] } })
        return world
    }

    /// As the program ends a command: when nothing is under way, or after four seconds.
    private static func end(_ world: inout World, _ agent: Int) throws {
        try world.run(seconds: 4) { $0.agents[agent].core?.isIdle == true }
        world.kill(agent: agent)
    }

    /// Lets time pass while nobody is there, until so many seconds after midnight; then the stranger comes.
    private static func pass(_ world: inout World, after midnight: Int) throws {
        for agent in world.agents.indices { world.kill(agent: agent) }
        try world.run(seconds: Int(NameTests.midnight) + midnight - Int(world.now.seconds))
        try world.start(agent: 0)
    }

    /// So many commands of a few seconds each: what one has no time for the next ones do.
    private static func visit(_ world: inout World, times: Int) throws {
        for _ in 0..<times {
            try world.start(agent: 1)
            try world.run(seconds: 3)
            try NameTests.end(&world, 1)
        }
    }

    private static let midnight = (World.noon.epoch + 1) * 86_400

    @Test("a name that is taken late in the evening by an agent that ends at once resolves after midnight")
    func overMidnight() throws {
        var world = try evening(114)
        _ = try NameTests.claim(&world, 1, "bob", at: 1)
        #expect(try world.run(seconds: 60) { $0.agents[1].names == ["bob"] })
        try NameTests.end(&world, 1)
        try NameTests.pass(&world, after: 600)
        #expect(try NameTests.resolve(&world, "bob", at: 1).report?.id == world.agents[1].id)
    }

    @Test("a name's record that a run could not publish is published by the next one, on the next day too")
    func torn() throws {
        var world = try evening(115)
        _ = try NameTests.claim(&world, 1, "bob", at: 1)
        #expect(try world.run(seconds: 60) { $0.agents[1].core?.ownNames.isEmpty == false })
        // The home has given it, and no holder has the record.
        world.kill(agent: 1)
        try world.start(agent: 1)
        try world.run(seconds: 10)
        world.kill(agent: 1)
        #expect(try NameTests.resolve(&world, "bob", at: 1).report?.id == world.agents[1].id)
        try NameTests.pass(&world, after: 3600)
        try NameTests.visit(&world, times: 4)
        #expect(try NameTests.resolve(&world, "bob", at: 1).report?.id == world.agents[1].id)
    }

    @Test("a name that was given up leads nowhere at once, tomorrow too, and its owner can take it again; nobody else")
    func released() throws {
        var world = try evening(116)
        let third = try world.addAgent()
        try world.register(third, at: 1)
        #expect(try world.run(seconds: 60) { $0.agents[third].registered.count == 1 })
        _ = try NameTests.claim(&world, 1, "bob", at: 1)
        #expect(try world.run(seconds: 60) { $0.agents[1].names == ["bob"] })
        try world.run(seconds: 20)
        let release = world.request()
        try world.handle(agent: 1, .releaseName("bob", home: world.servers[1].nodeID, request: release))
        #expect(try world.run(seconds: 60) { $0.agents[1].names.isEmpty })
        guard case .notFound = try NameTests.resolve(&world, "bob", at: 1).error else {
            Issue.record("a name that was given up is found")
            return
        }
        let stolen = try NameTests.claim(&world, third, "bob", at: 1)
        #expect(try world.run(seconds: 60) { $0.agents[third].failed[stolen] == .homeRefused(.nameTaken) })
        try NameTests.pass(&world, after: 60)
        try world.start(agent: 1)
        guard case .notFound = try NameTests.resolve(&world, "bob", at: 1).error else {
            Issue.record("a name that was given up is found the next day")
            return
        }
        _ = try NameTests.claim(&world, 1, "bob", at: 1)
        #expect(try world.run(seconds: 60) { $0.agents[1].names == ["bob"] }, "\(world.agents[1].failed)")
        #expect(try NameTests.resolve(&world, "bob", at: 1).report?.id == world.agents[1].id)
    }

    @Test("giving a name up goes on with the next run when the first one was cut off")
    func tornRelease() throws {
        var world = try evening(117)
        _ = try NameTests.claim(&world, 1, "bob", at: 1)
        #expect(try world.run(seconds: 60) { $0.agents[1].names == ["bob"] })
        let release = world.request()
        try world.handle(agent: 1, .releaseName("bob", home: world.servers[1].nodeID, request: release))
        world.kill(agent: 1)
        try world.start(agent: 1)
        #expect(world.agents[1].core?.ownNames.isEmpty == true)
        try world.run(seconds: 30)
        #expect(world.agents[1].core?.names.all.isEmpty == true)
        guard case .notFound = try NameTests.resolve(&world, "bob", at: 1).error else {
            Issue.record("a name that was given up is found")
            return
        }
    }

    @Test("a user whose agent ended before tomorrow's record was out is found after midnight, if it ran once more")
    func tomorrow() throws {
        var world = try World(seed: 118, start: Timestamp(seconds: NameTests.midnight - 600))
        for home in 0..<2 { try world.register(try world.addAgent(HomeChangeTests.calm), at: home) }
        #expect(try world.run(seconds: 60) { $0.agents[1].registered.count == 1 })
        world.kill(agent: 1)
        try world.run(seconds: 60)
        try NameTests.visit(&world, times: 4)
        try NameTests.pass(&world, after: 600)
        try world.resolve(0, world.agents[1].id)
        #expect(try world.run(seconds: 60) { $0.agents[0].resolved.count == 1 }, "\(world.agents[0].failed)")
    }
}
