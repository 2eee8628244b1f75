import Correspondence
import Storage
import Testing

@testable import Simulator

@Suite("A world of all cores")
struct ScenarioTests {
    private static func scenario() -> Scenario {
        var scenario = Scenario(name: "test", servers: 8, agents: 3)
        scenario.messages = 6
        scenario.minutes = 3
        scenario.lossPercent = 10
        scenario.duplicatePercent = 20
        scenario.kills = 4
        scenario.outages = 1
        scenario.partitions = 1
        return scenario
    }

    @Test("does the same again from the same seed to the byte, and something else from another")
    func reproducible() throws {
        let scenario = ScenarioTests.scenario()
        let first = try ScenarioRun(scenario, seed: 5).run()
        let second = try ScenarioRun(scenario, seed: 5).run()
        let other = try ScenarioRun(scenario, seed: 6).run()
        #expect(first.digest == second.digest)
        #expect(first.steps == second.steps)
        #expect(first.steps > 1000)
        #expect(first.digest != other.digest)
    }

    @Test("tells every step when it is traced, and is not changed by that")
    func traced() throws {
        let scenario = Scenario(name: "test")
        var lines: [String] = []
        let traced = try ScenarioRun(scenario, seed: 1, trace: { lines.append($0) }).run()
        #expect(lines.count > 100)
        #expect(lines.count <= traced.steps)
        #expect(traced.digest == (try ScenarioRun(scenario, seed: 1).run()).digest)
    }

    @Test("loses, doubles and repeats nothing, whatever goes wrong", arguments: 1...3)
    func swarm(_ seed: UInt64) throws {
        let report = try ScenarioRun(.drawn(seed: seed), seed: seed).run()
        #expect(report.violations.isEmpty, "hulda simulate swarm --seed \(seed) --trials 1 --trace")
        #expect(report.sent > 0)
        #expect(report.delivered == report.sent)
        #expect(report.checks > 1000)
    }

    @Test("notices a relay that forgets its replay tags in a restart")
    func forgottenTags() throws {
        var scenario = ScenarioTests.scenario()
        scenario.duplicatePercent = 100
        scenario.lossPercent = 0
        scenario.messages = 12
        var run = ScenarioRun(scenario, seed: 7)
        run.sabotage = { world in
            for index in world.servers.indices { world.servers[index].restoresTags = false }
        }
        // Every server is killed and comes back within the time in which late duplicates arrive.
        scenario.outages = 20
        #expect(try run.run().violations.contains { $0.contains("a second time") })
    }

    @Test("notices a home that loses what it has acknowledged")
    func lostStores() throws {
        var scenario = Scenario(name: "test", servers: 8, agents: 3)
        scenario.messages = 10
        scenario.minutes = 3
        scenario.healing = 10
        scenario.kills = 12
        var run = ScenarioRun(scenario, seed: 8)
        run.sabotage = { world in
            for index in world.servers.indices { world.servers[index].losesCommits = true }
        }
        #expect(try !run.run().violations.isEmpty)
    }
}

@Suite("A store that fails")
struct FaultyStoreTests {
    private let table = Table("test")

    @Test("undoes what was not committed, in whatever order it was written")
    func rollBack() throws {
        var store = FaultyStore()
        try store.put(table, [1], [1])
        try store.put(table, [2], [2])
        store.commit()
        try store.put(table, [1], [9])
        try store.delete(table, [2])
        try store.put(table, [1], [8])
        try store.put(table, [3], [3])
        try store.delete(table, [1])
        try store.rollBack()
        #expect(try store.get(table, [1]) == [1])
        #expect(try store.get(table, [2]) == [2])
        #expect(try store.get(table, [3]) == nil)
        #expect(try store.count(table) == 2)
    }

    @Test("has no space when told so, and still can undo")
    func full() throws {
        var store = FaultyStore()
        try store.put(table, [1], [1])
        store.commit()
        store.writesLeft = 1
        try store.put(table, [1], [2])
        #expect(throws: StorageError.full) { try store.put(table, [2], [2]) }
        store.isFull = true
        try store.rollBack()
        #expect(try store.get(table, [1]) == [1])
        #expect(try store.count(table) == 1)
    }
}
