import Primitives
import Testing
import Wire

@testable import Relay

@Suite struct CapacityProbeTests {
    private static let start = Timestamp(seconds: 20_000 * 86_400 + 3600)

    /// A network of relays, each of which passes on so many envelopes in a second, whoever they are from.
    private struct Relays: ~Copyable {
        var limits: [Bytes32: Int]
        var entropy: Entropy
        var sent: [Bytes32: Int] = [:]
        /// The most loops sent within one second.
        var peak = 0
        private var loads: [Bytes32: [Timestamp]] = [:]

        init(limits: [Bytes32: Int], seed: UInt64) {
            self.limits = limits
            entropy = Entropy(seed: seed)
        }

        /// Runs a probe to its end.
        mutating func run(_ probe: inout CapacityProbe, canReach: (Bytes32) -> Bool = { _ in true }) {
            var back: [(due: Timestamp, id: Bytes16)] = []
            var recent: [Timestamp] = []
            var turns = 0
            while let due = [probe.nextWake, back.map(\.due).min()].compactMap(\.self).min(), turns < 100_000 {
                turns += 1
                for arrived in back where arrived.due <= due { _ = probe.returned(arrived.id, now: due) }
                back.removeAll { $0.due <= due }
                for target in probe.wake(now: due, entropy: &entropy) where canReach(target) {
                    let id: Bytes16 = entropy.bytes()
                    probe.sent(id)
                    sent[target, default: 0] += 1
                    recent = recent.filter { due.milliseconds(since: $0) < 1000 } + [due]
                    peak = max(peak, recent.count)
                    var load = (loads[target] ?? []).filter { due.milliseconds(since: $0) < 1000 }
                    if load.count < limits[target] ?? 0 {
                        load.append(due)
                        back.append((due.adding(milliseconds: UInt64(100 + entropy.below(300))), id))
                    }
                    loads[target] = load
                }
            }
        }
    }

    private func measure(_ limits: [Int], seed: UInt64) -> (results: [UInt8?], relays: [Int], peak: Int) {
        var entropy = Entropy(seed: seed)
        let nodes: [Bytes32] = limits.map { _ in entropy.bytes() }
        var probe = CapacityProbe(
            epoch: 20_000, targets: nodes, from: Self.start, until: Self.start.adding(seconds: 72_000),
            entropy: &entropy)
        var world = Self.world(nodes, limits, seed)
        world.run(&probe)
        #expect(probe.isFinished && probe.nextWake == nil)
        return (nodes.map { probe.results[$0] }, nodes.map { world.sent[$0] ?? 0 }, world.peak)
    }

    private static func world(_ nodes: [Bytes32], _ limits: [Int], _ seed: UInt64) -> Relays {
        Relays(limits: Dictionary(uniqueKeysWithValues: zip(nodes, limits)), seed: seed + 1)
    }

    @Test("finds the step up to which a relay passes envelopes on, and sends no more than it needs")
    func steps() {
        let (results, sent, peak) = measure([1000, 20, 3, 0, 100], seed: 140)
        #expect(results == [6, 3, 1, 0, 6])
        #expect(sent == [252, 60, 12, 4, 252])
        #expect(peak <= 128)
    }

    @Test("says nothing of a relay to which no path can be found")
    func unreachable() {
        var entropy = Entropy(seed: 141)
        let nodes: [Bytes32] = [entropy.bytes(), entropy.bytes()]
        var probe = CapacityProbe(
            epoch: 20_000, targets: nodes, from: Self.start, until: Self.start.adding(seconds: 72_000),
            entropy: &entropy)
        var relays = Self.world(nodes, [1000, 1000], 141)
        relays.run(&probe) { $0 == nodes[0] }
        #expect(probe.results == [nodes[0]: 6])
    }

    @Test("counts a loop once, and none that is late or not its own")
    func loops() {
        var entropy = Entropy(seed: 142)
        let node: Bytes32 = entropy.bytes()
        var probe = CapacityProbe(
            epoch: 20_000, targets: [node], from: Self.start, until: Self.start, entropy: &entropy)
        var ids: [Bytes16] = []
        while let due = probe.nextWake, ids.count < 4 {
            for _ in probe.wake(now: due, entropy: &entropy) {
                ids.append(entropy.bytes())
                probe.sent(ids[ids.count - 1])
            }
        }
        let late = Self.start.adding(milliseconds: CapacityProbe.patience)
        let strange: Bytes16 = entropy.bytes()
        let known = [ids[0], ids[0], strange].map { probe.returned($0, now: Self.start) }
        #expect(known == [true, false, false])
        let tardy = ids[1...2].map { probe.returned($0, now: late) }
        #expect(tardy == [true, true])
        _ = probe.wake(now: late, entropy: &entropy)
        #expect(probe.results == [node: 0])
    }
}
