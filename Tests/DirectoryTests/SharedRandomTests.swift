import Primitives
import Records
import Testing
import Wire

@testable import Directory

/// Participants that hear each other at once, and liars that the test speaks for.
struct RandomCircle {
    static let epoch: UInt64 = 20_001
    static let start = Timestamp(seconds: 20_000 * 86_400)
    /// A cluster with one server.
    struct Cluster {
        let signer: CertifiedSigner
        var id: VerifyingKey { signer.certificate.clusterID }

        init(_ entropy: inout Entropy) {
            let cluster = SigningKey(&entropy)
            let server = SharedKey(SigningKey(&entropy))
            signer = CertifiedSigner(
                certificate: ServerCertificate(
                    server: server.publicKey, expiry: RandomCircle.start.seconds + 90 * 86_400, cluster: cluster)
            ) { server.sign($0) }
        }

        func commit(_ commitment: Bytes32, epoch: UInt64 = RandomCircle.epoch) -> SharedRandom.Message {
            .commit(SharedRandom.Statement(.commit, epoch: epoch, content: commitment, by: signer))
        }

        func vote(_ value: Bytes32) -> SharedRandom.Message {
            .vote(SharedRandom.Statement(.vote, epoch: RandomCircle.epoch, content: value, by: signer))
        }
    }

    let clusters: [Cluster]
    var machines: [SharedRandom]
    var deaf: Set<Int> = []
    var ended: [Int: SharedRandom.Effect] = [:]

    init(_ count: Int, silent: Set<Int> = []) {
        var entropy = Entropy(seed: 400)
        let clusters = (0..<count).map { _ in Cluster(&entropy) }
        self.clusters = clusters
        machines = clusters.enumerated().map { index, cluster in
            SharedRandom(
                epoch: RandomCircle.epoch, participants: clusters.map { SharedRandom.name(of: $0.id) },
                previous: Bytes32(), own: silent.contains(index) ? nil : cluster.signer)
        }
    }

    mutating func handle(_ index: Int, _ event: SharedRandom.Event, _ seconds: UInt64) {
        var pending: [(Int, SharedRandom.Event)] = [(index, event)]
        while let (index, event) = pending.popLast() {
            for effect in machines[index].handle(event, now: RandomCircle.start.adding(seconds: seconds)) {
                switch effect {
                case .broadcast(let bytes):
                    for other in machines.indices where other != index && !deaf.contains(other) {
                        pending.append((other, .message(bytes.encode())))
                    }
                case .agreed, .failed: ended[index] = effect
                }
            }
        }
    }

    mutating func wake(_ seconds: UInt64, _ who: Range<Int>? = nil) {
        for index in who ?? machines.indices where !deaf.contains(index) { handle(index, .wake, seconds) }
    }

    mutating func tell(_ message: SharedRandom.Message, _ to: Int, _ seconds: UInt64) {
        handle(to, .message(message.encode()), seconds)
    }

    mutating func finish() {
        wake(SharedRandom.revealStart)
        wake(SharedRandom.voteStart)
        wake(SharedRandom.voteEnd)
    }

    var values: Set<Bytes32> {
        Set(
            ended.values.compactMap {
                guard case .agreed(let value, _) = $0 else { return nil }
                return value
            })
    }
}

@Suite struct SharedRandomTests {
    @Test("all participants agree on one value that two thirds have signed, and it places servers anew")
    func agreement() throws {
        var circle = RandomCircle(7)
        circle.wake(10)
        circle.finish()
        #expect(circle.ended.count == 7 && circle.values.count == 1)
        guard case .agreed(let value, let votes) = circle.ended[0] else {
            Issue.record("no agreement")
            return
        }
        #expect(votes.count >= 5 && votes.allSatisfy { SharedRandom.Message.vote($0).isSigned && $0.content == value })
        let nodes = PlacementTests.nodes(50, clusters: 50, prefixes: 50, seed: 401)
        let key = VerifyingKey(value)
        let agreed = Placement(nodes: nodes, epoch: RandomCircle.epoch, shared: value)
        #expect(agreed.holders(of: key) != Placement(nodes: nodes, epoch: RandomCircle.epoch).holders(of: key))
    }

    @Test("a participant that withholds its secret is left out and counted; the others agree without it")
    func withholding() {
        var circle = RandomCircle(7)
        circle.wake(10)
        circle.deaf = [6]
        circle.finish()
        #expect(circle.values.count == 1)
        #expect(circle.machines[0].counters.withheld == 1)
        // More than a third that withhold end in the value that follows from the last, named.
        var many = RandomCircle(7)
        many.wake(10)
        many.deaf = [4, 5, 6]
        many.finish()
        let expected = SharedRandom.fallback(previous: Bytes32(), epoch: RandomCircle.epoch)
        let missing = [4, 5, 6].map { many.clusters[$0].id }.sorted()
        #expect(many.ended[0] == .failed(value: expected, .withheld(missing)))
    }

