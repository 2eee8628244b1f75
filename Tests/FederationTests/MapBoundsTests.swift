import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Federation

@Suite("What one cluster may put upon a map")
struct MapBoundsTests {
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
                #expect(listener.core.roster[cluster] == own)
                #expect(listener.core.roster.count(cluster) == own.count && own.count <= 4)
            }
        }
        #expect(listener.core.counters.full > 0)
    }
}
