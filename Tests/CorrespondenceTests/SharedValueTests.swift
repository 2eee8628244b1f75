import Primitives
import Records
import Storage
import Testing

@testable import Correspondence
@testable import Directory

/// What agents learn of the shared random value.
@Suite struct SharedValueTests {
    @Test("an agent learns the value from the servers, and tells its map; so does a restart")
    func learning() throws {
        var world = try World(seed: 60)
        let epoch = world.now.epoch
        let value = BLAKE2b.h(Domain("test/shared"), [7])
        for index in world.servers.indices {
            try SharedRandomStore.put(.value(value), epoch, &world.servers[index].store)
            world.kill(index)
            try world.restart(index)
            #expect(world.servers[index].directory.recentValues(at: world.now).map(\.value) == [value])
        }
        let agent = try world.addAgent(AgentConfiguration())
        try world.register(agent, at: 0)
        #expect(try world.run(seconds: 120) { $0.agents[agent].sharedValues == [epoch: value] })
        #expect(world.agents[agent].core?.sharedValues == [epoch: value])
        let again = try AgentCore(
            identity: try #require(world.agents[agent].core).identity, configuration: AgentConfiguration(),
            now: world.now,
            store: &world.agents[agent].store)
        #expect(again.sharedValues == [epoch: value])
    }
}