    @Test("a participant that commits twice is left out everywhere, and both commitments are kept as evidence")
    func equivocation() {
        var circle = RandomCircle(7, silent: [6])
        circle.wake(10)
        let liar = circle.clusters[6]
        let secrets = (1...2).map { BLAKE2b.h(Domain("test"), Bytes32(), UInt64($0)) }
        for (secret, to) in zip(secrets, [0, 5]) {
            circle.tell(
                liar.commit(SharedRandom.commitment(secret, of: liar.id, epoch: RandomCircle.epoch)), to, 20)
        }
        for machine in circle.machines {
            #expect(machine.counters.equivocations == 1)
            #expect(machine.evidence[liar.id]?.count == 2)
        }
        circle.tell(
            .reveal(participant: liar.id, epoch: RandomCircle.epoch, secret: secrets[0]), 0,
            SharedRandom.revealStart + 1)
        circle.finish()
        #expect(circle.values.count == 1)
    }

    @Test("late and early messages, wrong secrets, strangers and garbage change nothing and are counted")
    func hostile() {
        var circle = RandomCircle(7, silent: [6])
        let reference = {
            var circle = RandomCircle(7, silent: [6])
            circle.wake(10)
            circle.finish()
            return circle.values
        }()
        circle.wake(10)
        let liar = circle.clusters[6]
        let secret = BLAKE2b.h(Domain("test"), Bytes32(), 1)
        let epoch = RandomCircle.epoch
        let commitment = SharedRandom.commitment(secret, of: liar.id, epoch: epoch)
        let good = liar.commit(commitment)
        let reveal = SharedRandom.Message.reveal(participant: liar.id, epoch: epoch, secret: secret)
        var entropy = Entropy(seed: 402)
        for _ in 0..<2000 {
            var bytes = good.encode()
            if entropy.below(2) == 0 { bytes = entropy.array(entropy.below(200)) } else { bytes.removeLast() }
            circle.handle(0, .message(bytes), 30)
        }
        #expect(circle.machines[0].counters.malformed == 2000)
        for place in [242 - 1, 8 + 33 + 137 - 1] {
            var forged = good.encode()
            forged[place] ^= 1
            circle.handle(0, .message(forged), 20)
        }
        let stranger = RandomCircle(8).clusters[7]
        circle.tell(liar.commit(commitment, epoch: epoch + 1), 0, 20)
        circle.tell(stranger.commit(commitment), 0, 20)
        circle.tell(reveal, 0, 20)
        circle.tell(good, 0, SharedRandom.commitTime + 1)
        circle.tell(reveal, 0, SharedRandom.revealStart + 1)
        circle.tell(reveal, 0, SharedRandom.revealTime + 1)
        let counters = circle.machines[0].counters
        #expect(counters.wrongSignature == 2)
        #expect(counters.foreign == 2)
        #expect(counters.wrongPhase == 3)
        #expect(counters.wrongSecret == 1)
        circle.finish()
        #expect(circle.values == reference && reference.count == 1)
    }

    @Test("votes for two values agree on neither when no two thirds are for one; too few participants never agree")
    func disagreement() {
        var few = RandomCircle(3)
        few.wake(10)
        few.finish()
        let fallback = SharedRandom.fallback(previous: Bytes32(), epoch: RandomCircle.epoch)
        #expect(few.ended[0] == .failed(value: fallback, .tooFew))
        var circle = RandomCircle(7)
        circle.wake(10)
        circle.wake(SharedRandom.revealStart)
        // Three do not take part in the vote; the test votes for them.
        circle.deaf = [4, 5, 6]
        let other = BLAKE2b.h(Domain("test"), Bytes32(), 9)
        for index in 4..<7 {
            circle.tell(circle.clusters[index].vote(other), 0, SharedRandom.voteStart - 5)
        }
        circle.wake(SharedRandom.voteStart)
        circle.wake(SharedRandom.voteEnd)
        #expect(circle.ended[0] == .failed(value: fallback, .disagreement))
        #expect(circle.machines[0].nextWake(after: RandomCircle.start) == nil)
    }

    @Test("those take part that are long on the map, one of a prefix, the oldest first")
    func eligibility() {
        var entropy = Entropy(seed: 403)
        let keys: [VerifyingKey] = (0..<60).map { _ in VerifyingKey(entropy.bytes()) }
        var candidates = keys.enumerated().map { index, key in
            SharedRandom.Candidate(cluster: key, admitted: UInt64(100 + index), prefix: [10, UInt8(index % 40)])
        }
        let chosen = SharedRandom.participants(of: candidates, epoch: 130)
        // Admitted in 100 to 123, all of different prefixes.
        #expect(chosen == keys.prefix(24).map { SharedRandom.name(of: $0) }.sorted())
        #expect(SharedRandom.participants(of: candidates, epoch: 1000).count == SharedRandom.most)
        entropy.shuffle(&candidates)
        #expect(SharedRandom.participants(of: candidates, epoch: 130) == chosen)
        candidates = keys.map { SharedRandom.Candidate(cluster: $0, admitted: 0, prefix: [9, 9]) }
        #expect(SharedRandom.participants(of: candidates, epoch: 130).count == 1)
        #expect(SharedRandom.participants(of: candidates, epoch: 3).isEmpty)
    }
}
