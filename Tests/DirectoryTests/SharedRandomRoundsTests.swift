import Primitives
import Records
import Testing
import Wire

@testable import Directory

@Suite("Rounds that carry signatures") struct SharedRandomRoundsTests {
    private static let secret = BLAKE2b.h(Domain("test"), Bytes32(), 7)

    private static func commit(_ cluster: RandomCircle.Cluster, _ number: UInt64? = nil) -> SharedRandom.Witnessed {
        let secret = number.map { BLAKE2b.h(Domain("test"), Bytes32(), $0) } ?? secret
        return SharedRandom.Witnessed(
            cluster.commit(SharedRandom.commitment(secret, of: cluster.id, epoch: RandomCircle.epoch)))
    }

    private static func reveal(_ cluster: RandomCircle.Cluster) -> SharedRandom.Witnessed {
        SharedRandom.Witnessed(.reveal(participant: cluster.id, epoch: RandomCircle.epoch, secret: secret))
    }

    private static func signed(
        _ version: SharedRandom.Witnessed, _ by: some Sequence<RandomCircle.Cluster>
    ) -> SharedRandom.Witnessed {
        var version = version
        for cluster in by { version.sign(by: cluster.signer) }
        return version
    }

    /// Five honest of seven, and three that only pass on, between which each participant has two links at most.
    private static func ring(_ seed: UInt64) -> RoundsNetwork {
        var network = RoundsNetwork(honest: 5, colluders: 2, passing: 3, seed: seed)
        let circle = [0, 5, 1, 2, 6, 3, 4, 7]
        for (place, index) in circle.enumerated() {
            network.neighbours[index] = [circle[(place + 1) % 8], circle[(place + 7) % 8]]
        }
        network.run(to: 3_600_000)
        return network
    }

    @Test("the times of all rounds fit between the phases")
    func schedule() {
        let rounds = UInt64(SharedRandom.Witnessed.limit + 1) * SharedRandom.step
        #expect(SharedRandom.commitTime + rounds <= SharedRandom.revealStart)
        #expect(SharedRandom.revealTime + rounds <= SharedRandom.voteStart)
        // Seven servers of a cluster, one after the other.
        #expect(SharedRandom.voteStart + 6 * SharedRandom.rankDelay < SharedRandom.voteEnd)
    }

    @Test(
        "a commitment and a secret that one server hears in the last moment count for all, and nobody else signs more")
    func lastMoment() throws {
        for to in 0..<8 {
            var network = SharedRandomRoundsTests.ring(500)
            let (liar, other) = (network.clusters[5], network.clusters[6])
            network.tell(SharedRandomRoundsTests.commit(liar), to: to, at: RoundsNetwork.end(.commit, 1))
            network.run(to: SharedRandom.revealStart * 1000)
            let decisions = network.decisions(.commit, of: liar.id)
            // One that does not take part cannot sign: its neighbours hear it too late, and nobody takes it.
            #expect(decisions.count == 1 && decisions.first?.count == (to < 5 ? 1 : 0))
            network.tell(SharedRandomRoundsTests.reveal(liar), to: to, at: RoundsNetwork.end(.reveal, 1))
            network.finish()
            #expect(network.values.count == 1 && network.values != [nil])
            for machine in network.machines.prefix(5) {
                #expect(machine.shown.count == (to < 5 ? 6 : 5) && machine.held(.commit, of: other.id).isEmpty)
            }
            // What came early carries no signature but its own.
            for index in 0..<5 {
                let own = network.machines[3].held(.commit, of: network.clusters[index].id)
                #expect(own.map(\.version.signatures) == [1])
            }
        }
    }

