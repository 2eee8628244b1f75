import Primitives
import Records
import Storage
import Testing

@testable import Federation

@Suite("The map for people")
struct MapGraphTests {
    private func core(_ peers: [Int: [Int]], roots: [Int]) throws -> MapCore {
        var store = MemoryStore()
        var entropy = Entropy(seed: 90)
        var core = try MapCore(
            admission: Admission(roots: Set(roots.map { TestCluster($0).id })), now: MapNetwork.start, store: store)
        _ = try core.handle(.linkUp(link: 1, peer: Bytes32()), now: MapNetwork.start, entropy: &entropy, store: &store)
        for number in peers.keys.sorted() {
            let cluster = TestCluster(number)
            let endorsed = (peers[number] ?? []).map { TestCluster($0).id }
            for bytes in [try cluster.descriptor(endorsing: endorsed).encode(), try cluster.server(number).encode()] {
                _ = try core.handle(
                    .message(link: 1, MapMessage.descriptor(bytes).encode()), now: MapNetwork.start,
                    entropy: &entropy, store: &store)
            }
        }
        return core
    }

    @Test("says of each cluster whether it is admitted, by which paths, or on whom it hangs")
    func reasons() throws {
        let core = try core(
            [0: [1, 4, 7], 1: [0, 2], 2: [1, 3, 5], 3: [2, 4], 4: [3, 0], 5: [2, 6], 6: [5], 7: [], 8: []], roots: [0])
        let graph = core.graph()
        let short = (0..<9).map { MapGraph.short(TestCluster($0).id) }
        func row(_ number: Int) throws -> MapGraph.Cluster {
            try #require(graph.clusters.first { $0.id.hasPrefix(short[number]) })
        }
        #expect(graph.omitted == 0)
        #expect(graph.clusters.map(\.standing.rank) == [0, 1, 1, 1, 1, 2, 2, 2, 2])
        #expect(try row(0).standing == .root)
        #expect(try row(2).paths == [[short[2], short[1], short[0]], [short[2], short[3], short[4], short[0]]])
        #expect(try row(2).servers == 1)
        #expect(try row(5).hangsOn == short[2])
        #expect(try row(5).servers == 0)
        #expect(try row(6).hangsOn == short[5])
        #expect(try row(7).unreturned == [short[0]])
        #expect(try row(8).paths.isEmpty)
        #expect(try row(8).unreturned.isEmpty)
        // The other side of it: who waits for whom.
        #expect(try row(0).unanswered.contains(short[7]) && row(7).unanswered.isEmpty)
        #expect(try row(4).peers == [short[0], short[3]].sorted())
    }

    @Test("answers about one cluster by the beginning of its ID or name")
    func question() throws {
        let core = try core([0: [1], 1: [0]], roots: [0])
        let id = TestCluster(1).id.bytes.hex
        #expect(core.graph(matching: String(id.prefix(9))).clusters.map(\.id) == [id])
        #expect(core.graph(matching: "clus").clusters.count == 2)
        #expect(core.graph(matching: "other").clusters.isEmpty)
    }

    @Test("follows the operator's choice of roots, there and back")
    func roots() throws {
        var core = try core([0: [1], 1: [0], 2: [3], 3: [2]], roots: [0])
        var store = MemoryStore()
        var entropy = Entropy(seed: 91)
        #expect(core.graph().clusters.map(\.standing.rank) == [0, 1, 2, 2])
        for (roots, standings) in [([0, 2], [0, 0, 1, 1]), ([2], [0, 1, 2, 2])] {
            let keys = Set(roots.map { TestCluster($0).id })
            _ = try core.handle(.roots(keys), now: MapNetwork.start, entropy: &entropy, store: &store)
            #expect(core.graph().clusters.map(\.standing.rank) == standings)
            #expect(core.servers.count == standings.count { $0 < 2 })
        }
    }

    @Test("is bounded, and says how much it leaves out")
    func bound() throws {
        var peers: [Int: [Int]] = [0: []]
        for number in 1...(MapGraph.limit + 20) { peers[number] = [] }
        let core = try core(peers, roots: [0])
        #expect(core.graph().clusters.count == MapGraph.limit)
        #expect(core.graph().omitted == 21)
        #expect(core.graph().clusters.first?.standing == .root)
    }
}
