import Primitives
import Records
import Testing
import Wire

@testable import Federation

@Suite("Evidence of contradiction")
struct EvidenceTests {
    /// One file of each kind.
    private func all() throws -> [EquivocationEvidence] {
        let signer = TestSigner(1, cluster: 1)
        let second = TestSigner(2, cluster: 1)
        let cluster = TestCluster(1)
        return [
            try EquivocationEvidence(signer.root(1), signer.root(2)),
            try EquivocationEvidence(signer.root(1), second.root(2)),
            try EquivocationEvidence(
                .cluster(cluster.descriptor()), .cluster(cluster.descriptor(endorsing: [TestCluster(2).id]))),
            try EquivocationEvidence(
                .server(cluster.server(1)), .server(cluster.server(1, roles: [.relay, .home]))),
        ]
    }

    @Test("is accepted by whoever has nothing but the file, and is the same file from either side")
    func fresh() throws {
        for (evidence, kind) in zip(try all(), EquivocationEvidence.Kind.allCases) {
            let read = try EquivocationEvidence(decoding: evidence.encode())
            try read.verify()
            #expect(read == evidence)
            #expect(read.kind == kind)
            #expect(read.clusterID == TestCluster(1).id)
            #expect(read.description.contains(read.subject.bytes.hex))
            #expect(evidence.encode().count <= EvidenceFile.sizeLimit)
        }
        let signer = TestSigner(1, cluster: 1)
        let one = try EquivocationEvidence(signer.root(1), signer.root(2))
        let other = try EquivocationEvidence(signer.root(2), signer.root(1))
        #expect(one.encode() == other.encode())
        #expect(one.subject == signer.key.publicKey)
    }

    @Test("is refused with any bit turned")
    func flips() throws {
        for evidence in try all() {
            for flipped in bitFlips(evidence.encode()) {
                #expect(throws: EvidenceError.self) { try EquivocationEvidence(decoding: flipped).verify() }
            }
        }
    }

