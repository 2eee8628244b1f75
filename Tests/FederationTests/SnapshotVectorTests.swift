import Foundation
import Primitives
import Records
import SecondImplementation
import Testing
import Wire

@testable import Federation

/// specs/vectors/map.json: everything in hexadecimal but the epoch.
private struct Vectors: Decodable {
    struct Server: Decodable { let seed, cluster, link, certificate: String }
    struct Leaf: Decodable { let leaf, hash, proof: String }
    struct Evidence: Decodable { let kind, subject, cluster, file: String }
    struct Member: Decodable { let subject, cluster, epoch, root, file: String }
    let epoch, root, signedRoot: String
    let clusters, nodes: [String]
    let servers: [Server]
    let leaves: [Leaf]
    let evidence: [Evidence]
    let membership: [Member]

    static func read() throws -> Vectors { try Peer.vectors("map") }
}

private func bytes(_ text: String) throws -> [UInt8] { try #require(Hex.decode(text)) }
private func key(_ text: String) throws -> SigningKey {
    var seed = try bytes(text)
    return try SigningKey(seed: SecretBytes(taking: &seed))
}

@Suite("Snapshots and evidence of another implementation")
struct SnapshotVectorTests {
    @Test("the committed tree is ours: leaves, their hashes, every node, the root and the proofs")
    func tree() throws {
        let vectors = try Vectors.read()
        var leaves: [SnapshotLeaf] = []
        for seed in vectors.clusters { leaves.append(.cluster(try key(seed).publicKey)) }
        for server in vectors.servers {
            leaves.append(
                .server(
                    try key(server.seed).publicKey, cluster: VerifyingKey(try #require(Bytes32(bytes(server.cluster)))),
                    linkKey: X25519PublicKey(try #require(Bytes32(bytes(server.link))))))
        }
        let tree = SnapshotTree(leaves)
        let root = try #require(tree.root)
        #expect(tree.leaves.map { Hex.encode($0.encode()) } == vectors.leaves.map(\.leaf))
        #expect(tree.leaves.map(\.hash.hex) == vectors.leaves.map(\.hash))
        #expect(root.hex == vectors.root)
        // A level's last node moves up unchanged when it is alone, so it stands in two levels.
        #expect(
            Set(tree.levels.dropFirst().joined().map(\.hex)).subtracting(vectors.leaves.map(\.hash))
                == Set(vectors.nodes))
        for (leaf, made) in zip(tree.leaves, vectors.leaves) {
            let proof = try #require(tree.proof(of: leaf))
            #expect(Hex.encode(proof.encode()) == made.proof)
            #expect(proof.proves(leaf, root: root, count: UInt32(tree.leaves.count)))
        }
    }

    @Test("the committed root and certificates are signed the same by us")
    func root() throws {
        let vectors = try Vectors.read()
        let made = try SnapshotRoot(decoding: bytes(vectors.signedRoot))
        try made.verify()
        #expect(made.root.hex == vectors.root)
        #expect("\(made.epoch)" == vectors.epoch)
        #expect(Int(made.count) == vectors.leaves.count)
        for server in vectors.servers {
            let certificate = try ServerCertificate(decoding: bytes(server.certificate))
            let cluster = try #require(
                try vectors.clusters.first { try key($0).publicKey.bytes.hex == server.cluster })
            let ours = ServerCertificate(
                server: try key(server.seed).publicKey, expiry: certificate.expiry, cluster: try key(cluster))
            #expect(ours == certificate)
        }
        let signer = try key(vectors.servers[0].seed)
        let ours = try SnapshotRoot(
            epoch: made.epoch, root: made.root, count: made.count, certificate: made.certificate
        ) { signer.sign($0) }
        #expect(Hex.encode(ours.encode()) == vectors.signedRoot)
    }

    @Test("the committed evidence of each kind is accepted and encoded the same")
    func evidence() throws {
        let vectors = try Vectors.read()
        #expect(vectors.evidence.map(\.kind) == ["1", "2", "3", "4"])
        for made in vectors.evidence {
            let evidence = try EquivocationEvidence(decoding: bytes(made.file))
            try evidence.verify()
            #expect("\(evidence.kind.rawValue)" == made.kind)
            #expect(evidence.subject.bytes.hex == made.subject)
            #expect(evidence.clusterID.bytes.hex == made.cluster)
            #expect(Hex.encode(evidence.encode()) == made.file)
        }
    }

    @Test("the committed proofs of membership are accepted and encoded the same")
    func membership() throws {
        let vectors = try Vectors.read()
        #expect(vectors.membership.count == 2)
        for made in vectors.membership {
            let proof = try SnapshotMembership(decoding: bytes(made.file))
            try proof.verify()
            #expect(proof.roots.count == 3 && "\(proof.epoch)" == made.epoch)
            #expect(proof.statement.root.hex == made.root)
            switch proof.leaf {
            case .cluster(let id): #expect(id.bytes.hex == made.subject && id.bytes.hex == made.cluster)
            case .server(let id, let cluster, _):
                #expect(id.bytes.hex == made.subject && cluster.bytes.hex == made.cluster)
            }
            #expect(Hex.encode(proof.encode()) == made.file)
        }
    }

    @Test("Python writes the committed vectors again", .enabled(if: Peer.isWanted, "HULDA_PYTHON is not set"))
    func vectorFile() throws { #expect(try Peer("map").writesVectors()) }

    @Test(
        "Python accepts our evidence and refuses it corrupted",
        .enabled(if: Peer.isWanted, "HULDA_PYTHON is not set"))
    func toPeer() throws {
        let signer = TestSigner(1, cluster: 1)
        let second = TestSigner(2, cluster: 1)
        let cluster = TestCluster(1)
        let files = [
            try EquivocationEvidence(signer.root(1), signer.root(2)),
            try EquivocationEvidence(signer.root(1), second.root(2)),
            try EquivocationEvidence(
                .cluster(cluster.descriptor()), .cluster(cluster.descriptor(endorsing: [TestCluster(2).id]))),
            try EquivocationEvidence(.server(cluster.server(1)), .server(cluster.server(1, roles: .home))),
        ]
        let answers = try answers(to: files.map { $0.encode() })
        #expect(answers.count == files.count * 5)
        for (index, answer) in answers.enumerated() {
            let file = files[index / 5]
            if index % 5 == 0 {
                #expect(
                    answer == [
                        "kind": "\(file.kind.rawValue)", "subject": file.subject.bytes.hex,
                        "cluster": file.clusterID.bytes.hex,
                    ])
            } else {
                #expect(answer["error"] != nil)
            }
        }
    }

    /// What Python says of each file as it is and with a bit turned in one of four places.
    private func answers(to files: [[UInt8]]) throws -> [[String: String]] {
        var requests: [[String: Any]] = []
        for file in files {
            for byte in [nil, 16, 40, 200, file.count - 1] as [Int?] {
                var copy = file
                if let byte { copy[byte] ^= 1 }
                requests.append(["file": Hex.encode(copy)])
            }
        }
        return try Peer("map").answers(to: requests, as: [String: String].self)
    }

    @Test(
        "Python accepts our proofs of membership and refuses them corrupted",
        .enabled(if: Peer.isWanted, "HULDA_PYTHON is not set"))
    func membershipToPeer() throws {
        var world = try RootGossipTests().world(5, seed: 140)
        try RootGossipTests().at(&world, 600)
        let server = try #require(world.cores[1].currentServers(at: world.now).last)
        let proofs = try [TestCluster(3).id.bytes.hex, server.nodeID.hex].map {
            try world.cores[1].membership(of: $0, at: world.now)
        }
        let answers = try answers(to: proofs.map { $0.encode() })
        #expect(answers.count == 10)
        for (index, answer) in answers.enumerated() {
            let proof = proofs[index / 5]
            guard index % 5 == 0 else {
                #expect(answer["error"] != nil)
                continue
            }
            #expect(answer["root"] == proof.statement.root.hex && answer["epoch"] == "\(proof.epoch)")
            #expect(answer["subject"] == (index == 0 ? TestCluster(3).id : server.serverID).bytes.hex)
        }
    }
}
