import Fuzz
import Primitives
import Records
import SecondImplementation
import Storage
import Testing
import Wire

@testable import Directory

@Suite("Evidence of two statements on a shared random value")
struct SharedRandomEvidenceTests {
    private static let seed: UInt64 = 331

    /// Two commitments, and two votes.
    private func all() throws -> [SharedRandomEvidence] {
        print("shared random evidence seed \(SharedRandomEvidenceTests.seed)")
        var entropy = Entropy(seed: SharedRandomEvidenceTests.seed)
        let cluster = RandomCircle.Cluster(&entropy)
        return [
            try SharedRandomEvidence(cluster.commit(entropy.bytes()), cluster.commit(entropy.bytes())),
            try SharedRandomEvidence(cluster.vote(entropy.bytes()), cluster.vote(entropy.bytes())),
        ]
    }

    @Test("is accepted by whoever has nothing but the file, and is the same file from either side")
    func fresh() throws {
        for (evidence, kind) in zip(try all(), SharedRandomEvidence.Kind.allCases) {
            let read = try SharedRandomEvidence(decoding: evidence.encode())
            try read.verify()
            #expect(read == evidence && read.kind == kind && read.epoch == RandomCircle.epoch)
            #expect(read.description.contains(read.clusterID.bytes.hex))
            #expect(read.fileName == "\(kind)-\(read.epoch)-\(read.clusterID.bytes.hex).evidence")
        }
        var entropy = Entropy(seed: 1)
        let cluster = RandomCircle.Cluster(&entropy)
        let (one, other) = (cluster.commit(entropy.bytes()), cluster.commit(entropy.bytes()))
        #expect(try SharedRandomEvidence(one, other).encode() == SharedRandomEvidence(other, one).encode())
    }

    @Test(
        "of one cluster fills no more than its share of the places, and gives way to the first of others; so it does later"
    )
    func places() throws {
        var entropy = Entropy(seed: 332)
        var store = MemoryStore()
        var ledger = try SharedRandomStore.ledger(store)
        let clusters = (0..<257).map { _ in RandomCircle.Cluster(&entropy) }
        func contradiction(_ cluster: RandomCircle.Cluster, _ day: UInt64) throws -> SharedRandomEvidence {
            let epoch = RandomCircle.epoch + day
            return try SharedRandomEvidence(
                cluster.commit(entropy.bytes(), epoch: epoch), cluster.commit(entropy.bytes(), epoch: epoch))
        }
        for day in 0..<6 as Range<UInt64> {
            let isKept = try SharedRandomStore.put(contradiction(clusters[0], day), &ledger, &store)
            #expect(isKept == (day < 4))
        }
        for cluster in clusters[1..<256] {
            for day in 0..<4 as Range<UInt64> {
                let isKept = try SharedRandomStore.put(contradiction(cluster, day), &ledger, &store)
                #expect(isKept)
            }
        }
        #expect(try store.count(SharedRandomStore.evidenceTable) == EvidenceLedger.limit)
        // Another run knows as much.
        ledger = try SharedRandomStore.ledger(store)
        let isKept = try SharedRandomStore.put(contradiction(clusters[0], 0), &ledger, &store)
        #expect(!isKept)
        let isNewcomerKept = try SharedRandomStore.put(contradiction(clusters[256], 0), &ledger, &store)
        #expect(isNewcomerKept)
        let kept = try SharedRandomStore.evidence(store)
        #expect(kept.count == EvidenceLedger.limit && Set(kept.map(\.clusterID)).count == 257)
        #expect(kept.count { $0.epoch == RandomCircle.epoch } == 257)
    }