    @Test("what colluders sign among themselves and show to one server in the last moment of any round parts nobody")
    func chains() throws {
        for kind in [SharedRandom.Message.Kind.commit, .reveal] {
            for to in 0..<8 {
                var network = SharedRandomRoundsTests.ring(501)
                let (liar, other) = (network.clusters[5], network.clusters[6])
                let commit = SharedRandomRoundsTests.commit(liar)
                let end = RoundsNetwork.end(kind, 2)
                if kind == .reveal { network.tell(commit, to: 0, at: 3_700_000) }
                network.run(to: kind == .reveal ? SharedRandom.revealStart * 1000 : 3_600_000)
                let message = kind == .commit ? commit : SharedRandomRoundsTests.reveal(liar)
                network.tell(SharedRandomRoundsTests.signed(message, [other]), to: to, at: end)
                network.run(to: end + 2 * RoundsNetwork.step)
                let decisions = network.decisions(kind, of: liar.id)
                #expect(decisions.count == 1 && decisions.first?.count == (to < 5 ? 1 : 0))
                network.finish()
                #expect(network.values.count == 1 && network.values != [nil])
                // Whoever committed and showed its secret to nobody in time is known to all.
                let absent = try network.machines.prefix(5).map {
                    $0.absent(from: try #require(network.values.first ?? nil))
                }
                let isWithheld = kind == .commit ? to < 5 : to >= 5
                #expect(Set(absent) == [isWithheld ? [liar.id] : []])
            }
        }
    }

    @Test(
        "no message is taken after its round, with more signatures than there are rounds, or a signature that does not count"
    )
    func refused() throws {
        var network = SharedRandomRoundsTests.ring(502)
        let (liar, other) = (network.clusters[5], network.clusters[6])
        let commit = SharedRandomRoundsTests.commit(liar)
        func told(_ version: SharedRandom.Witnessed, at milliseconds: UInt64) -> SharedRandom.Tally {
            var machine = network.machines[0]
            let before = machine.counters
            let effects = machine.handle(
                .message(version.encode()), now: RandomCircle.start.adding(milliseconds: milliseconds))
            #expect(effects.isEmpty && machine.held(.commit, of: liar.id).isEmpty)
            #expect(machine.counters.refused == before.refused + 1)
            return machine.counters
        }
        let ends = (1...3).map { RoundsNetwork.end(.commit, $0) }
        let honest = network.clusters[1]
        #expect(told(commit, at: ends[0] + 1).wrongPhase == 1)
        #expect(told(SharedRandomRoundsTests.signed(commit, [other]), at: ends[1] + 1).wrongPhase == 1)
        #expect(told(SharedRandomRoundsTests.signed(commit, [other, honest]), at: ends[2] + 1).wrongPhase == 1)
        // f + 1 = 3 signatures are the most.
        let four = SharedRandomRoundsTests.signed(commit, [other, honest, network.clusters[2]])
        #expect(told(four, at: 3_700_000).wrongPhase == 1)
        var entropy = Entropy(seed: 503)
        let stranger = RandomCircle.Cluster(&entropy)
        #expect(told(SharedRandomRoundsTests.signed(commit, [stranger]), at: ends[0] + 1).foreign == 1)
        // The signature of another content.
        let elsewhere = SharedRandomRoundsTests.signed(SharedRandomRoundsTests.commit(liar, 8), [other])
        let forged = commit.encode() + elsewhere.encode().dropFirst(242)
        let version = try SharedRandom.Witnessed(decoding: forged)
        #expect(told(version, at: ends[0] + 1).wrongSignature == 1)
        // Nobody is its own witness, none counts twice, and there is one order.
        let pair = SharedRandomRoundsTests.signed(commit, [other, honest]).encode()
        let (first, second) = (pair[243..<444], pair[444...])
        for witnesses in [first + first, second + first] {
            #expect(throws: WireError.self) {
                try SharedRandom.Witnessed(decoding: Array(pair[..<243]) + witnesses)
            }
        }
        let own = SharedRandomRoundsTests.signed(SharedRandomRoundsTests.commit(other), [liar]).encode().dropFirst(242)
        #expect(throws: WireError.self) { try SharedRandom.Witnessed(decoding: commit.encode() + own) }
        #expect(SharedRandomRoundsTests.signed(commit, [liar, other, other]).signatures == 2)
        network.finish()
        #expect(network.values.count == 1)
    }

    @Test("two commitments, the second shown in the last moment of any round, leave its author out everywhere")
    func contradiction() throws {
        for signatures in 1...2 {
            for to in 0..<5 {
                var network = SharedRandomRoundsTests.ring(504)
                let (liar, other) = (network.clusters[5], network.clusters[6])
                network.tell(SharedRandomRoundsTests.commit(liar), to: 2, at: 3_700_000)
                let second = SharedRandomRoundsTests.commit(liar, 9)
                network.tell(
                    SharedRandomRoundsTests.signed(second, [other].prefix(signatures - 1)), to: to,
                    at: RoundsNetwork.end(.commit, signatures))
                network.tell(SharedRandomRoundsTests.reveal(liar), to: 0, at: SharedRandom.revealStart * 1000)
                network.finish()
                #expect(network.decisions(.commit, of: liar.id) == [[Bytes32(), Bytes32()]])
                #expect(network.values.count == 1 && network.values != [nil])
                for machine in network.machines.prefix(5) {
                    #expect(machine.shown.count == 5 && machine.evidence[liar.id]?.count == 2)
                }
            }
        }
    }

    @Test("a participant that starts again between the rounds keeps what it took and signs nothing anew")
    func restart() throws {
        for hour in [6.0, 6.34, 6.5, 8, 10.1, 14.01, 15] {
            var network = SharedRandomRoundsTests.ring(505)
            let liar = network.clusters[5]
            network.tell(SharedRandomRoundsTests.commit(liar), to: 1, at: RoundsNetwork.end(.commit, 1))
            network.tell(SharedRandomRoundsTests.reveal(liar), to: 3, at: RoundsNetwork.end(.reveal, 1))
            var moments = [Double(SharedRandom.revealStart) / 3600, hour]
            moments.sort()
            for moment in moments {
                network.run(to: UInt64(moment * 3_600_000))
                guard moment == hour else { continue }
                for index in network.machines.indices {
                    let before = network.machines[index]
                    network.restart(index)
                    for kind in [SharedRandom.Message.Kind.commit, .reveal] {
                        #expect(network.machines[index].checksum(kind) == before.checksum(kind))
                        for cluster in network.clusters {
                            let versions = network.machines[index].held(kind, of: cluster.id).map(\.version)
                            #expect(versions == before.held(kind, of: cluster.id).map(\.version))
                        }
                    }
                }
                let sent = network.sent
                network.run(to: network.now)
                #expect(network.sent == sent)
            }
            network.finish()
            #expect(network.values.count == 1 && network.values != [nil])
            #expect(network.machines.prefix(5).allSatisfy { $0.shown.count == 6 })
        }
    }
}