    @Test("is refused when cut anywhere, or when anything follows")
    func truncation() throws {
        for evidence in try all() {
            let bytes = evidence.encode()
            for count in bytes.indices {
                #expect(throws: EvidenceError.self) { try EquivocationEvidence(decoding: Array(bytes[..<count])) }
            }
            #expect(throws: EvidenceError.malformed(.trailingBytes(1))) {
                try EquivocationEvidence(decoding: bytes + [0])
            }
        }
    }

    @Test("is not made of statements that do not contradict each other")
    func harmless() throws {
        let signer = TestSigner(1, cluster: 1)
        let renewed = TestSigner(1, cluster: 1, expiry: MapNetwork.start.seconds + 60 * 86_400)
        let epoch = MapNetwork.start.epoch
        #expect(throws: EvidenceError.sameStatement) { try EquivocationEvidence(signer.root(1), signer.root(1)) }
        #expect(throws: EvidenceError.sameStatement) { try EquivocationEvidence(signer.root(1), renewed.root(1)) }
        #expect(throws: EvidenceError.unrelated) {
            try EquivocationEvidence(signer.root(1), signer.root(2, epoch: epoch - 1))
        }
        #expect(throws: EvidenceError.unrelated) {
            try EquivocationEvidence(signer.root(1), TestSigner(2, cluster: 2).root(2))
        }
        let cluster = TestCluster(1)
        #expect(throws: EvidenceError.unrelated) {
            try EquivocationEvidence(.cluster(cluster.descriptor()), .cluster(cluster.descriptor(sequence: 2)))
        }
        #expect(throws: EvidenceError.unrelated) {
            try EquivocationEvidence(.cluster(cluster.descriptor()), .server(cluster.server(1)))
        }
        #expect(throws: EvidenceError.sameStatement) {
            try EquivocationEvidence(.cluster(cluster.descriptor()), .cluster(cluster.descriptor()))
        }
    }

    @Test("is refused of the wrong kind, in the wrong order, with a part forged, and in another format")
    func forged() throws {
        let evidence = try all()[0]
        let head = EvidenceFile.magic + [1, 1]
        func file(_ parts: [UInt8]...) -> [UInt8] {
            var writer = Writer()
            writer.append(head)
            for part in parts { writer.prefixed(part) }
            return writer.bytes
        }
        #expect(throws: EvidenceError.wrongOrder) {
            try EquivocationEvidence(decoding: file(evidence.second, evidence.first))
        }
        #expect(throws: EvidenceError.sameStatement) {
            try EquivocationEvidence(decoding: file(evidence.first, evidence.first))
        }
        var stolen = evidence.second
        stolen.replaceSubrange(182..., with: Array(evidence.first[182...]))
        let parts =
            stolen.lexicographicallyPrecedes(evidence.first)
            ? file(stolen, evidence.first) : file(evidence.first, stolen)
        #expect(throws: EvidenceError.root(part: 1, .wrongSignature)) {
            try EquivocationEvidence(decoding: parts).verify()
        }
        let descriptors = try TestCluster(1).descriptor().encode()
        #expect(throws: EvidenceError.self) { try EquivocationEvidence(decoding: file(descriptors, evidence.second)) }
        var bytes = evidence.encode()
        bytes[15] = 2
        #expect(throws: EvidenceError.unknownVersion(2)) { try EquivocationEvidence(decoding: bytes) }
        bytes[15] = 1
        bytes[16] = 9
        #expect(throws: EvidenceError.malformed(.unknownKind(9))) { try EquivocationEvidence(decoding: bytes) }
        #expect(throws: EvidenceError.notEvidence) { try EquivocationEvidence(decoding: []) }
        #expect(throws: EvidenceError.notEvidence) { try EquivocationEvidence(decoding: descriptors) }
    }

    @Test("still holds when the descriptors are long over, but not when they never were valid")
    func dates() throws {
        let cluster = TestCluster(1)
        for expiry in [1, MapNetwork.start.seconds - 1_000_000] {
            let old = try EquivocationEvidence(
                .server(cluster.server(1, expiry: expiry)), .server(cluster.server(1, expiry: expiry, roles: .home)))
            try old.verify()
        }
        for expiry: UInt64 in [0, MapNetwork.start.seconds + 90 * 86_400, .max] {
            let never = try EquivocationEvidence(
                .server(cluster.server(1, expiry: expiry)), .server(cluster.server(1, expiry: expiry, roles: .home)))
            #expect(throws: EvidenceError.self) { try never.verify() }
        }
    }

    @Test("of one cluster with many pieces gives way to that of others when all places are taken, and of nobody's else")
    func ledger() {
        var ledger = EvidenceLedger()
        /// Four pieces of each of the four kinds.
        func keys(_ cluster: Int) -> [[UInt8]] {
            (0..<16).map { [UInt8(1 + $0 / 4), UInt8($0 % 4), UInt8(cluster / 256), UInt8(cluster % 256)] }
        }
        for cluster in 0..<64 {
            for key in keys(cluster) { #expect(ledger.insert(key, of: TestCluster(cluster).id) == (true, nil)) }
        }
        #expect(ledger.count == EvidenceLedger.limit)
        #expect(ledger.insert(keys(0)[3], of: TestCluster(0).id) == (false, nil))
        #expect(ledger.insert([1, 9], of: TestCluster(0).id) == (false, nil))
        // Each newcomer finds a place, until all have about the same.
        var evicted: Set<[UInt8]> = []
        for cluster in 64..<1024 {
            let (isKept, victim) = ledger.insert(keys(cluster)[0], of: TestCluster(cluster).id)
            #expect(isKept)
            if let victim { #expect(evicted.insert(victim).inserted) }
        }
        #expect(evicted.count == 960)
        #expect(ledger.count == EvidenceLedger.limit)
        // What is left is the first of each: nobody has two now.
        #expect(evicted.isDisjoint(with: (0..<1024).map { keys($0)[0] }))
        #expect(ledger.insert([9], of: TestCluster(2000).id) == (false, nil))
    }
}
