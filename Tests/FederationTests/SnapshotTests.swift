import Primitives
import Records
import Testing
import Wire

@testable import Federation

/// A server that signs roots, with its cluster's certificate.
struct TestSigner: ~Copyable {
    let key: SigningKey
    let certificate: ServerCertificate

    init(_ number: Int, cluster: Int, expiry: UInt64 = MapNetwork.start.seconds + 30 * 86_400) {
        var entropy = Entropy(seed: 2_000_000 + UInt64(number))
        key = SigningKey(&entropy)
        certificate = ServerCertificate(server: key.publicKey, expiry: expiry, cluster: TestCluster(cluster).key)
    }

    func root(
        _ fill: UInt8, epoch: UInt64 = MapNetwork.start.epoch, count: UInt32 = 3
    ) throws(SnapshotError) -> SnapshotRoot {
        let hash = Bytes32([UInt8](repeating: fill, count: 32)) ?? Bytes32()
        return try SnapshotRoot(epoch: epoch, root: hash, count: count, certificate: certificate) { key.sign($0) }
    }
}

/// Every copy of `bytes` with one bit turned.
func bitFlips(_ bytes: [UInt8]) -> some Sequence<[UInt8]> {
    (0..<bytes.count * 8).lazy.map { bit in
        var copy = bytes
        copy[bit / 8] ^= 1 << UInt8(bit % 8)
        return copy
    }
}

func servers(_ count: Int, entropy: inout Entropy) -> [SnapshotLeaf] {
    var leaves: [SnapshotLeaf] = []
    for _ in 0..<count {
        leaves.append(
            .server(
                VerifyingKey(entropy.bytes()), cluster: VerifyingKey(entropy.bytes()),
                linkKey: X25519PublicKey(entropy.bytes())))
    }
    return leaves
}

@Suite("Snapshots of the map")
struct SnapshotTests {
    @Test("prove each of their leaves, for every size up to 40, and none in another's place")
    func proofs() throws {
        var entropy = Entropy(seed: 90)
        for count in 1...40 {
            let tree = SnapshotTree(servers(count, entropy: &entropy))
            let root = try #require(tree.root)
            let size = UInt32(count)
            for (index, leaf) in tree.leaves.enumerated() {
                let proof = try #require(tree.proof(of: leaf))
                #expect(try SnapshotProof(decoding: proof.encode()) == proof)
                #expect(proof.index == UInt32(index))
                #expect(proof.proves(leaf, root: root, count: size))
                let stranger = tree.leaves[(index + 1) % count]
                if count > 1 { #expect(!proof.proves(stranger, root: root, count: size)) }
                #expect(!SnapshotProof(index: size, path: proof.path).proves(leaf, root: root, count: size))
                #expect(!proof.proves(leaf, root: root, count: 0))
                let longer = SnapshotProof(index: proof.index, path: proof.path + [root])
                #expect(!longer.proves(leaf, root: root, count: size))
                if count > 1 {
                    let shorter = SnapshotProof(index: proof.index, path: proof.path.dropLast())
                    #expect(!shorter.proves(leaf, root: root, count: size))
                }
            }
        }
    }

    @Test("have the same root in whatever order they were learned, and another when a leaf is missing")
    func order() throws {
        var entropy = Entropy(seed: 91)
        var leaves = servers(13, entropy: &entropy)
        let root = SnapshotTree(leaves).root
        entropy.shuffle(&leaves)
        #expect(SnapshotTree(leaves + leaves).root == root)
        #expect(SnapshotTree(leaves.dropLast()).root != root)
        #expect(SnapshotTree([]).root == nil)
        #expect(SnapshotTree([]).proof(of: leaves[0]) == nil)
    }

    @Test("refuse a proof with any bit turned, any byte missing, or more than twenty levels")
    func badProofs() throws {
        var entropy = Entropy(seed: 92)
        let tree = SnapshotTree(servers(11, entropy: &entropy))
        let leaf = tree.leaves[4]
        let root = try #require(tree.root)
        let proof = try #require(tree.proof(of: leaf))
        let bytes = proof.encode()
        for flipped in bitFlips(bytes) {
            let made = try? SnapshotProof(decoding: flipped)
            #expect(made?.proves(leaf, root: root, count: 11) != true)
        }
        for count in bytes.indices {
            #expect(throws: WireError.self) { try SnapshotProof(decoding: Array(bytes[..<count])) }
        }
        #expect(throws: WireError.trailingBytes(1)) { try SnapshotProof(decoding: bytes + [0]) }
        let deep = SnapshotProof(index: 0, path: Array(repeating: root, count: 21))
        #expect(throws: WireError.outOfRange(field: "path")) { try SnapshotProof(decoding: deep.encode()) }
        #expect(!deep.proves(leaf, root: root, count: .max))
    }

    @Test("do not take an inner node for a leaf")
    func domains() throws {
        var entropy = Entropy(seed: 93)
        let tree = SnapshotTree(servers(2, entropy: &entropy))
        let hashes = tree.leaves.map(\.hash)
        #expect(tree.root != BLAKE2b.h(Domain("hulda/snap-leaf"), hashes[0].bytes + hashes[1].bytes))
        #expect(tree.root == BLAKE2b.h(Domain("hulda/snap-node"), hashes[0].bytes + hashes[1].bytes))
    }

    @Test("list servers that were announced before the epoch began and for it, and their clusters")
    func membership() throws {
        let epoch = MapNetwork.start.epoch
        var entropy = Entropy(seed: 94)
        var made: [ServerDescriptor] = []
        for (number, epochs) in [[epoch - 1, epoch], [epoch - 1, epoch, epoch + 1], [epoch, epoch + 1], [epoch - 1]]
            .enumerated()
        {
            let signer = TestSigner(number, cluster: number)
            made.append(
                try ServerDescriptor(
                    certificate: signer.certificate, sequence: 1, expiry: MapNetwork.start.seconds + 86_400,
                    linkKey: X25519PublicKey(entropy.bytes()), tcp: SocketAddress(v4: (127, 0, 0, 1), port: 1),
                    udp: SocketAddress(v4: (127, 0, 0, 1), port: 1), roles: .relay,
                    mixKeys: epochs.map { MixKeyEntry(epoch: $0, key: X25519PublicKey(entropy.bytes())) },
                    software: "", key: signer.key))
        }
        let tree = SnapshotTree(epoch: epoch, servers: made)
        let expected = made.prefix(2).flatMap {
            [SnapshotLeaf.cluster($0.clusterID), .server($0.serverID, cluster: $0.clusterID, linkKey: $0.linkKey)]
        }
        #expect(tree.leaves == expected.sorted())
        #expect(SnapshotTree(epoch: 0, servers: made).root == nil)
    }
}

@Suite("Signed snapshot roots")
struct SnapshotRootTests {
    @Test("survive encoding, and are refused with any bit turned or byte missing")
    func corruption() throws {
        let root = try TestSigner(1, cluster: 1).root(7)
        let bytes = root.encode()
        #expect(bytes.count == SnapshotRoot.encodedSize)
        #expect(try SnapshotRoot(decoding: bytes) == root)
        try root.verify()
        for flipped in bitFlips(bytes) {
            #expect(throws: SnapshotError.self) { try SnapshotRoot(decoding: flipped).verify() }
        }
        for count in bytes.indices {
            #expect(throws: SnapshotError.self) { try SnapshotRoot(decoding: Array(bytes[..<count])) }
        }
        #expect(throws: SnapshotError.malformed(.trailingBytes(1))) { try SnapshotRoot(decoding: bytes + [0]) }
    }

