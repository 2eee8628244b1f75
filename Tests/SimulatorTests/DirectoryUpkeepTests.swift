import Testing

@testable import Simulator

/// The experiments in which servers talk to each other, small.
struct DirectoryUpkeepTests {
    typealias Retrieval = DirectoryRetrievalTests

    @Test("after half of the servers died, holders bring records back to twenty copies by themselves")
    func repair() throws {
        let rows = try Retrieval.run("directory-repair", nodes: 60, trials: 30)
        #expect(try Retrieval.share(rows, "20 copies again within 15 minutes").value >= 0.9)
        #expect(try Retrieval.number(rows, "records without any copy") == 0)
    }

    @Test("copies do not come back while no time passes")
    func noRepairWithoutTime() throws {
        let world = try DirectoryWorld(nodes: 100, seed: 3)
        try world.addUsers(20)
        #expect(world.copies(of: Set(0..<20)).values.allSatisfy { $0 == 20 })
        world.strike(liars: 0, conduct: [.silent], dead: 0.5)
        #expect(world.copies(of: Set(0..<20)).values.allSatisfy { $0 < 20 })
    }

    @Test("searches without a map get past liars, and find nothing when everybody else lies")
    func fallback() throws {
        let world = try DirectoryExperiments.joined(80, 5) { _ in }
        try DirectoryExperiments.publish(world, 5)
        world.strike(liars: 0.3, conduct: [.negative], dead: 0)
        var found = Proportion()
        for user in world.users { found.count(try DirectoryExperiments.search(world, user) != nil) }
        #expect(found.value >= 0.8)
        world.strike(liars: 0.98, conduct: [.negative], dead: 0)
        var hidden = Proportion()
        for user in world.users { hidden.count(try DirectoryExperiments.search(world, user) == nil) }
        #expect(hidden.value >= 0.6)
    }

    @Test("servers that no cluster endorses store and serve nothing")
    func sybil() throws {
        let rows = try Retrieval.run("directory-sybil", nodes: 40, trials: 15)
        #expect(try Retrieval.share(rows, "strangers that store any record").successes == 0)
        #expect(try Retrieval.number(rows, "records served by strangers") == 0)
        #expect(try Retrieval.share(rows, "lookups that found the record").value > 0.99)
    }

    @Test("identities beside a key block next to nothing; beside its places they would")
    func eclipse() throws {
        let rows = try Retrieval.run("directory-eclipse", nodes: 100, trials: 80)
        let active = try Retrieval.share(rows, "active eclipse, 45 admitted Sybils beside the key: lookups blocked")
        #expect(active.value < 0.05)
        let foreseen = try Retrieval.share(
            rows, "the same, if the next shared random value could be foreseen: lookups blocked")
        #expect(foreseen.value > active.value + 0.05)
    }
}
