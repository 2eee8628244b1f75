import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Federation

@Suite("Snapshot roots among nodes")
struct RootGossipTests {
    static let day: UInt64 = 86_400
    /// The epoch that begins while the tests run.
    static let epoch = MapNetwork.start.epoch + 1
    static let begin = epoch * day

    /// - Parameter first: the first of two epochs whose mix keys are announced.
    func descriptor(
        _ number: Int, cluster: Int, sequence: UInt64 = 1, from first: UInt64 = RootGossipTests.epoch - 1
    ) throws -> ServerDescriptor {
        let signer = TestSigner(number, cluster: cluster)
        let address = SocketAddress(v4: (10, UInt8(truncatingIfNeeded: number), 0, 1), port: 7411)
        var entropy = Entropy(seed: 3_000_000 + UInt64(number))
        let keys = [first, first + 1].map { MixKeyEntry(epoch: $0, key: X25519PublicKey(entropy.bytes())) }
        return try ServerDescriptor(
            certificate: signer.certificate, sequence: sequence,
            expiry: RootGossipTests.begin + 3 * RootGossipTests.day,
            linkKey: X25519PublicKey(entropy.bytes()), tcp: address, udp: address, roles: .relay, mixKeys: keys,
            software: "", key: signer.key)
    }

    func setSigner(_ network: inout MapNetwork, _ node: Int, cluster: Int) {
        let certificate = TestSigner(node, cluster: cluster).certificate
        network.cores[node].setSigner(
            CertifiedSigner(certificate: certificate) { TestSigner(node, cluster: cluster).key.sign($0) })
    }

    /// Nodes in a chain, a cluster each, that endorse each other in a ring; it is half a minute before midnight.
    func world(_ count: Int, seed: UInt64) throws -> MapNetwork {
        var network = MapNetwork(seed: seed)
        network.now = Timestamp(seconds: RootGossipTests.begin - 40)
        let ids = (0..<count).map { TestCluster($0).id }
        for node in 0..<count {
            try network.addNode(roots: [ids[0]])
            setSigner(&network, node, cluster: node)
            let neighbours = Set([1, 2, count - 1, count - 2].map { (node + $0) % count }).subtracting([node])
            let endorsed = neighbours.sorted().map { ids[$0] }
            try network.publish(
                node,
                TestCluster(node).descriptor(
                    endorsing: endorsed, expiry: RootGossipTests.begin + 9 * RootGossipTests.day
                )
                .encode())
            try network.publish(node, descriptor(node, cluster: node).encode())
        }
        for node in 1..<count { try network.connect(node, node - 1) }
        try network.run(milliseconds: 30_000)
        return network
    }

    func at(_ network: inout MapNetwork, _ seconds: UInt64, run: UInt64 = 10_000) throws {
        network.now = Timestamp(seconds: RootGossipTests.begin + seconds)
        try network.run(milliseconds: run)
    }

    /// Hands a core a message and returns what it does.
    private func deliver(
        _ network: inout MapNetwork, _ bytes: [UInt8], link: UInt64 = 0, node: Int = 0
    ) throws -> [MapEffect] {
        try network.cores[node].handle(
            .message(link: link, bytes), now: network.now, entropy: &network.entropy, store: &network.stores[node])
    }

