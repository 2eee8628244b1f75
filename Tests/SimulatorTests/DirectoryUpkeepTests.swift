import Testing

@testable import Simulator

/// The experiments in which servers talk to each other, small.
struct DirectoryUpkeepTests {
    typealias Retrieval = DirectoryRetrievalTests

    @Test("after half of the servers died, holders bring records back to twenty copies by themselves")
    func repair() throws {
        let rows = try Retrieval.run("directory-repair", nodes: 60, trials: 30)
        #expect(try Retrieval.share(rows, "20 copies again within 15 minutes") == Proportion(successes: 30, trials: 30))
        #expect(try Retrieval.number(rows, "records without any copy") == 0)
    }

    @Test("servers that nobody asks for anything speak to another once in two seconds at most, on the mean")
    func quiet() throws {
        let world = try DirectoryWorld(nodes: 150, seed: 8)
        world.drawTables()
        for index in world.nodes.indices { world.fillTable(of: index) }
        for index in world.nodes.indices { world.schedule(index) }
        try world.run(milliseconds: 200_000)
        #expect(world.calls > 150 * 200 / 20)
        #expect(world.calls < 150 * 200 / 2, "\(world.calls)")
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
        var hidden = 0
        for _ in 0..<4 {
            world.strike(liars: 0.98, conduct: [.negative], dead: 0)
            for user in world.users {
                let isKnown = world.nodes.contains {
                    $0.conduct == .honest && CopyLedger.held(user.record, at: $0) == user.record
                }
                // With so few honest servers all of them may be holders.
                guard let search = try DirectoryExperiments.searches(world, [user]).first, !isKnown else { continue }
                hidden += 1
                #expect(search.milliseconds == nil)
            }
        }
        #expect(hidden > 0)
        world.strike(liars: 1, conduct: [.negative], dead: 0)
        #expect(try DirectoryExperiments.searches(world, world.users).isEmpty)
    }

