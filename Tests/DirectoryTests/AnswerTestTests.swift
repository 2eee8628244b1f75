import Glibc
import Primitives
import Testing

@testable import Directory

/// When the answers to a direct lookup are enough (specs/directory.md, "Direct lookups").
@Suite("Enough answers")
struct AnswerTestTests {
    private static let holders = 20

    /// The probability of so many liars among so many holders, multiplied out.
    private static func binomial(_ count: Int, of all: Int, _ share: Double) -> Double {
        var ways = 1.0
        for step in 0..<count { ways *= Double(all - step) / Double(step + 1) }
        for _ in 0..<count { ways *= share }
        for _ in count..<all { ways *= 1 - share }
        return ways
    }

    /// Times of a network in which three servers in ten answer at once and the others within a second, evenly.
    private static func times(_ count: Int, _ entropy: inout Entropy) -> AnswerTimes {
        var times = AnswerTimes()
        for _ in 0..<count { times.note(entropy.below(10) < 3 ? 0 : UInt64(entropy.below(1000))) }
        return times
    }

    @Test("liars who choose when to answer are believed with no more than the stated probability", arguments: 13...20)
    func bound(holders: Int) throws {
        let shares = try #require(AnswerTest.shares(holders: holders))
        #expect(shares.count == holders + 1)
        #expect(zip(shares, shares.dropFirst()).allSatisfy { $0 >= $1 })
        var total = 0.0
        for liars in 1...holders {
            // Liars may all have hurried when the shares were seen: of the honest ones so many had answered at least.
            let honest = max(0, (shares[liars] - 0.3) / 0.7)
            var silent = 1.0
            for _ in liars..<holders { silent *= 1 - honest }
            total += Self.binomial(liars, of: holders, 0.3) * silent
        }
        #expect(total <= AnswerTest.risk)
    }

    @Test("so few holders that all may lie are not judged, nor by few answers seen before")
    func tooFew() {
        #expect(AnswerTest.shares(holders: 12) == nil)
        #expect(AnswerTest.shares(holders: 21) == nil)
        var entropy = Entropy(seed: 5)
        #expect(AnswerTest(Self.times(AnswerTimes.least - 1, &entropy), holders: 20) == nil)
        #expect(AnswerTest(Self.times(AnswerTimes.least, &entropy), holders: 20) != nil)
    }

    @Test("that hardly anything is known of the times adds less than half to the probability")
    func noise() throws {
        let seed: UInt64 = 6
        print("seed \(seed)")
        var entropy = Entropy(seed: seed)
        var total = 0.0
        let tables = 100
        for _ in 0..<tables {
            let test = try #require(AnswerTest(Self.times(AnswerTimes.least, &entropy), holders: Self.holders))
            for liars in 1...Self.holders {
                guard let due = test.due(liars) else { continue }
                let silent = pow(1 - min(1, Double(due) / 1000), Double(Self.holders - liars))
                total += Self.binomial(liars, of: Self.holders, 0.3) * silent / Double(tables)
            }
        }
        #expect(total < 1.5 * AnswerTest.risk)
        #expect(total > AnswerTest.risk / 10)
    }

    @Test("lookups that are played through with liars who answer at once end as the formula has it")
    func played() throws {
        let seed: UInt64 = 7
        print("seed \(seed)")
        var entropy = Entropy(seed: seed)
        let test = try #require(AnswerTest(Self.times(AnswerTimes.limit, &entropy), holders: Self.holders))
        var total = 0.0
        let plays = 4000
        for liars in 6...18 {
            var believed = 0
            let due = try #require(test.due(liars))
            for _ in 0..<plays {
                let isAlone = (liars..<Self.holders).allSatisfy { _ in entropy.below(1000) >= due }
                believed += isAlone ? 1 : 0
            }
            total += Self.binomial(liars, of: Self.holders, 0.3) * Double(believed) / Double(plays)
        }
        #expect(total < 2 * AnswerTest.risk)
        #expect(total > AnswerTest.risk / 10)
    }

    @Test("the times of the last servers are remembered, and silence is no answer")
    func memory() {
        var times = AnswerTimes()
        for _ in 0..<AnswerTimes.limit { times.note(900) }
        #expect(times.milliseconds(until: [1, 0.5]) == [901, 901])
        for _ in 0..<AnswerTimes.limit / 2 { times.note(10) }
        #expect(times.milliseconds(until: [1, 0.5]) == [901, 11])
        for _ in 0..<AnswerTimes.limit / 4 { times.note(nil) }
        for _ in 0..<AnswerTimes.limit / 4 { times.note(UInt64.max) }
        #expect(times.milliseconds(until: [1, 0.5, 0]) == [nil, 11, 1])
        #expect(times.count == AnswerTimes.limit)
    }
}
