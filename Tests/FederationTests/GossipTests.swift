import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Federation

@Suite("Maps that gossip")
struct GossipTests {
    /// Clusters of one server; each peers with the next two and the last two, all trust the first.
    private func ring(_ network: inout MapNetwork, count: Int) throws {
        let ids = (0..<count).map { TestCluster($0).id }
        for node in 0..<count {
            let cluster = TestCluster(node)
            try network.addNode(roots: [ids[0]])
            let endorsed = [1, 2, count - 1, count - 2].map { ids[(node + $0) % count] }.filter { $0 != cluster.id }
            try network.publish(node, cluster.descriptor(endorsing: endorsed).encode())
            try network.publish(node, cluster.server(node).encode())
        }
    }

    @Test("become equal on thirty nodes that join one after another through a single peer")
    func convergence() throws {
        let seed: UInt64 = 60
        print("gossip: seed \(seed)")
        var network = MapNetwork(seed: seed)
        try ring(&network, count: 30)
        for node in 1..<30 {
            try network.connect(node, network.entropy.below(node))
            try network.run(milliseconds: 200)
        }
        try network.run(milliseconds: 20_000)
        let full = network.map(0)
        #expect(full.count == 30)
        for node in 0..<30 {
            #expect(network.map(node) == full)
            #expect(network.cores[node].clusters.count == 30)
            #expect(network.cores[node].counters.forged == 0)
            #expect(network.cores[node].counters.malformed == 0)
        }
        #expect(network.largestFrame <= Limits.envelopeSize)
    }

