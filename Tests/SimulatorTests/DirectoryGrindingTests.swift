import Directory
import Primitives
import Records
import Testing

@testable import Simulator

/// The experiment on shared random values, small: attacks do what they are said to do.
struct DirectoryGrindingTests {
    /// A few days of one attack by so many of 34 clusters, of which so many of 32 take part.
    private static func days(
        _ attack: Grinder.Attack, _ attackers: Int, seats: Int, days: Int
    ) throws -> [(decision: Grinder.Decision, day: GrindingNetwork.Day)] {
        var entropy = Entropy(seed: 5)
        let network = try GrindingNetwork(34, attackers: attackers, seats: seats, seed: entropy.uint64())
        let circle = (0..<60).map { index in
            Placement.Node(
                id: entropy.bytes(), cluster: VerifyingKey(entropy.bytes()), prefix: [10, UInt8(index)])
        }
        let grinder = Grinder(attack: attack, circle: circle, own: Set(circle.prefix(12).map(\.id)))
        return try (0..<days).map { _ in try grinder.day(network, &entropy) }
    }

    @Test("who withholds what does not suit has a choice, and fewer places on the next day")
    func choice() throws {
        let days = try DirectoryGrindingTests.days(.choose, 3, seats: 3, days: 2)
        #expect(days[0].decision.seats == 3 && days[0].decision.choices == 8)
        for (decision, day) in days {
            #expect(decision.choices == 1 << decision.seats && decision.chosen >= decision.byChance)
            #expect(day.values.count == 1 && !day.isFallback && !day.isAlarmed)
        }
        let isNamed = days[0].day.isNamed
        #expect(isNamed == (days[1].decision.seats < 3))
    }

    @Test(
        "what comes in the last moment, of one or signed by all colluders, parts nobody: it counts for all",
        arguments: [.lateReveal, .chainedCommit] as [Grinder.Attack])
    func lastMoment(_ attack: Grinder.Attack) throws {
        for (_, day) in try DirectoryGrindingTests.days(attack, 10, seats: 10, days: 1) {
            #expect(day.values.count == 1 && !day.isFallback && !day.isAlarmed && !day.isNamed)
        }
    }

    @Test("more colluders than may be faulty can have the value that follows from the last, and are named")
    func starving() throws {
        let days = try DirectoryGrindingTests.days(.starve, 11, seats: 11, days: 1)
        #expect(days[0].day.isFallback && days[0].day.isAlarmed && days[0].day.isNamed)
        #expect(days[0].day.values.count == 1)
    }
}
