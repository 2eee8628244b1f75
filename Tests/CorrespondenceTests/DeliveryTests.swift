import Correspondence
import Primitives
import Records
import Testing
import Wire

@Suite struct DeliveryTests {
    /// Two users, registered in different clusters; gateways may be anywhere.
    static func pair(_ seed: UInt64, _ configuration: AgentConfiguration = AgentConfiguration()) throws -> World {
        var world = try World(seed: seed)
        for home in 0..<2 {
            let agent = try world.addAgent(configuration)
            try world.register(agent, at: home)
        }
        let isRegistered = try world.run(seconds: 60) { $0.agents.allSatisfy { $0.registered.count == 1 } }
        #expect(isRegistered, "\(world.agents.map(\.failed))")
        return world
    }

    @Test("two users of different clusters register, resolve each other, and a message and its receipt arrive once")
    func oneMessage() throws {
        var world = try DeliveryTests.pair(1)
        #expect(world.agents[0].registered[0].holders >= 4)
        try world.resolve(0, world.agents[1].id)
        #expect(try world.run(seconds: 30) { !$0.agents[0].resolved.isEmpty })
        #expect(world.agents[0].resolved[0].body.home == world.servers[1].nodeID)
        let request = try world.send(0, to: 1, "good morning")
        let messageID = try #require(world.agents[0].queued[request])
        #expect(try world.run(seconds: 60) { $0.agents[0].delivered == [messageID] })
        #expect(world.agents[0].accepted == [messageID])
        try world.run(seconds: 120)
        #expect(world.agents[1].received.map(\.body) == [Array("good morning".utf8)])
        #expect(world.agents[1].received.first?.sender == world.agents[0].id)
        #expect(try world.agents[1].inbox().count == 1)
        #expect(world.agents[0].delivered == [messageID])
        #expect(try world.agents[0].outbox().map(\.state) == [.delivered])
        #expect(world.largestDirectoryMessage <= 1086)
        for agent in world.agents {
            let counters = try #require(agent.core?.counters)
            #expect(counters.unbuildable == 0 && counters.malformedAnswers == 0 && counters.forgedItems == 0)
            #expect(counters.queueOverflow == 0)
        }
        #expect(world.servers.allSatisfy { $0.unopened == 0 })
    }
}