    @Test("are signed once by each cluster, ten minutes into the epoch, reach every node, and agree")
    func agreement() throws {
        var network = try world(6, seed: 100)
        try at(&network, 590, run: 5_000)
        for node in 0..<6 { #expect(network.cores[node].roots(RootGossipTests.epoch).isEmpty) }
        try at(&network, 600)
        let roots = network.cores[0].roots(RootGossipTests.epoch)
        #expect(Set(roots.map(\.clusterID)) == Set((0..<6).map { TestCluster($0).id }))
        #expect(Set(roots.map(\.root)).count == 1)
        #expect(roots.allSatisfy { $0.count == 12 })
        try at(&network, 1200)
        for node in 0..<6 {
            #expect(network.cores[node].roots(RootGossipTests.epoch) == roots)
            #expect(network.cores[node].snapshotCounters.signed == 1)
            #expect(network.cores[node].snapshotVerdict == .agreed(.init(root: roots[0].root, count: 12)))
        }
    }

    @Test("come to a node that joins later, and after a restart; nothing is signed twice")
    func late() throws {
        var network = try world(4, seed: 101)
        try at(&network, 600)
        let late = try network.addNode(roots: [TestCluster(0).id])
        try network.connect(late, 1)
        try network.run(milliseconds: 70_000)
        // It has not seen how the epoch began, so it takes and signs no snapshot itself.
        #expect(network.cores[late].ownSnapshot(RootGossipTests.epoch) == nil)
        let restarted = try MapCore(
            admission: Admission(roots: [TestCluster(0).id]), now: network.now, store: network.stores[2])
        #expect(restarted.roots(RootGossipTests.epoch) == network.cores[2].roots(RootGossipTests.epoch))
        #expect(restarted.roots(RootGossipTests.epoch).count == 4)
        network.cores[2] = restarted
        setSigner(&network, 2, cluster: 2)
        try at(&network, 1800)
        #expect(network.cores[2].snapshotCounters.signed == 0)
        #expect(network.cores[late].roots(RootGossipTests.epoch).count == 4)
        // Two days later nothing of it is left, on disk neither.
        try at(&network, 2 * RootGossipTests.day + 5)
        try at(&network, 2 * RootGossipTests.day + 920)
        #expect(network.cores[1].roots(RootGossipTests.epoch).isEmpty)
        #expect(try network.stores[1].count(MapCore.rootTable) == 0)
    }

    @Test("are signed by one server of a cluster, and by the next when it is silent")
    func siblings() throws {
        var network = try world(3, seed: 102)
        let second = try network.addNode(roots: [TestCluster(0).id])
        setSigner(&network, second, cluster: 1)
        try network.connect(second, 1)
        try network.publish(second, descriptor(second, cluster: 1).encode())
        try network.run(milliseconds: 6_000)
        try at(&network, 600, run: 200_000)
        #expect(network.cores[0].roots(RootGossipTests.epoch).count == 3)
        #expect(network.cores[1].snapshotCounters.signed + network.cores[second].snapshotCounters.signed == 1)
        #expect(network.cores[0].snapshotCounters.contradicting == 0)
    }

    @Test("that differ become evidence on every node, which a fresh verifier accepts")
    func equivocation() throws {
        var network = try world(5, seed: 103)
        try at(&network, 600)
        let lie = try TestSigner(3, cluster: 3).root(9, epoch: RootGossipTests.epoch)
        let effects = try deliver(&network, RootMessage.root(lie.encode()).encode())
        var told: [EquivocationEvidence] = []
        for case .evidence(let evidence) in effects { told.append(evidence) }
        #expect(told.count == 1)
        let file = try #require(told.first).encode()
        let read = try EquivocationEvidence(decoding: file)
        try read.verify()
        #expect(read.kind == .rootsOfServer)
        #expect(read.clusterID == TestCluster(3).id)
        // The last of the chain has it too, and nobody to push it to: the rest learn it by asking.
        try network.handle(.message(link: 3, RootMessage.root(lie.encode()).encode()), 4)
        try network.run(milliseconds: 300_000)
        for node in 0..<5 {
            #expect(try MapCore.evidence(network.stores[node]) == told)
            #expect(network.cores[node].roots(RootGossipTests.epoch).count == 6)
        }
        // A third one changes nothing.
        let third = try TestSigner(3, cluster: 3).root(8, epoch: RootGossipTests.epoch)
        #expect(try deliver(&network, RootMessage.root(third.encode()).encode()).isEmpty)
        #expect(network.cores[0].snapshotCounters.evidence == 1)
    }

    @Test("that are forged, of another day, of strangers, malformed or from agents are counted and dropped")
    func hostile() throws {
        var network = try world(3, seed: 104)
        let signer = TestSigner(1, cluster: 1)
        func message(_ root: SnapshotRoot) -> [UInt8] { RootMessage.root(root.encode()).encode() }
        for epoch in [0, RootGossipTests.epoch + 2, RootGossipTests.epoch - 3, SnapshotRoot.epochLimit - 1] {
            #expect(try deliver(&network, message(signer.root(1, epoch: epoch))).isEmpty)
        }
        #expect(network.cores[0].snapshotCounters.farOff == 4)
        #expect(try deliver(&network, message(TestSigner(8, cluster: 8).root(1))).isEmpty)
        #expect(network.cores[0].snapshotCounters.notAdmitted == 1)
        var forged = try signer.root(1).encode()
        forged[20] ^= 1
        #expect(try deliver(&network, [4] + forged).isEmpty)
        let over = TestSigner(1, cluster: 1, expiry: MapNetwork.start.seconds - RootGossipTests.day)
        #expect(try deliver(&network, message(over.root(1))).isEmpty)
        #expect(network.cores[0].snapshotCounters.forged == 2)
        let good = try message(signer.root(1))
        for count in 1..<good.count { #expect(try deliver(&network, Array(good[..<count])).isEmpty) }
        #expect(network.cores[0].snapshotCounters.malformed == UInt64(good.count - 1))
        network.cores[0].peers[0]?.isAgent = true
        #expect(try deliver(&network, good).isEmpty)
        #expect(network.cores[0].counters.fromAgents == 1)
        network.cores[0].peers[0]?.isAgent = false
        #expect(network.cores[0].roots(MapNetwork.start.epoch).isEmpty)
        #expect(try deliver(&network, good).isEmpty)
        #expect(network.cores[0].roots(MapNetwork.start.epoch).count == 1)
    }

    @Test("are compared by an agent, which refuses the map of a gateway that hides servers from it")
    func agents() throws {
        var network = try world(8, seed: 105)
        var configuration = MapConfiguration()
        configuration.isAgent = true
        let honest = try network.addNode(roots: [TestCluster(0).id], configuration: configuration)
        let victim = try network.addNode(roots: [TestCluster(0).id], configuration: configuration)
        try network.connect(honest, 2)
        let link = try network.connect(victim, 2)
        try network.run(milliseconds: 9_500)
        try network.disconnect(link)
        // The victim was never told of one server.
        let hidden = try MapDescriptor.server(descriptor(5, cluster: 5)).id
        network.cores[victim].release(hidden)
        try at(&network, 600)
        try network.connect(victim, 2)
        network.cores[victim].release(hidden)
        network.cores[victim].peers = [:]
        try at(&network, 1200)
        let last = try network.connect(victim, 2)
        try network.run(milliseconds: 130_000)
        #expect(last > link)
        let own = try #require(network.cores[0].ownSnapshot(RootGossipTests.epoch))
        #expect(network.cores[honest].snapshotVerdict == .agreed(own))
        #expect(network.cores[victim].snapshotVerdict == .refused)
    }

    @Test("cost a link an answer within bounds, however often it asks")
    func budget() throws {
        var network = try world(4, seed: 106)
        try at(&network, 600)
        let ask = RootMessage.ask(epoch: RootGossipTests.epoch, checksum: 1, clusters: []).encode()
        #expect(try deliver(&network, ask).count == 4)
        #expect(try deliver(&network, ask).isEmpty)
        let equal = network.cores[0].snapshots.book.checksum(RootGossipTests.epoch)
        try network.run(milliseconds: 7_000)
        let same = RootMessage.ask(epoch: RootGossipTests.epoch, checksum: equal, clusters: []).encode()
        #expect(try deliver(&network, same).isEmpty)
    }

    @Test("are decoded within bounds")
    func messages() throws {
        var entropy = Entropy(seed: 107)
        let names: [Bytes16] = (0..<64).map { _ in entropy.bytes() }.sorted()
        let ask = RootMessage.ask(epoch: 7, checksum: 8, clusters: names)
        #expect(try RootMessage(decoding: ask.encode()) == ask)
        let bytes = ask.encode()
        for count in bytes.indices {
            #expect(throws: WireError.self) { try RootMessage(decoding: Array(bytes[..<count])) }
        }
        let many = RootMessage.ask(epoch: 7, checksum: 8, clusters: names + [Bytes16()])
        #expect(throws: WireError.outOfRange(field: "clusters")) { try RootMessage(decoding: many.encode()) }
        let unsorted = RootMessage.ask(epoch: 7, checksum: 8, clusters: names.reversed())
        #expect(throws: WireError.outOfRange(field: "clusters")) { try RootMessage(decoding: unsorted.encode()) }
        #expect(throws: WireError.unknownKind(9)) { try RootMessage(decoding: [9]) }
    }

    @Test("and conflicting descriptors: the latter become evidence once, and only of admitted clusters")
    func descriptors() throws {
        var network = try world(3, seed: 108)
        let expiry = RootGossipTests.begin + 9 * RootGossipTests.day
        let other = try TestCluster(1).descriptor(endorsing: [], expiry: expiry).encode()
        let message = MapMessage.descriptor(other).encode()
        let effects = try deliver(&network, message)
        guard case .evidence(let evidence)? = effects.first else {
            Issue.record("no evidence")
            return
        }
        try EquivocationEvidence(decoding: evidence.encode()).verify()
        #expect(evidence.kind == .clusterDescriptors)
        #expect(try deliver(&network, message).isEmpty)
        #expect(network.cores[0].counters.conflicting == 2)
        for endorsed in 1...2 {
            let stranger = try TestCluster(9).descriptor(endorsing: [TestCluster(endorsed).id], expiry: expiry)
            #expect(try deliver(&network, MapMessage.descriptor(stranger.encode()).encode()).isEmpty)
        }
        #expect(network.cores[0].counters.conflicting == 3)
        #expect(try MapCore.evidence(network.stores[0]).count == 1)
    }

    @Test(
        "keep four files of one cluster and kind, however many of its servers contradict themselves, after a restart too"
    )
    func manyLiars() throws {
        var network = try world(2, seed: 109)
        /// One more server of the cluster signs two descriptors of one sequence.
        func lie(_ number: Int, _ cluster: Int, link: UInt64 = 0, _ network: inout MapNetwork) throws {
            let signer = TestCluster(cluster)
            let expiry = RootGossipTests.begin + RootGossipTests.day
            for roles: ServerRoles in [.relay, .home] {
                let server = try signer.server(number, expiry: expiry, roles: roles)
                _ = try deliver(&network, MapMessage.descriptor(server.encode()).encode(), link: link)
            }
        }
        for number in 100..<110 { try lie(number, 0, &network) }
        #expect(try MapCore.evidence(network.stores[0]).count == 4)
        #expect(network.cores[0].snapshotCounters.evidenceDropped == 6)
        try network.restart(0, roots: [TestCluster(0).id])
        for number in 110..<113 { try lie(number, 0, link: 1, &network) }
        #expect(try MapCore.evidence(network.stores[0]).count == 4)
        #expect(network.cores[0].snapshotCounters.evidenceDropped == 3)
        try lie(113, 1, link: 1, &network)
        #expect(try MapCore.evidence(network.stores[0]).count == 5)
    }
}
