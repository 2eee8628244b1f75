import Primitives
import Records
import Storage
import Testing

@testable import Correspondence
@testable import Directory

/// What agents learn of the shared random value.
@Suite struct SharedValueTests {
    @Test(
        "an agent learns the value from the servers, and tells its map; so does a restart, and beside servers of an earlier version",
        arguments: [0, 3])
    func learning(_ old: Int) throws {
        var world = try World(seed: 60)
        let epoch = world.now.epoch
        let value = BLAKE2b.h(Domain("test/shared"), [7])
        for index in world.servers.indices {
            try SharedRandomStore.put(.value(value), epoch, &world.servers[index].store)
            world.kill(index)
            try world.restart(index)
            // An earlier version does not know the question, and says so.
            if index < old {
                world.servers[index].directory.configuration.highestRequest = DirectoryMessage.firstVersion
            }
            #expect(world.servers[index].directory.recentValues(at: world.now).map(\.value) == [value])
        }
        let agent = try world.addAgent(AgentConfiguration())
        try world.register(agent, at: 0)
        #expect(try world.run(seconds: 120) { $0.agents[agent].sharedValues == [epoch: value] })
        #expect(world.agents[agent].core?.sharedValues == [epoch: value])
        #expect(world.agents[agent].core?.counters.malformedAnswers == 0)
        let again = try AgentCore(
            identity: try #require(world.agents[agent].core).identity, configuration: AgentConfiguration(),
            now: world.now,
            store: &world.agents[agent].store)
        #expect(again.sharedValues == [epoch: value])
    }
}
