import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Federation

@Suite("Proofs of membership")
struct MembershipTests {
    private let worlds = RootGossipTests()

    /// Six nodes that have signed their snapshot.
    private func signedWorld(seed: UInt64) throws -> MapNetwork {
        var network = try worlds.world(6, seed: seed)
        try worlds.at(&network, 600)
        return network
    }

    private func server(_ number: Int) -> VerifyingKey { TestSigner(number, cluster: number).key.publicKey }

    @Test(
        "name a cluster or server by name, ClusterID, ServerID or node ID, with every cluster that signed the snapshot")
    func questions() throws {
        let network = try signedWorld(seed: 150)
        let core = network.cores[2]
        let cluster = TestCluster(4).id
        for question in [cluster.bytes.hex, String(cluster.bytes.hex.prefix(8)).uppercased()] {
            let proof = try core.membership(of: question, at: network.now)
            try proof.verify()
            #expect(proof.leaf == .cluster(cluster) && proof.cluster?.clusterID == cluster && proof.server == nil)
            #expect(proof.roots == core.roots(RootGossipTests.epoch) && proof.roots.count == 6)
            #expect(try SnapshotMembership(decoding: proof.encode()) == proof)
        }
        for question in [server(4).bytes.hex, Node.id(of: server(4)).hex] {
            let proof = try core.membership(of: question, at: network.now)
            try proof.verify()
            #expect(proof.server?.serverID == server(4) && proof.server?.clusterID == cluster)
        }
        // All clusters of this world have one name.
        #expect(throws: MembershipRefusal.ambiguous) { try core.membership(of: "cluster", at: network.now) }
        for unknown in ["", "nobody", String(cluster.bytes.hex.prefix(7)), TestCluster(77).id.bytes.hex] {
            #expect(throws: MembershipRefusal.unknown) { try core.membership(of: unknown, at: network.now) }
        }
    }

    @Test("are given until the next snapshot, however the map changes, and of who has come since there is none")
    func changes() throws {
        var network = try signedWorld(seed: 151)
        let before = try network.cores[2].membership(of: server(4).bytes.hex, at: network.now)
        // One server has another link key, one leaves, one comes.
        var entropy = Entropy(seed: 151)
        let old = try worlds.descriptor(5, cluster: 5)
        let signer = TestSigner(5, cluster: 5)
        let moved = try ServerDescriptor(
            certificate: old.certificate, sequence: 2, expiry: old.expiry, linkKey: X25519PublicKey(entropy.bytes()),
            tcp: old.tcp, udp: old.udp, roles: old.roles, mixKeys: old.mixKeys, software: "", key: signer.key)
        try network.publish(5, moved.encode())
        try network.publish(1, worlds.descriptor(30, cluster: 1, from: RootGossipTests.epoch).encode())
        try network.run(milliseconds: 20_000)
        network.cores[2].release(try #require(Bytes16(Node.id(of: server(3)).bytes.prefix(16))))
        let core = network.cores[2]
        let late = Timestamp(seconds: RootGossipTests.begin + 86_400 + 300)
        for now in [network.now, late] { #expect(try core.membership(of: server(4).bytes.hex, at: now) == before) }
        for changed in [server(5), TestSigner(30, cluster: 1).key.publicKey] {
            #expect(throws: MembershipRefusal.notIncluded) {
                try core.membership(of: changed.bytes.hex, at: network.now)
            }
        }
    }

    @Test("are given by a node that was started since, as long as its map is what was signed; before that by none")
    func lateNode() throws {
        var network = try worlds.world(6, seed: 152)
        let question = TestCluster(4).id.bytes.hex
        #expect(throws: MembershipRefusal.noSnapshot) {
            try network.cores[2].membership(of: question, at: network.now)
        }
        try worlds.at(&network, 600)
        let expected = try network.cores[2].membership(of: question, at: network.now)
        let late = try network.addNode(roots: [TestCluster(0).id])
        try network.connect(late, 2)
        try network.run(milliseconds: 70_000)
        #expect(network.cores[late].ownSnapshot(RootGossipTests.epoch) == nil)
        #expect(try network.cores[late].membership(of: question, at: network.now) == expected)
        network.cores[late].release(try #require(Bytes16(Node.id(of: server(3)).bytes.prefix(16))))
        #expect(throws: MembershipRefusal.noSnapshot) {
            try network.cores[late].membership(of: question, at: network.now)
        }
    }

