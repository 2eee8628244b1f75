import Fuzz
import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Federation

@Suite("Decoders of the map under noise")
struct DecoderFuzzTests {
    @Test("a bootstrap list is read as one that prints and reads the same, or names the line")
    func lists() throws {
        var garbage = Garbage("bootstrap lists", seed: 311)
        var links: [PeerLink] = []
        for number in 0..<3 {
            links.append(
                PeerLink(
                    clusterID: VerifyingKey(garbage.entropy.bytes()), linkKey: X25519PublicKey(garbage.entropy.bytes()),
                    address: SocketAddress(v4: (192, 0, 2, UInt8(number)), port: 7411)))
        }
        let text = BootstrapList(links: links).text
        let valid = [text, "# a comment\n\n" + text, text.replacing("\n", with: " # why\r\n"), ""]
        var accepted = 0
        for _ in 0..<3000 {
            let text = garbage.text(like: valid)
            do throws(BootstrapList.Failure) {
                let list = try BootstrapList(text: text)
                #expect(try BootstrapList(text: list.text) == list)
                if !list.links.isEmpty { accepted += 1 }
            } catch {
                if case .line(let number, _) = error {
                    #expect((1...text.split(omittingEmptySubsequences: false) { $0.isNewline }.count).contains(number))
                }
            }
        }
        #expect(accepted > 0)
    }

    @Test("messages about roots, roots, proofs and evidence are read as what they encode to, or refused")
    func messages() throws {
        var garbage = Garbage("roots and evidence", seed: 312)
        let signer = TestSigner(1, cluster: 1)
        let root = try signer.root(1).encode()
        let evidence = try EquivocationEvidence(signer.root(1), signer.root(2)).encode()
        let proof = SnapshotProof(index: 3, path: [garbage.entropy.bytes(), garbage.entropy.bytes()]).encode()
        let stated = CapacityStatement(
            epoch: 5, results: [garbage.entropy.bytes(): 3], server: signer.key.publicKey
        ) { signer.key.sign($0) }.encode()
        let member = try membership(signer.key, signer.certificate)
        let names: [Bytes16] = [garbage.entropy.bytes(), garbage.entropy.bytes()]
        let valid = [
            root, evidence, proof, member, RootMessage.root(root).encode(),
            RootMessage.ask(epoch: 5, checksum: 6, clusters: names.sorted()).encode(),
            MapMessage.summary(salt: 1, checksums: MapIndex().checksums(salt: 1)).encode(),
            MapInquiry.ask(epoch: 5, clusters: names).encode(), MapInquiry.roots([root]).encode(),
            MapInquiry.askNewcomers(tag: 1, after: 2).encode(),
            MapInquiry.newcomers(
                tag: 3,
                NewcomerPage(
                    epoch: 4, isComplete: true, hasMore: true, entries: [.init(name: 5, isOfToday: true)])
            ).encode(),
            CapacityMessage.have([1, 2]).encode(), CapacityMessage.statements([stated]).encode(), stated,
        ]
        var accepted = 0
        for _ in 0..<20_000 {
            let bytes = garbage.bytes(like: valid)
            if let read = try? RootMessage(decoding: bytes) {
                accepted += 1
                #expect(read.encode() == bytes)
            }
            if let read = try? MapMessage(decoding: bytes) { #expect(read.encode() == bytes) }
            if let read = try? MapInquiry(decoding: bytes) { #expect(read.encode() == bytes) }
            if let read = try? CapacityMessage(decoding: bytes) { #expect(read.encode() == bytes) }
            if let read = try? CapacityStatement(decoding: bytes) {
                #expect(read.encode() == bytes && read.isSigned == (bytes == stated))
            }
            if let read = try? SnapshotProof(decoding: bytes) { #expect(read.encode() == bytes) }
            if let read = try? SnapshotRoot(decoding: bytes) {
                #expect(read.encode() == bytes)
                if bytes != root { #expect(throws: SnapshotError.self) { try read.verify() } }
            }
            if let read = try? SnapshotMembership(decoding: bytes) {
                #expect(read.encode() == bytes)
                if bytes != member { #expect(throws: SnapshotMembership.Failure.self) { try read.verify() } }
            }
            if let read = try? EquivocationEvidence(decoding: bytes) {
                #expect(read.encode() == bytes && !read.description.isEmpty)
                if bytes != evidence { #expect(throws: EvidenceError.self) { try read.verify() } }
            }
        }
        #expect(accepted > 0)
    }

    /// A proof of a snapshot of one cluster and server.
    private func membership(_ key: borrowing SigningKey, _ certificate: ServerCertificate) throws -> [UInt8] {
        let server = try TestCluster(1).server(1)
        let tree = SnapshotTree(servers: [server])
        let (hash, descriptor) = (try #require(tree.root), MapDescriptor.server(server))
        let root = try SnapshotRoot(epoch: 5, root: hash, count: 2, certificate: certificate) { key.sign($0) }
        let leaf = try #require(descriptor.leaf)
        let path = try #require(tree.proof(of: leaf))
        return try SnapshotMembership(descriptor, path, [root]).encode()
    }

    @Test("a map whose store is damaged starts with what is whole in it, and goes on")
    func rows() throws {
        var garbage = Garbage("map rows", seed: 313)
        var network = MapNetwork(seed: 313)
        let first = TestCluster(1)
        let node = try network.addNode(roots: [first.id])
        try network.publish(node, first.descriptor().encode())
        for number in 0..<3 { try network.publish(node, first.server(number).encode()) }
        var store = network.stores[node]
        let today = network.now.epoch
        let day = withUnsafeBytes(of: today.bigEndian) { Array($0) }
        try store.put(MapCore.agreedTable, day, garbage.entropy.array(36 + 3 * 16))
        let said = CapacityStatement(
            epoch: today - 1, results: [garbage.entropy.bytes(): 3], server: first.key.publicKey
        ) { first.key.sign($0) }
        let yesterday = StatementIndex.Place(epoch: today - 1, cluster: first.id)
        try store.put(MapCore.capacityTable, MapCore.key(yesterday), said.encode())
        #expect(try store.count(MapCore.table) == 4)
        for _ in 0..<300 {
            var damaged = try garbage.damage(
                store,
                [
                    MapCore.table, MapCore.rootTable, MapCore.evidenceTable, MapCore.agreedTable, MapCore.capacityTable,
                ])
            var core = try MapCore(admission: Admission(roots: [first.id]), now: network.now, store: damaged)
            #expect(core.servers.count <= 3)
            _ = try MapCore.evidence(damaged)
            let later = network.now.adding(seconds: 10)
            _ = try core.handle(.wake, now: later, entropy: &garbage.entropy, store: &damaged)
            _ = try core.publish(first.server(9, sequence: 5).encode(), now: later, store: &damaged)
        }
    }
}