    @Test("is refused with any bit turned, and when cut or followed by anything")
    func damaged() throws {
        for evidence in try all() {
            let bytes = evidence.encode()
            for bit in 0..<bytes.count * 8 {
                var flipped = bytes
                flipped[bit / 8] ^= 1 << (bit % 8)
                #expect(throws: SharedRandomEvidence.Failure.self) {
                    try SharedRandomEvidence(decoding: flipped).verify()
                }
            }
            for count in bytes.indices {
                #expect(throws: SharedRandomEvidence.Failure.self) {
                    try SharedRandomEvidence(decoding: Array(bytes[..<count]))
                }
            }
            #expect(throws: SharedRandomEvidence.Failure.file(.malformed(.trailingBytes(1)))) {
                try SharedRandomEvidence(decoding: bytes + [0])
            }
        }
    }

    @Test("is not made of statements that may both be true")
    func harmless() throws {
        var entropy = Entropy(seed: 2)
        let (one, other) = (RandomCircle.Cluster(&entropy), RandomCircle.Cluster(&entropy))
        let content: Bytes32 = entropy.bytes()
        #expect(throws: SharedRandomEvidence.Failure.unrelated) {
            try SharedRandomEvidence(one.commit(content), other.commit(entropy.bytes()))
        }
        #expect(throws: SharedRandomEvidence.Failure.unrelated) {
            try SharedRandomEvidence(one.commit(content), one.vote(entropy.bytes()))
        }
        #expect(throws: SharedRandomEvidence.Failure.sameStatement) {
            try SharedRandomEvidence(one.vote(content), one.vote(content))
        }
        let reveal = SharedRandom.Message.reveal(participant: one.id, epoch: 7, secret: content)
        #expect(throws: SharedRandomEvidence.Failure.unrelated) { try SharedRandomEvidence(reveal, reveal) }
        let file = EvidenceFile(kind: 1, one.vote(content).encode(), one.vote(entropy.bytes()).encode())
        #expect(throws: SharedRandomEvidence.Failure.otherKind(1)) {
            try SharedRandomEvidence(decoding: file.encode())
        }
    }

    @Test("noise is read as what it encodes to, or refused")
    func noise() throws {
        var garbage = Garbage("shared random evidence", seed: 332)
        let encoded = try all().map { $0.encode() }
        var accepted = 0
        for _ in 0..<10_000 {
            let bytes = garbage.bytes(like: encoded)
            guard let read = try? SharedRandomEvidence(decoding: bytes) else { continue }
            accepted += 1
            #expect(read.encode() == bytes)
        }
        #expect(accepted > 0)
    }

    @Test("the committed files of another implementation are accepted and encoded the same")
    func vectors() throws {
        struct File: Decodable { let sharedEvidence: [[String: String]] }
        let files = try Peer.vectors("map", as: File.self).sharedEvidence
        #expect(files.map { $0["kind"] } == ["5", "6"])
        for made in files {
            let evidence = try SharedRandomEvidence(decoding: #require(Hex.decode(made["file"] ?? "")))
            try evidence.verify()
            #expect("\(evidence.kind.rawValue)" == made["kind"])
            #expect(evidence.clusterID.bytes.hex == made["subject"])
            #expect(Hex.encode(evidence.encode()) == made["file"])
        }
    }

    @Test("Python accepts our files and refuses them corrupted", .enabled(if: Peer.isWanted, "HULDA_PYTHON is not set"))
    func python() throws {
        var requests: [[String: String]] = []
        for evidence in try all() {
            let bytes = evidence.encode()
            requests.append(["file": Hex.encode(bytes)])
            for place in stride(from: 0, to: bytes.count, by: 37) {
                var damaged = bytes
                damaged[place] ^= 4
                requests.append(["file": Hex.encode(damaged)])
            }
        }
        let answers = try Peer("map").answers(to: requests, as: [String: String].self)
        #expect(answers.count == requests.count)
        for (request, answer) in zip(requests, answers) {
            let read = try? SharedRandomEvidence(decoding: Hex.decode(request["file"] ?? "") ?? [])
            let holds = read.map { (try? $0.verify()) != nil } ?? false
            #expect(holds == (answer["error"] == nil))
            if holds { #expect(answer["subject"] == read?.clusterID.bytes.hex) }
        }
    }
}
