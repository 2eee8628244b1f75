import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Federation

/// An agent's cross-check of its map, with honest servers at the ends of its envelopes and a liar for a gateway.
@Suite("The cross-check of an agent")
struct CrossCheckTests {
    private let worlds = RootGossipTests()
    private let epoch = RootGossipTests.epoch

    private func nodeID(_ number: Int) -> NodeID { Node.id(of: TestSigner(number, cluster: number).key.publicKey) }

    private func addAgent(_ network: inout MapNetwork) throws -> Int {
        var configuration = MapConfiguration()
        configuration.isAgent = true
        return try network.addNode(roots: [TestCluster(0).id], configuration: configuration)
    }

    private func handle(_ network: inout MapNetwork, _ event: MapEvent, _ node: Int) throws -> [MapEffect] {
        try network.cores[node].handle(
            event, now: network.now, entropy: &network.entropy, store: &network.stores[node])
    }

    /// Lets the agent wake, and carries its questions to whom they are for and the answers back.
    /// - Returns: what else it did.
    private func wake(
        _ network: inout MapNetwork, _ agent: Int, rounds: Int = 12,
        tamper: (MapQuestion, [UInt8]) -> [UInt8]? = { $1 }
    ) throws -> [MapEffect] {
        var others: [MapEffect] = []
        for _ in 0..<rounds {
            network.now = network.now.adding(milliseconds: 11_000)
            for effect in try handle(&network, .wake, agent) {
                guard case .inquire(let questions) = effect else {
                    others.append(effect)
                    continue
                }
                #expect(questions.count <= 16)
                for question in questions {
                    // Servers that others announced for a test answer nothing.
                    guard let node = (0..<8).first(where: { nodeID($0) == question.server }) else { continue }
                    let reply = network.cores[node].answerInquiry(question.body, at: network.now)
                    let answer = try #require(reply)
                    guard let said = tamper(question, answer) else { continue }
                    others += try handle(&network, .inquired(said), agent)
                }
            }
        }
        return others
    }

    /// Cuts the agent off its gateway and takes servers out of its map, as if it had never heard of them.
    private func hide(_ numbers: [Int], from agent: Int, _ network: inout MapNetwork) {
        network.cores[agent].peers = [:]
        for number in numbers {
            if let id = Bytes16(nodeID(number).bytes.prefix(16)) { network.cores[agent].release(id) }
        }
    }

    @Test("hears through envelopes what its gateway hides, refuses the map, and is left with its trust roots")
    func lyingGateway() throws {
        var network = try worlds.world(8, seed: 120)
        let victim = try addAgent(&network)
        let link = try network.connect(victim, 2)
        try network.run(milliseconds: 9_500)
        try network.disconnect(link)
        hide([5], from: victim, &network)
        try worlds.at(&network, 600)
        try worlds.at(&network, 1200)
        #expect(network.cores[victim].snapshotVerdict == nil || network.cores[victim].roots(epoch).isEmpty)
        _ = try wake(&network, victim)
        #expect(network.cores[victim].snapshotVerdict == .refused)
        #expect(network.cores[victim].isViewRefused(at: network.now))
        let usable = network.cores[victim].view(at: network.now).servers
        #expect(usable.map(\.clusterID) == [TestCluster(0).id])
        // What it heard is on disk: one root of each cluster of its sample.
        let again = try MapCore(
            admission: Admission(roots: [TestCluster(0).id]), now: network.now, store: network.stores[victim])
        #expect(again.roots(epoch).count == 7)
    }

