import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Federation

@Suite("What one cluster may put upon a map")
struct MapBoundsTests {
    @Test("64 newer versions of a descriptor an hour are taken, and what is newest then when the hour is over")
    func versions() throws {
        let cluster = TestCluster(0)
        let listener = try Listener(roots: [cluster.id])
        for sequence in UInt64(1)...200 { try listener.hear(cluster.server(1, sequence: sequence)) }
        #expect(listener.core.servers.values.map(\.sequence) == [65])
        #expect(listener.core.counters.learned == 65)
        #expect(listener.core.counters.hasty == 135)
        // Another's are taken meanwhile, and whoever forges some uses up nothing of it.
        var forged = try cluster.server(2, sequence: 2).encode()
        forged[forged.count - 1] ^= 1
        try listener.hear(cluster.server(2, sequence: 1))
        for _ in 0..<70 { try listener.hear(MapMessage.descriptor(forged).encode()) }
        try listener.hear(cluster.server(2, sequence: 2))
        #expect(listener.core.servers.values.map(\.sequence).min() == 2)
        listener.now = listener.now.adding(seconds: 3601)
        try listener.hear(cluster.server(1, sequence: 200))
        #expect(listener.core.servers.values.map(\.sequence).max() == 200)
    }

    @Test("the servers of a cluster are found without a pass over the map, in order, whoever comes, goes or moves")
    func roster() throws {
        let seed: UInt64 = 71
        print("servers of clusters: seed \(seed)")
        var entropy = Entropy(seed: seed)
        var configuration = MapConfiguration()
        configuration.serversPerCluster = 4
        let roots = Set((0..<3).map { TestCluster($0).id })
        let listener = try Listener(roots: roots, configuration: configuration)
        for step in 0..<300 {
            let expiry = MapNetwork.start.seconds + UInt64(60 + entropy.below(400))
            try listener.hear(
                TestCluster(entropy.below(3)).server(entropy.below(24), sequence: UInt64(step + 1), expiry: expiry))
            if step % 20 == 19 {
                listener.now = listener.now.adding(seconds: 30)
                _ = try listener.core.handle(
                    .wake, now: listener.now, entropy: &listener.entropy, store: &listener.store)
            }
            for cluster in roots {
                let own = listener.core.held.identifiers { $0.clusterID == cluster }
                #expect(listener.core.servers(of: cluster) == own)
                #expect(listener.core.roster.count(cluster) == own.count)
                #expect(own.count <= 4)
                // From half of the bound on a list is kept, which ends when half of that is left.
                if own.count >= 2 { #expect(listener.core.roster.list(cluster) == own) }
                if own.isEmpty { #expect(listener.core.roster.list(cluster) == nil) }
            }
        }
        #expect(listener.core.counters.full > 0)
    }

    @Test("strangers who endorse each other cost 64 decisions in an interval, and the honest are admitted within one")
    func decisions() throws {
        let honest = (0..<100).map { TestCluster($0).id }
        let listener = try Listener(roots: [honest[0], honest[1]])
        /// The peers of a cluster in a ring.
        func tell(_ number: Int, of ring: Range<Int>) throws {
            let neighbours = [1, 2, ring.count - 1, ring.count - 2].map { ring.lowerBound + (number + $0) % ring.count }
            let endorsed = neighbours.map { TestCluster($0).id }.sorted()
            try listener.hear(TestCluster(ring.lowerBound + number).descriptor(endorsing: endorsed))
        }
        for number in 0..<200 { try tell(number, of: 1000..<1200) }
        #expect((60...64).contains(listener.core.admission.decisions))
        // A federation that is heard of as a whole meanwhile.
        for number in 0..<100 { try tell(number, of: 0..<100) }
        #expect(listener.core.admission.decisions <= 64)
        listener.now = listener.now.adding(seconds: 6)
        _ = try listener.core.handle(.wake, now: listener.now, entropy: &listener.entropy, store: &listener.store)
        #expect(listener.core.clusterTotal == 100)
        #expect(honest.allSatisfy(listener.core.admission.admits))
    }

    @Test("a server that moves to a cluster whose places are taken finds none")
    func moving() throws {
        var configuration = MapConfiguration()
        configuration.serversPerCluster = 2
        let listener = try Listener(roots: [TestCluster(0).id, TestCluster(1).id], configuration: configuration)
        let ordered = try (0..<6).map { (number: $0, node: try TestCluster(0).server($0).nodeID) }
            .sorted { $0.node < $1.node }.map(\.number)
        for number in ordered[..<2] { try listener.hear(TestCluster(0).server(number)) }
        for number in ordered[2..<4] { try listener.hear(TestCluster(1).server(number)) }
        for number in ordered[2..<4] { try listener.hear(TestCluster(0).server(number, sequence: 2)) }
        #expect(listener.core.roster.count(TestCluster(0).id) == 2)
        #expect(listener.core.counters.full == 2)
    }
}
