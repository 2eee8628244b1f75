import Foundation
import Primitives
import Records
import SecondImplementation
import Testing
import Wire

@testable import Federation

@Suite("hulda audit")
struct AuditTests {
    /// The files of specs/vectors/map.json.
    private func vectors() throws -> [[String: String]] {
        struct File: Decodable { let evidence, sharedEvidence: [[String: String]] }
        let file = try Peer.vectors("map", as: File.self)
        return file.evidence + file.sharedEvidence
    }

    @Test("accepts evidence of each kind, and refuses it damaged, of another kind of file, and missing")
    func evidence() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("hulda-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        for made in try vectors() {
            var bytes = try #require(Hex.decode(made["file"] ?? ""))
            try Data(bytes).write(to: URL(fileURLWithPath: path))
            let held = try Program.run(["audit", "evidence", path, "--json"])
            #expect(held.status == 0, "\(held.errors)")
            #expect(held.text.contains("\"subject\":\"\(made["subject"] ?? "?")\""))
            let text = try Program.run(["audit", "evidence", path])
            #expect(text.text.hasPrefix("The evidence holds"))
            bytes[100] ^= 1
            try Data(bytes).write(to: URL(fileURLWithPath: path))
            let damaged = try Program.run(["audit", "evidence", path])
            #expect(damaged.status == 65)
            #expect(damaged.errors.contains("proves nothing"))
        }
        try Data(repeating: 7, count: 100_000).write(to: URL(fileURLWithPath: path))
        #expect(try Program.run(["audit", "evidence", path]).status == 65)
        try FileManager.default.removeItem(atPath: path)
        #expect(try Program.run(["audit", "evidence", path]).status == 66)
        #expect(try Program.run(["audit", "evidence"]).status == 64)
        let folder = try Program.run(["audit", "evidence", "/"])
        #expect(folder.status == 66 && folder.errors.contains("directory"))
        // What is no plain file is read like one: nothing, and without end.
        for device in ["/dev/null", "/dev/zero"] {
            #expect(try Program.run(["audit", "evidence", device]).status == 65)
            #expect(try Program.run(["audit", "membership", device]).status == 65)
        }
    }

    @Test("accepts proofs of membership, says what they prove, and refuses them damaged, of another kind and missing")
    func membership() throws {
        struct File: Decodable { let membership: [[String: String]] }
        let folder = try Folder()
        let path = folder.path + "/a file"
        for made in try Peer.vectors("map", as: File.self).membership {
            var bytes = try #require(Hex.decode(made["file"] ?? ""))
            try Data(bytes).write(to: URL(fileURLWithPath: path))
            let held = try Program.run(["audit", "membership", path, "--json"])
            #expect(held.status == 0, "\(held.errors)")
            for field in ["subject", "cluster", "root"] {
                #expect(held.text.contains("\"\(field)\":\"\(made[field] ?? "?")\""), "\(held.text)")
            }
            let text = try Program.run(["audit", "membership", path]).text
            #expect(text.contains("3 clusters signed for epoch 20781, 2026-11-24 UTC"), "\(text)")
            #expect(text.contains("does not prove"))
            bytes[100] ^= 1
            try Data(bytes).write(to: URL(fileURLWithPath: path))
            let damaged = try Program.run(["audit", "membership", path])
            #expect(damaged.status == 65 && damaged.errors.contains("proves nothing"))
        }
        try Data(repeating: 7, count: 400_000).write(to: URL(fileURLWithPath: path))
        #expect(try Program.run(["audit", "membership", path]).status == 65)
        #expect(try Program.run(["audit", "membership", "/"]).status == 66)
        #expect(try Program.run(["audit", "membership", path + "s"]).status == 66)
        #expect(try Program.run(["audit", "membership"]).status == 64)
    }

    @Test("files of one day about different snapshots show a divided map, and what a cluster signed twice is evidence")
    func divided() throws {
        let folder = try Folder()
        // A map without the third cluster, for a victim; the second cluster's server signs both.
        let shown: [(name: String, clusters: [UInt8], signers: [UInt8])] = [
            ("one", [1, 2, 3], [1, 2]), ("two", [1, 2, 3], [3]), ("victim", [1, 2], [2]),
        ]
        for (name, clusters, signers) in shown {
            let proof = try SnapshotOfTest(clusters).proof(signers)
            try Data(proof).write(to: URL(fileURLWithPath: "\(folder.path)/\(name)"))
        }
        func audit(_ arguments: String...) throws -> Program.Output {
            try Program.run(
                ["audit", "membership"] + arguments.map { $0.hasPrefix("-") ? $0 : "\(folder.path)/\($0)" })
        }
        let same = try audit("one", "two")
        #expect(same.status == 0 && same.text.contains("All files show one snapshot"), "\(same.errors)")
        let divided = try audit("one", "two", "victim", "--evidence", "")
        #expect(divided.status == 76, "\(divided.errors)")
        let liar = SnapshotOfTest.cluster(2).publicKey
        #expect(divided.text.contains("cluster \(liar.bytes.hex) signed two of them"))
        let evidence = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter {
            $0.contains("evidence")
        }
        #expect(evidence.count == 1)
        #expect(try Program.run(["audit", "evidence", "\(folder.path)/\(evidence.first ?? "")"]).status == 0)
        let split = try audit("two", "victim", "--json")
        #expect(split.status == 76 && split.text.contains("\"contradicting\":[]"), "\(split.text)")
        // Whose keys are known to nobody proves nothing to him.
        for (known, status) in [(3, 65), (1, 0)] as [(UInt8, Int32)] {
            let link = PeerLink(
                clusterID: SnapshotOfTest.cluster(known).publicKey, linkKey: SnapshotOfTest.link(known),
                address: SocketAddress(v4: (192, 0, 2, 1), port: 7411))
            try link.text.write(toFile: folder.path + "/list", atomically: true, encoding: .utf8)
            let held = try Program.run([
                "audit", "membership", folder.path + "/one", "--bootstrap", folder.path + "/list",
            ])
            #expect(held.status == status, "\(held.errors)")
            guard status == 0 else { continue }
            #expect(held.text.contains("1 of 2 are on your list"))
            #expect(held.text.contains("\(link.clusterID.bytes.hex)  on your list: 192.0.2.1:7411"), "\(held.text)")
            try "\(link.text) # my \u{1b}friend".write(toFile: folder.path + "/list", atomically: true, encoding: .utf8)
            let named = try Program.run([
                "audit", "membership", folder.path + "/one", "--bootstrap", folder.path + "/list",
            ]).text
            #expect(named.contains("\(link.clusterID.bytes.hex)  on your list: my "), "\(named)")
            #expect(!named.contains("\u{1b}"))
        }
        #expect(try audit("one", "--bootstrap", "nowhere").status == 66)
    }
}