    @Test("become equal although a third of all frames is lost")
    func loss() throws {
        var network = MapNetwork(seed: 61)
        network.lossPercent = 33
        try ring(&network, count: 12)
        for node in 1..<12 { try network.connect(node, network.entropy.below(node)) }
        try network.run(milliseconds: 300_000)
        for node in 0..<12 { #expect(network.map(node).count == 12) }
    }

    @Test("pass a new sequence on at once, without waiting for the next comparison")
    func push() throws {
        var network = MapNetwork(seed: 62)
        try ring(&network, count: 6)
        for node in 1..<6 { try network.connect(node, node - 1) }
        try network.run(milliseconds: 40_000)
        for node in 0..<6 { #expect(network.map(node).count == 6) }
        let server = try TestCluster(0).server(0, sequence: 2)
        try network.publish(0, server.encode())
        // Five hops of at most 100 ms, and steps of 50 ms; the interval is 5 s.
        try network.run(milliseconds: 1000)
        for node in 0..<6 { #expect(network.map(node)[server.nodeID] == 2) }
    }

    @Test("hold no traffic but one message of cells a link and interval once they are equal")
    func quiet() throws {
        var network = MapNetwork(seed: 63)
        try ring(&network, count: 4)
        for node in 1..<4 { try network.connect(node, node - 1) }
        try network.run(milliseconds: 40_000)
        let before = network.cores.map(\.counters)
        try network.run(milliseconds: 20_000)
        // One side of each link begins; in 20 s there are three to five intervals of 4 to 6 s.
        let frames = (0..<4).reduce(0) { $0 + network.cores[$1].counters.sentFrames - before[$1].sentFrames }
        #expect((9...15).contains(frames))
        for node in 0..<4 { #expect(network.cores[node].counters.learned == before[node].learned) }
    }

    @Test("of version 1 hold no traffic but one summary a link and interval once they are equal")
    func quietBefore() throws {
        var network = MapNetwork(seed: 63)
        network.pinned = MapVersion.first
        try ring(&network, count: 4)
        for node in 1..<4 { try network.connect(node, node - 1) }
        try network.run(milliseconds: 40_000)
        let before = network.cores.map(\.counters.sentBytes)
        try network.run(milliseconds: 20_000)
        for node in 0..<4 {
            let links: UInt64 = node == 0 || node == 3 ? 1 : 2
            let sent = network.cores[node].counters.sentBytes - before[node]
            // A summary is 2,057 bytes; in 20 s there are three to five intervals of 4 to 6 s.
            #expect(sent % (2057 * links) == 0)
            #expect((3...5).contains(sent / (2057 * links)))
        }
    }

    @Test("come back from the store after a restart, without any peer")
    func restart() throws {
        var network = MapNetwork(seed: 64)
        try ring(&network, count: 8)
        for node in 1..<8 { try network.connect(node, 0) }
        try network.run(milliseconds: 20_000)
        let restarted = try MapCore(
            admission: Admission(roots: [TestCluster(0).id]), now: network.now, store: network.stores[5])
        #expect(restarted.servers == network.cores[5].servers)
        #expect(restarted.clusters == network.cores[5].clusters)
        #expect(restarted.servers.count == 8)
        #expect(restarted.admission.admitted == network.cores[5].admission.admitted)
    }

    @Test("leave what expired while they were off, and what is damaged, and clean the store")
    func restartLater() throws {
        var store = MemoryStore()
        let cluster = TestCluster(0)
        let admission = Admission(roots: [cluster.id])
        var first = try MapCore(admission: admission, now: MapNetwork.start, store: store)
        let brief = try cluster.server(1, expiry: MapNetwork.start.seconds + 100)
        let lasting = try cluster.server(2)
        for descriptor in [brief, lasting] {
            _ = try first.publish(descriptor.encode(), now: MapNetwork.start, store: &store)
        }
        try store.put(MapCore.table, [1, 2, 3], [9, 9, 9])
        let later = MapNetwork.start.adding(seconds: 200)
        var second = try MapCore(admission: admission, now: later, store: store)
        #expect(Set(second.servers.keys) == [lasting.nodeID])
        var entropy = Entropy(seed: 1)
        _ = try second.handle(.wake, now: later, entropy: &entropy, store: &store)
        #expect(try store.count(MapCore.table) == 1)
    }

    @Test("lose a descriptor when its time is over, everywhere, and say so")
    func expiry() throws {
        var network = MapNetwork(seed: 65)
        let cluster = TestCluster(0)
        for _ in 0..<3 { try network.addNode(roots: [cluster.id]) }
        for node in 1..<3 { try network.connect(node, node - 1) }
        let brief = try cluster.server(1, expiry: network.now.seconds + 30)
        try network.publish(0, brief.encode())
        try network.run(milliseconds: 5000)
        for node in 0..<3 { #expect(network.map(node) == [brief.nodeID: 1]) }
        network.now = network.now.adding(seconds: 25)
        for node in 0..<3 { #expect(network.cores[node].currentServers(at: network.now).isEmpty) }
        try network.run(milliseconds: 120_000)
        for node in 0..<3 {
            #expect(network.map(node).isEmpty)
            #expect(try network.stores[node].count(MapCore.table) == 0)
        }
    }

    @Test("of agents learn everything and tell nothing")
    func agents() throws {
        var network = MapNetwork(seed: 66)
        try ring(&network, count: 5)
        for node in 1..<5 { try network.connect(node, 0) }
        var configuration = MapConfiguration()
        configuration.isAgent = true
        let agent = try network.addNode(roots: [TestCluster(0).id], configuration: configuration)
        try network.connect(agent, 3)
        try network.run(milliseconds: 30_000)
        #expect(network.map(agent) == network.map(0))
        #expect(network.map(agent).count == 5)
        // An agent that tries to publish is not listened to.
        let forged = MapMessage.descriptor(try TestCluster(0).server(99).encode()).encode()
        try network.handle(.message(link: 4, forged), 3)
        #expect(network.cores[3].counters.fromAgents == 1)
        #expect(network.map(3).count == 5)
    }

    @Test("agree on the highest sequence, whichever comes first")
    func sequences() throws {
        var network = MapNetwork(seed: 67)
        let cluster = TestCluster(0)
        for _ in 0..<4 { try network.addNode(roots: [cluster.id]) }
        for node in 0..<4 { try network.publish(node, cluster.server(7, sequence: UInt64(4 - node)).encode()) }
        for node in 1..<4 { try network.connect(node, node - 1) }
        try network.run(milliseconds: 20_000)
        for node in 0..<4 { #expect(network.map(node).values.sorted() == [4]) }
        #expect(throws: MapError.notNewer(held: 4)) {
            try network.publish(0, cluster.server(7, sequence: 3).encode())
        }
    }

    @Test("become equal again after a partition in which both sides said something new")
    func partition() throws {
        var network = MapNetwork(seed: 68)
        try ring(&network, count: 8)
        var bridge: UInt64 = 0
        for node in 1..<8 {
            let link = try network.connect(node, node - 1)
            if node == 4 { bridge = link }
        }
        try network.run(milliseconds: 60_000)
        #expect(network.map(0).count == 8)
        try network.disconnect(bridge)
        try network.publish(0, TestCluster(0).server(0, sequence: 2).encode())
        try network.publish(7, TestCluster(7).server(7, sequence: 5).encode())
        try network.run(milliseconds: 30_000)
        #expect(network.map(3) != network.map(4))
        #expect(network.map(3).values.max() == 2)
        #expect(network.map(4).values.max() == 5)
        try network.connect(3, 4)
        try network.run(milliseconds: 30_000)
        for node in 1..<8 { #expect(network.map(node) == network.map(0)) }
        #expect(network.map(0).values.sorted() == [1, 1, 1, 1, 1, 1, 2, 5])
    }

    @Test("do exactly the same again from the same seed")
    func reproducible() throws {
        func run() throws -> [MapCounters] {
            var network = MapNetwork(seed: 69)
            network.lossPercent = 10
            try ring(&network, count: 10)
            for node in 1..<10 { try network.connect(node, network.entropy.below(node)) }
            try network.run(milliseconds: 30_000)
            return network.cores.map(\.counters)
        }
        #expect(try run() == run())
    }
}
