import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Correspondence

@Suite("Relays that lose envelopes")
struct RelayHealthTests {
    /// Loops of an agent with two gateways, through three of the other relays each, one a second.
    private struct Walk: ~Copyable {
        var entropy: Entropy
        let nodes: [NodeID]
        var health: RelayHealth
        var now = Timestamp(seconds: 1_800_000_000)

        init(relays: Int, seed: UInt64) throws {
            var drawn = Entropy(seed: seed)
            nodes = (0..<relays).map { _ in drawn.bytes() }
            health = try RelayHealth(MemoryStore())
            entropy = drawn
        }

        /// - Parameter passes: thousandths of envelopes that each relay passes on.
        mutating func loop(_ passes: [Int], gateways: [Int] = [0, 1]) {
            let gateway = gateways[entropy.below(gateways.count)]
            var others = Array(nodes.indices).filter { $0 != gateway }
            if entropy.below(RelayHealth.probeInterval) > 0 {
                let good = others.filter { !health.suspects.contains(nodes[$0]) }
                if good.count >= 3 { others = good }
            }
            entropy.shuffle(&others)
            let path = [gateway] + others.prefix(3) + [gateway]
            let id: Bytes16 = entropy.bytes()
            health.started(id, path: path.map { nodes[$0] }, delay: 150, now: now)
            if path.dropLast().allSatisfy({ entropy.below(1000) < passes[$0] }) { _ = health.returned(id) }
            now = now.adding(milliseconds: 5000)
            health.expire(now)
        }
    }

    @Test(
        "are told apart from those that share their paths, also when they pass on every tenth",
        arguments: [0, 100] as [Int])
    func lossy(_ passed: Int) throws {
        var found = 0
        var wrong = 0
        for seed in 1...20 as ClosedRange<UInt64> {
            var walk = try Walk(relays: 8, seed: seed)
            let passes = [1000, 1000, 1000, passed, 1000, 1000, passed, 1000]
            for _ in 0..<30 { walk.loop(passes) }
            let bad: Set = [walk.nodes[3], walk.nodes[6]]
            found += walk.health.suspects.intersection(bad).count
            wrong += walk.health.suspects.subtracting(bad).count
        }
        #expect(found >= 36 && wrong <= 4, "\(found) of 40, \(wrong) wrongly")
    }

    @Test("are used again when envelopes come through once more, and from half an hour after their last loss on")
    func again() throws {
        var walk = try Walk(relays: 8, seed: 1)
        let bad = walk.nodes[5]
        let passes = [1000, 1000, 1000, 1000, 1000, 0, 1000, 1000]
        for _ in 0..<30 { walk.loop(passes) }
        #expect(walk.health.suspects == [bad])
        var health = walk.health
        health.expire(walk.now.adding(milliseconds: RelayHealth.parole + 5000))
        #expect(health.suspects.isEmpty)
        var loops = 0
        while walk.health.suspects.contains(bad), loops < 1000 {
            walk.loop([Int](repeating: 1000, count: 8))
            loops += 1
        }
        #expect(loops > 3 && loops < 300, "\(loops)")
    }

    @Test("do not get away with it when the agent's own gateway loses everything: it is the gateway that is found")
    func gateway() throws {
        var walk = try Walk(relays: 30, seed: 2)
        var passes = [Int](repeating: 1000, count: 30)
        passes[1] = 0
        for _ in 0..<60 { walk.loop(passes) }
        #expect(walk.health.suspects == [walk.nodes[1]])
    }

    @Test("leave the agent in doubt until its loops come back")
    func doubt() throws {
        var walk = try Walk(relays: 8, seed: 3)
        let whole = [Int](repeating: 1000, count: 8)
        #expect(walk.health.isInDoubt)
        for _ in 0..<10 { walk.loop(whole) }
        #expect(!walk.health.isInDoubt)
        for _ in 0..<10 { walk.loop([Int](repeating: 0, count: 8)) }
        #expect(walk.health.isInDoubt)
        for _ in 0..<30 { walk.loop(whole) }
        #expect(!walk.health.isInDoubt)
    }
}
