import Testing

@testable import Correspondence
@testable import Directory

/// How an agent's record comes to holders that want work for it.
@Suite struct PublicationTests {
    /// - Parameter requests: the highest request that the first servers know.
    @Test(
        "an agent registers where all holders demand puzzles: with challenges, of earlier versions, and of both",
        arguments: [(old: 0, requests: 10), (7, 9), (4, 9), (3, 6)] as [(old: Int, requests: UInt8)])
    func puzzles(old: Int, requests: UInt8) throws {
        var world = try World(seed: 61)
        for index in world.servers.indices {
            world.servers[index].directory.configuration.freePuts = 1
            if index < old { world.servers[index].directory.configuration.highestRequest = requests }
        }
        let agent = try world.addAgent(AgentConfiguration())
        try world.register(agent, at: 0)
        #expect(try world.run(seconds: 60) { $0.servers.allSatisfy { $0.directory.counters.stored == 1 } })
        #expect(world.agents[agent].core?.counters.malformedAnswers == 0)
        // Holders hand the record to each other, so not all of them wait for the agent's solution.
        let counters = world.servers.map(\.directory.counters)
        let accepted = counters.map(\.puzzlesAccepted).reduce(0, +)
        let unchallenged = counters.map(\.puzzlesUnchallenged).reduce(0, +)
        #expect((unchallenged > 0) == (old > 0 && requests >= DirectoryMessage.solvedPutKind))
        #expect((accepted > unchallenged) == (old < world.servers.count))
        for server in counters.prefix(old) where requests < DirectoryMessage.solvedPutKind {
            #expect(server.puzzlesDemanded == 0)
        }
    }
}