    @Test("need a certificate that held when the epoch began")
    func certificates() throws {
        let begin = MapNetwork.start.epoch * 86_400
        try TestSigner(1, cluster: 1, expiry: begin + 1).root(1).verify()
        let late = try TestSigner(1, cluster: 1, expiry: begin).root(1)
        #expect(throws: SnapshotError.certificateOver) { try late.verify() }
    }

    @Test("are not taken of an epoch that is neither the current nor the last one")
    func epochs() throws {
        let signer = TestSigner(1, cluster: 1)
        let now = MapNetwork.start
        for epoch in [now.epoch, now.epoch - 1] { try signer.root(1, epoch: epoch).checkEpoch(at: now) }
        for epoch in [0, now.epoch - 2, now.epoch + 1, now.epoch + 1000, SnapshotRoot.epochLimit - 1] {
            let root = try signer.root(1, epoch: epoch)
            #expect(throws: SnapshotError.epochFarOff(epoch)) { try root.checkEpoch(at: now) }
        }
        // Clocks may differ by ten minutes.
        let evening = Timestamp(seconds: (now.epoch + 1) * 86_400 - 600)
        try signer.root(1, epoch: now.epoch + 1).checkEpoch(at: evening)
        #expect(throws: SnapshotError.malformed(.outOfRange(field: "epoch"))) { try signer.root(1, epoch: .max) }
    }

    @Test("must be signed by the key of the certificate, and have from one to 2^20 leaves")
    func limits() throws {
        let signer = TestSigner(1, cluster: 1)
        let other = TestSigner(2, cluster: 1)
        #expect(throws: SnapshotError.foreignKey) {
            try SnapshotRoot(epoch: 5, root: Bytes32(), count: 1, certificate: signer.certificate) {
                other.key.sign($0)
            }
        }
        for count in [0, SnapshotRoot.countLimit + 1, .max] {
            #expect(throws: SnapshotError.malformed(.outOfRange(field: "count"))) { try signer.root(1, count: count) }
        }
    }
}
