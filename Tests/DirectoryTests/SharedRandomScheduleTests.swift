import Primitives
import Records
import Testing
import Wire

@testable import Directory

/// Every schedule of the smallest network, and drawn ones of a larger one: whatever a liar sends to whom and when, all
/// honest participants hold it to the same.
@Suite("Schedules of liars") struct SharedRandomScheduleTests {
    /// When something comes to a server: never, when it is early, in the last moment, and after it.
    private static let moments = 4

    private static func due(_ moment: Int, _ end: UInt64) -> UInt64? {
        switch moment {
        case 1: end - RoundsNetwork.step
        case 2: end
        case 3: end + 1
        default: nil
        }
    }

    private static func version(_ liar: RandomCircle.Cluster, _ number: UInt64) -> SharedRandom.Witnessed {
        let secret = BLAKE2b.h(Domain("test"), Bytes32(), number)
        return SharedRandom.Witnessed(
            liar.commit(SharedRandom.commitment(secret, of: liar.id, epoch: RandomCircle.epoch)))
    }

    /// Three honest participants and a liar, an hour after all others have committed.
    private static func base(_ seed: UInt64) -> RoundsNetwork {
        var network = RoundsNetwork(honest: 3, colluders: 1, seed: seed)
        network.run(to: 3_600_000)
        return network
    }

    @Test("two contents of one liar among four, to each of three never, early, in the last moment or late: all of them")
    func contents() {
        let base = SharedRandomScheduleTests.base(520)
        let liar = base.clusters[3]
        let versions = [1, 2].map { SharedRandomScheduleTests.version(liar, $0) }
        let end = RoundsNetwork.end(.commit, 1)
        let ways = SharedRandomScheduleTests.moments * SharedRandomScheduleTests.moments
        var seen: [Int: Int] = [:]
        // The three are alike, so of schedules that differ by who is who one stands for all.
        for first in 0..<ways {
            for second in first..<ways {
                for third in second..<ways {
                    for delay in [0, RoundsNetwork.step] {
                        var network = base
                        network.delay = { _, _ in delay }
                        for (index, way) in [first, second, third].enumerated() {
                            for (version, moment) in zip(versions, [way % 4, way / 4]) {
                                guard let due = SharedRandomScheduleTests.due(moment, end) else { continue }
                                network.tell(version, to: index, at: due)
                            }
                        }
                        network.run(to: end + 2 * RoundsNetwork.step)
                        let decisions = network.decisions(.commit, of: liar.id)
                        #expect(decisions.count == 1, "\(first) \(second) \(third) \(delay)")
                        seen[decisions.first?.count ?? 0, default: 0] += 1
                    }
                }
            }
        }
        // 816 schedules at two speeds, and each outcome among them.
        #expect(seen.values.reduce(0, +) == 1632 && seen.count == 3)
    }

    @Test(
        "a secret of one liar among four, with each link between the others as fast or as slow as it can be: all of them"
    )
    func links() {
        var base = SharedRandomScheduleTests.base(521)
        let liar = base.clusters[3]
        base.tell(SharedRandomScheduleTests.version(liar, 1), to: 0, at: 3_700_000)
        base.run(to: SharedRandom.revealStart * 1000)
        let reveal = SharedRandom.Witnessed(
            .reveal(
                participant: liar.id, epoch: RandomCircle.epoch, secret: BLAKE2b.h(Domain("test"), Bytes32(), 1)))
        let end = RoundsNetwork.end(.reveal, 1)
        var taken = 0
        for slow in 0..<1 << 9 where [0, 4, 8].allSatisfy({ slow >> $0 & 1 == 0 }) {
            for way in 0..<64 {
                var network = base
                network.delay = { from, to in slow >> (3 * from + to) & 1 == 1 ? RoundsNetwork.step : 0 }
                for index in 0..<3 {
                    let moment = way >> (2 * index) & 3
                    guard let due = SharedRandomScheduleTests.due(moment, end) else { continue }
                    network.tell(reveal, to: index, at: due)
                }
                network.run(to: end + 2 * RoundsNetwork.step)
                let decisions = network.decisions(.reveal, of: liar.id)
                #expect(decisions.count == 1, "\(slow) \(way)")
                taken += decisions.first?.count ?? 0
            }
        }
        // Of 64 ways those 8 bring nothing in which it comes to each never or late.
        #expect(taken == 64 * 56)
    }

    @Test("drawn schedules of three liars among ten, with servers between them that only pass on, agree on one value")
    func drawn() throws {
        for seed in UInt64(530)..<560 {
            var entropy = Entropy(seed: seed)
            var network = RoundsNetwork(honest: 7, colluders: 3, passing: 4, seed: seed)
            let (links, salt) = (network.machines.count, entropy.uint64())
            for index in 0..<links {
                let others = [1, 2, links / 2].flatMap { [(index + $0) % links, (index + links - $0) % links] }
                network.neighbours[index] = Set(others).sorted()
            }
            // At most three links between any two: all have it within 450 s.
            network.delay = { from, to in 1 + (UInt64(31 * from + to) &* (salt | 1)) % 149_000 }
            network.run(to: 7_200_000)
            for kind in [SharedRandom.Message.Kind.commit, .reveal] {
                for liar in network.colluders {
                    for number in UInt64(1)...3 where kind == .commit || number == 1 {
                        draw(number, kind, liar, &network, &entropy)
                    }
                }
                network.run(to: (kind == .commit ? SharedRandom.revealStart : SharedRandom.voteStart) * 1000)
            }
            network.run(to: SharedRandom.voteEnd * 1000)
            for liar in network.colluders {
                #expect(network.decisions(.commit, of: liar.id).count == 1, "seed \(seed)")
            }
            #expect(network.values.count == 1 && network.values != [nil], "seed \(seed)")
        }
    }

    /// Sends a content to some servers, signed by some of the colluders, about the time when it ceases to count.
    private func draw(
        _ number: UInt64, _ kind: SharedRandom.Message.Kind, _ liar: RandomCircle.Cluster,
        _ network: inout RoundsNetwork, _ entropy: inout Entropy
    ) {
        for _ in 0..<entropy.below(4) {
            var version = SharedRandomScheduleTests.version(liar, number)
            if kind == .reveal {
                let secret = BLAKE2b.h(Domain("test"), Bytes32(), number)
                version = .init(.reveal(participant: liar.id, epoch: RandomCircle.epoch, secret: secret))
            }
            for other in network.colluders where entropy.below(2) == 0 { version.sign(by: other.signer) }
            let end = RoundsNetwork.end(kind, version.signatures)
            let early = [0, 1, 300_000, 900_000, RoundsNetwork.step][entropy.below(5)]
            network.tell(version, to: entropy.below(network.machines.count), at: end - early)
        }
    }
}