    @Test("is left with the servers of the last map that was agreed on")
    func lastAgreed() throws {
        var network = try worlds.world(8, seed: 121)
        let victim = try addAgent(&network)
        try network.connect(victim, 2)
        try network.run(milliseconds: 9_500)
        try worlds.at(&network, 600)
        try worlds.at(&network, 1200)
        _ = try wake(&network, victim)
        let own = try #require(network.cores[victim].ownSnapshot(epoch))
        #expect(network.cores[victim].snapshotVerdict == .agreed(own))
        #expect(network.cores[victim].agreedRoot(epoch) == own.root)
        let view = network.cores[victim].view(at: network.now)
        #expect(view.servers.count == 8)
        #expect(view.seed(epoch + 1) == MixLayers.seed(epoch: epoch + 1, root: own.root, value: nil))
        // When the next epoch's shared value is made, its layers follow from that as well.
        let shared = BLAKE2b.h(Domain("test/shared"), [1])
        let told = try handle(&network, .sharedRandom(epoch: epoch + 1, shared), victim)
        #expect(told.contains { if case .viewChanged = $0 { true } else { false } })
        let drawn = network.cores[victim].view(at: network.now)
        #expect(drawn.seed(epoch + 1) == MixLayers.seed(epoch: epoch + 1, root: own.root, value: shared))
        #expect(drawn.seed(epoch) == view.seed(epoch))
        // A restart keeps what was agreed.
        var configuration = MapConfiguration()
        configuration.isAgent = true
        network.cores[victim] = try MapCore(
            configuration: configuration, admission: Admission(roots: [TestCluster(0).id]), now: network.now,
            store: network.stores[victim])
        #expect(network.cores[victim].agreedRoot(epoch) == own.root)
        // Refused later, it falls back to those servers, of which one has left meanwhile.
        network.cores[victim].agreement.refused = epoch
        hide([3], from: victim, &network)
        #expect(network.cores[victim].usableServers(at: network.now).count == 7)
    }

    @Test("started within the epoch, accepts the agreed map, and refuses one from which much is hidden")
    func lateStart() throws {
        var network = try worlds.world(8, seed: 122)
        try worlds.at(&network, 600)
        try worlds.at(&network, 1200)
        let own = try #require(network.cores[0].ownSnapshot(epoch))
        try start(&network, hiding: [], own)
        try start(&network, hiding: [5, 6], own, isRefused: true)
    }

    @Test("started after servers renewed their descriptors, accepts the agreed map, and refuses one with much hidden")
    func startAfterRenewals() throws {
        var network = try worlds.world(8, seed: 126)
        try worlds.at(&network, 600)
        try worlds.at(&network, 1200)
        let own = try #require(network.cores[0].ownSnapshot(epoch))
        // The key of the day before is destroyed an hour after midnight, and announced no longer.
        network.now = Timestamp(seconds: RootGossipTests.begin + 40_000)
        for number in 0..<8 {
            try network.publish(number, worlds.descriptor(number, cluster: number, sequence: 2, from: epoch).encode())
        }
        try network.run(milliseconds: 30_000)
        try start(&network, hiding: [], own)
        try start(&network, hiding: [5, 6], own, isRefused: true)
    }

    @Test("started after others came, does not refuse the map for those while it is not known that they came today")
    func startAfterGrowth() throws {
        var network = try worlds.world(8, seed: 127)
        try worlds.at(&network, 600)
        try worlds.at(&network, 1200)
        let own = try #require(network.cores[0].ownSnapshot(epoch))
        for number in [30, 31] {
            try network.publish(1, worlds.descriptor(number, cluster: 1, from: epoch).encode())
        }
        try network.run(milliseconds: 30_000)
        try start(&network, hiding: [], own, usable: 10)
        try start(&network, hiding: [5, 6, 7], own, isRefused: true)
    }

    /// Starts an agent within the epoch, from whose map servers are hidden.
    private func start(
        _ network: inout MapNetwork, hiding hidden: [Int], _ own: SnapshotComparison.Statement,
        isRefused: Bool = false, usable: Int = 8
    ) throws {
        let agent = try addAgent(&network)
        let link = try network.connect(agent, 2)
        try network.run(milliseconds: 4_000)
        try network.disconnect(link)
        hide(hidden, from: agent, &network)
        _ = try wake(&network, agent)
        #expect(network.cores[agent].snapshotVerdict == .agreed(own))
        #expect(network.cores[agent].isViewRefused(at: network.now) == isRefused)
        #expect(network.cores[agent].usableServers(at: network.now).count == (isRefused ? 1 : usable))
    }