    @Test("servers that no cluster endorses store and serve nothing")
    func sybil() throws {
        let rows = try Retrieval.run("directory-sybil", nodes: 40, trials: 15)
        #expect(try Retrieval.share(rows, "strangers that store any record").successes == 0)
        #expect(try Retrieval.share(rows, "strangers that the map admits") == Proportion(successes: 0, trials: 15))
        #expect(try Retrieval.number(rows, "the network\u{2019}s own servers that the map admits") == 40)
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

    @Test("identities beside a key do not block searches without a map, and are noticed")
    func eclipseSearches() throws {
        let rows = try Retrieval.run("directory-eclipse-search", nodes: 200, trials: 20)
        for attack in ["active eclipse, 45 strangers next to the key", "region eclipse, 45 strangers next to the key"] {
            #expect(try Retrieval.share(rows, "\(attack): searches blocked").value <= 0.05)
            #expect(try Retrieval.share(rows, "\(attack): keys for which a server raised an alarm").value >= 0.75)
        }
        let gatherings = try Retrieval.share(
            rows, "the same with as many servers in gatherings of 9: searches blocked")
        #expect(gatherings.trials == 20 && gatherings.value <= 0.05)
        #expect(try Retrieval.share(rows, "nobody attacks: searches that raised an alarm").successes == 0)
        #expect(try Retrieval.share(rows, "nobody attacks: keys for which a server raised an alarm").successes == 0)
    }

    @Test("while nobody attacks no server raises an alarm; when half of the map is gone at once each one does")
    func quietDay() throws {
        let network = try QuietNetwork(nodes: 60, seed: 1, spare: 24)
        for hour in 0..<2 { try network.pass(hour: hour) }
        #expect(network.world.alarms.isEmpty, "\(network.world.alarms)")
        // Servers restarted and were away meanwhile, and the map changed.
        let hours = Double(network.serverMilliseconds) / 3_600_000
        #expect(hours > 115 && hours < 120, "\(hours)")
        #expect(network.restarts > 0 && network.changes >= 4)
        #expect(network.world.nodes.contains { $0.core.counters.searches > 6 })
        let up = network.listed.count { network.world.nodes[$0].isUp }
        try network.tell(Array(network.listed.prefix(30)))
        var tally = QuietTally()
        tally.add(network)
        #expect(tally.days.successes >= up - 3 && tally.days.successes <= up, "\(tally.days.successes) of \(up)")
    }

    @Test("a drawn table has every bucket as full as it can be, and the same again for the same server")
    func drawnTables() throws {
        let world = try DirectoryExperiments.drawn(400, 9)
        let tables = try #require(world.tables).listed
        for (index, node) in world.nodes.enumerated() {
            var first = tables.entropy(of: index)
            var again = tables.entropy(of: index)
            let contacts = tables.contacts(of: node.nodeID, &first)
            #expect(contacts == tables.contacts(of: node.nodeID, &again))
            #expect(Set(contacts).count == contacts.count && !contacts.contains(index))
            var buckets: [Int: Int] = [:]
            for other in world.nodes.indices where other != index {
                buckets[bucket(node, world.nodes[other]), default: 0] += 1
            }
            var drawn: [Int: Int] = [:]
            for other in contacts { drawn[bucket(node, world.nodes[other]), default: 0] += 1 }
            #expect(drawn == buckets.mapValues { min($0, 20) })
        }
    }

    private func bucket(_ left: SimulatedDirectory, _ right: SimulatedDirectory) -> Int {
        let first = zip(left.nodeID.bytes, right.nodeID.bytes).enumerated().first { $0.element.0 != $0.element.1 }
        return first.map { $0.offset * 8 + ($0.element.0 ^ $0.element.1).leadingZeroBitCount } ?? 256
    }

    @Test(
        "a quarter of an hour of everything: records are found, copies stay, nobody alarms, and one seed gives it again"
    )
    func traffic() throws {
        func rows() throws -> [ResultRow] { try DirectoryExperiments.traffic(60, 4, 30) { _ in } }
        let first = try rows()
        #expect(try first == rows())
        let named = Dictionary(first.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
        #expect(
            try Retrieval.share(named, "lookups that found the current record") == Proportion(successes: 60, trials: 60)
        )
        #expect(try Retrieval.number(named, "records without a copy at the end") == 0)
        #expect(try Retrieval.number(named, "servers that stopped and came back") > 0)
        #expect(
            first.compactMap(\.virtualSeconds).allSatisfy { $0 > 900 } && first.contains { $0.virtualSeconds != nil })
    }

    @Test("the ledger of copies agrees with a look at every store, and notices the loss of a record")
    func ledger() throws {
        let world = try DirectoryWorld(nodes: 60, seed: 6)
        try world.addUsers(10)
        world.ledger = CopyLedger(world)
        #expect(world.ledger?.counts == [Int](repeating: 20, count: 10))
        world.startAll()
        for index in 0..<25 { try world.turn(index, keepsDisk: false) }
        try world.run(milliseconds: 200_000)
        try world.refresh(3)
        world.ledger?.recount(3, in: world)
        for index in 0..<25 { try world.turn(index, keepsDisk: false) }
        try world.run(milliseconds: 300_000)
        let copies = world.copies(of: Set(0..<10))
        #expect(world.ledger?.counts == (0..<10).map { copies[$0] ?? 0 })
        #expect(world.ledger?.lost.isEmpty == true && (world.ledger?.fewest ?? 99) < 20)
        // Nobody stopped later than the first minutes.
        #expect(world.ledger?.fewestLater == Int.max)
        for index in 0..<60 where world.nodes[index].isUp { try world.turn(index, keepsDisk: false) }
        #expect(world.ledger?.lost.count == 10 && world.ledger?.fewest == 0)
        #expect(world.ledger?.fewestLater == 0)
    }
}