/// The snapshot of some clusters with a server each.
private struct SnapshotOfTest {
    static let epoch: UInt64 = 20_000
    let servers: [ServerDescriptor]

    static func cluster(_ number: UInt8) -> SigningKey {
        var entropy = Entropy(seed: 100 + UInt64(number))
        return SigningKey(&entropy)
    }

    static func server(_ number: UInt8) -> SigningKey {
        var entropy = Entropy(seed: 200 + UInt64(number))
        return SigningKey(&entropy)
    }

    static func link(_ number: UInt8) -> X25519PublicKey {
        var entropy = Entropy(seed: 300 + UInt64(number))
        return X25519PublicKey(entropy.bytes())
    }

    private static func certificate(_ number: UInt8) -> ServerCertificate {
        ServerCertificate(
            server: server(number).publicKey, expiry: (epoch + 30) * Timestamp.secondsPerEpoch, cluster: cluster(number)
        )
    }

    init(_ clusters: [UInt8]) throws {
        servers = try clusters.map { number in
            try ServerDescriptor(
                certificate: SnapshotOfTest.certificate(number), sequence: 1,
                expiry: (SnapshotOfTest.epoch + 1) * Timestamp.secondsPerEpoch, linkKey: SnapshotOfTest.link(number),
                tcp: SocketAddress(v4: (192, 0, 2, number), port: 7411),
                udp: SocketAddress(v4: (192, 0, 2, number), port: 7411), roles: .relay,
                mixKeys: [MixKeyEntry(epoch: SnapshotOfTest.epoch, key: SnapshotOfTest.link(number))], software: "",
                key: SnapshotOfTest.server(number))
        }
    }

    /// A file about the first server.
    func proof(_ signers: [UInt8]) throws -> [UInt8] {
        let tree = SnapshotTree(servers: servers)
        let root = try #require(tree.root)
        let roots = try signers.map { number in
            let key = SnapshotOfTest.server(number)
            return try SnapshotRoot(
                epoch: SnapshotOfTest.epoch, root: root, count: UInt32(tree.leaves.count),
                certificate: SnapshotOfTest.certificate(number)
            ) { key.sign($0) }
        }
        let subject = MapDescriptor.server(try #require(servers.first))
        let leaf = try #require(subject.leaf)
        let path = try #require(tree.proof(of: leaf))
        return try SnapshotMembership(subject, path, roots.sorted { $0.clusterID < $1.clusterID }).encode()
    }
}
