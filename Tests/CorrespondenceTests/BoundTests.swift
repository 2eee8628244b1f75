import Primitives
import Records
import Testing
import Wire

@testable import Correspondence

/// What an agent keeps of others is bounded.
@Suite struct BoundTests {
    /// The first of four registered agents has these bounds.
    private func world(_ seed: UInt64, _ configuration: AgentConfiguration) throws -> World {
        var world = try World(seed: seed)
        for index in 0..<4 {
            try world.register(
                try world.addAgent(index == 0 ? configuration : AgentConfiguration()), at: index % 2)
        }
        #expect(try world.run(seconds: 60) { $0.agents.allSatisfy { $0.registered.count == 1 } })
        return world
    }

    @Test("of more contacts than are kept the one asked for longest ago gives way, and is written to all the same")
    func contacts() throws {
        var configuration = AgentConfiguration()
        configuration.contactLimit = 2
        var world = try world(120, configuration)
        for other in 1..<4 {
            try world.resolve(0, world.agents[other].id)
            try world.run(seconds: 20)
        }
        let contacts = try #require(world.agents[0].core?.contacts)
        #expect(contacts.count == 2 && contacts[world.agents[1].id] == nil)
        for other in 1..<4 { try world.send(0, to: other, "to \(other)") }
        #expect(try world.run(seconds: 120) { $0.agents[0].delivered.count == 3 })
        #expect(world.agents[0].core?.contacts.count == 2)
    }

    @Test("more lookups than run at a time are refused, and messages that need one wait their turn")
    func lookups() throws {
        var configuration = AgentConfiguration()
        configuration.lookupLimit = 1
        var world = try world(121, configuration)
        let first = try world.resolve(0, world.agents[1].id)
        let second = try world.resolve(0, world.agents[2].id)
        #expect(world.agents[0].failed == [second: .tooManyLookups(limit: 1)])
        for other in 1..<4 { try world.send(0, to: other, "to \(other)") }
        #expect(try world.run(seconds: 300) { $0.agents[0].delivered.count == 3 })
        #expect(world.agents[0].failed[first] == nil)
    }
}