    @Test("keeps evidence against a cluster that says one thing to its gateway and another to it")
    func evidence() throws {
        var network = try worlds.world(8, seed: 123)
        let victim = try addAgent(&network)
        try network.connect(victim, 2)
        try network.run(milliseconds: 9_500)
        try worlds.at(&network, 600)
        hide([], from: victim, &network)
        try worlds.at(&network, 1200)
        // Cluster 4 signs another root for the gateway's agents.
        let lie = try SnapshotRoot(
            epoch: epoch, root: BLAKE2b.h(Domain("test/lie"), [1]), count: 16,
            certificate: TestSigner(4, cluster: 4).certificate
        ) { TestSigner(4, cluster: 4).key.sign($0) }
        _ = try handle(&network, .inquired(MapInquiry.roots([lie.encode()]).encode()), victim)
        var files: [EquivocationEvidence] = []
        for case .evidence(let piece) in try wake(&network, victim) { files.append(piece) }
        #expect(files.count == 1)
        let file = try #require(files.first)
        #expect(file.kind == .rootsOfServer && file.clusterID == TestCluster(4).id)
        try EquivocationEvidence(decoding: file.encode()).verify()
        let own = try #require(network.cores[victim].ownSnapshot(epoch))
        #expect(network.cores[victim].snapshotVerdict == .agreed(own))
    }

    @Test("asks servers that do not answer a bounded number of times, and drops answers that are none")
    func bounds() throws {
        var network = try worlds.world(8, seed: 124)
        let agent = try addAgent(&network)
        let link = try network.connect(agent, 2)
        try network.run(milliseconds: 9_500)
        try network.disconnect(link)
        try worlds.at(&network, 1200)
        hide([], from: agent, &network)
        var asked = 0
        let malformed = network.cores[agent].snapshotCounters.malformed
        _ = try wake(&network, agent, rounds: 100) { _, answer in
            asked += 1
            return asked % 3 == 0 ? Array(answer.dropLast()) : nil
        }
        #expect(asked > 50 && asked <= 2 * 192 + 16)
        #expect(network.cores[agent].snapshotCounters.malformed > malformed)
        #expect(network.cores[agent].roots(epoch).isEmpty)
    }

    @Test("is decoded within bounds")
    func messages() throws {
        var entropy = Entropy(seed: 125)
        let names: [Bytes16] = (0..<7).map { _ in entropy.bytes() }
        let ask = MapInquiry.ask(epoch: 7, clusters: names)
        let roots = MapInquiry.roots((0..<8).map { _ in entropy.array(SnapshotRoot.encodedSize) })
        let page = NewcomerPage(
            epoch: 7, isComplete: true, hasMore: true,
            entries: (1...200).map { NewcomerPage.Entry(name: $0, isOfToday: $0 % 2 == 0) })
        for message in [ask, roots, .askNewcomers(tag: 1, after: 2), .newcomers(tag: 3, page)] {
            let bytes = message.encode()
            #expect(try MapInquiry(decoding: bytes) == message)
            for count in bytes.indices {
                #expect(throws: WireError.self) { try MapInquiry(decoding: Array(bytes[..<count])) }
            }
            #expect(throws: WireError.self) { try MapInquiry(decoding: bytes + [0]) }
        }
        for wrong in [MapInquiry.ask(epoch: 7, clusters: []), .ask(epoch: 7, clusters: names + [Bytes16()])] {
            #expect(throws: WireError.outOfRange(field: "clusters")) { try MapInquiry(decoding: wrong.encode()) }
        }
        var unordered = page
        unordered.entries.swapAt(0, 1)
        #expect(throws: WireError.outOfRange(field: "newcomers")) {
            try MapInquiry(decoding: MapInquiry.newcomers(tag: 3, unordered).encode())
        }
        #expect(throws: WireError.unknownKind(5)) { try MapInquiry(decoding: [5]) }
    }
}