    @Test("prove nothing with any bit turned, any byte missing, roots of two snapshots, or of none")
    func corruption() throws {
        let network = try signedWorld(seed: 153)
        let proof = try network.cores[0].membership(of: server(1).bytes.hex, at: network.now)
        let descriptor = try MapDescriptor(decoding: worlds.descriptor(1, cluster: 1).encode())
        let short = try SnapshotMembership(descriptor, proof.proof, Array(proof.roots.prefix(1)))
        try short.verify()
        let bytes = short.encode()
        for flipped in bitFlips(bytes) {
            #expect(throws: SnapshotMembership.Failure.self) {
                try SnapshotMembership(decoding: flipped).verify()
            }
        }
        for count in bytes.indices {
            #expect(throws: SnapshotMembership.Failure.self) {
                try SnapshotMembership(decoding: Array(bytes[..<count]))
            }
        }
        #expect(throws: SnapshotMembership.Failure.malformed(.trailingBytes(1))) {
            try SnapshotMembership(decoding: bytes + [0])
        }
        var later = bytes
        later[SnapshotMembership.magic.count] = 2
        #expect(throws: SnapshotMembership.Failure.unknownVersion(2)) { try SnapshotMembership(decoding: later) }
        #expect(throws: SnapshotMembership.Failure.malformed(.outOfRange(field: "roots"))) {
            try SnapshotMembership(descriptor, proof.proof, [])
        }
        let foreign = try TestSigner(9, cluster: 9).root(1, epoch: RootGossipTests.epoch)
        for roots in [proof.roots + [foreign], proof.roots.reversed(), [proof.roots[0], proof.roots[0]]] {
            #expect(throws: SnapshotMembership.Failure.mixedRoots) {
                try SnapshotMembership(descriptor, proof.proof, roots)
            }
        }
        // A proof of another leaf does not do.
        let other = try network.cores[0].membership(of: server(2).bytes.hex, at: network.now)
        #expect(throws: SnapshotMembership.Failure.notIncluded) {
            try SnapshotMembership(descriptor, other.proof, proof.roots).verify()
        }
        #expect(proof.encode().count <= SnapshotMembership.sizeLimit)
    }

    @Test("are summed up for the operator: who signed what, the own root, and what the cross-check came to")
    func report() throws {
        var network = try worlds.world(6, seed: 155)
        #expect(network.cores[2].snapshotReport(at: network.now).signed.isEmpty)
        try worlds.at(&network, 600)
        let root = try #require(network.cores[2].ownSnapshot(RootGossipTests.epoch)).root
        #expect(network.cores[2].snapshotReport(at: network.now).judgement == .undecided)
        try worlds.at(&network, 1200)
        let good = SnapshotReport(
            epoch: RootGossipTests.epoch, own: root.hex, judgement: .agreed,
            signed: [.init(root: root.hex, entries: 12, clusters: 6)], contradicting: 0)
        #expect(network.cores[2].snapshotReport(at: network.now) == good)
        // One of the six says something else as well.
        let lie = try TestSigner(4, cluster: 4).root(9, epoch: RootGossipTests.epoch)
        var effects: [MapEffect] = []
        try network.cores[2].enter(lie, from: nil, &effects, &network.stores[2])
        let report = network.cores[2].snapshotReport(at: network.now)
        #expect(report.signed == good.signed + [.init(root: lie.root.hex, entries: 3, clusters: 1)])
        #expect(report.contradicting == 1)
        network.cores[2].agreement.refused = RootGossipTests.epoch
        #expect(network.cores[2].snapshotReport(at: network.now).judgement == .refused)
    }

    @Test("of one day that rest on different snapshots show a divided map, and who signed both")
    func comparison() throws {
        let network = try signedWorld(seed: 154)
        let one = try network.cores[0].membership(of: server(1).bytes.hex, at: network.now)
        let two = try network.cores[3].membership(of: TestCluster(2).id.bytes.hex, at: network.now)
        let same = MembershipComparison([one, two])
        #expect(!same.isDivided && same.evidence.isEmpty)
        #expect(same.views.count == 1 && same.views.first?.files == [0, 1] && same.views.first?.clusters.count == 6)
        // A map made for a victim, without the third server; the fifth cluster signed it too, and a stranger.
        let descriptor = try worlds.descriptor(1, cluster: 1)
        let tree = SnapshotTree(servers: [descriptor, try worlds.descriptor(2, cluster: 2)])
        let hash = try #require(tree.root)
        let roots = try [5, 40].map { number in
            let signer = TestSigner(number, cluster: number)
            return try SnapshotRoot(
                epoch: RootGossipTests.epoch, root: hash, count: UInt32(tree.leaves.count),
                certificate: signer.certificate
            ) { signer.key.sign($0) }
        }.sorted { $0.clusterID < $1.clusterID }
        let member = MapDescriptor.server(descriptor)
        let leaf = try #require(member.leaf)
        let shown = try SnapshotMembership(member, try #require(tree.proof(of: leaf)), roots)
        try shown.verify()
        let divided = MembershipComparison([one, shown, two, shown])
        #expect(divided.isDivided)
        #expect(divided.views.map(\.files) == [[0, 2], [1, 3]])
        #expect(divided.evidence.map(\.clusterID) == [TestCluster(5).id])
        for piece in divided.evidence { try EquivocationEvidence(decoding: piece.encode()).verify() }
        #expect(!MembershipComparison([]).isDivided)
        // Whoever does so every day is one who contradicts himself.
        let daily = try [UInt64(1), 2].flatMap { day in
            try [UInt8(1), 2].map { fill in
                let signer = TestSigner(5, cluster: 5)
                let root = try signer.root(fill, epoch: RootGossipTests.epoch + day)
                return try SnapshotMembership(member, one.proof, [root])
            }
        }
        let often = MembershipComparison(daily)
        #expect(often.views.count == 4 && often.isDivided && often.evidence.count == 1)
    }
}
