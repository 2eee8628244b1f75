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
        let isCounted = days[0].day.isCounted
        #expect(isCounted == (days[1].decision.seats < 3))
    }

    @Test("who shows its secret in the last moment parts the votes: the value follows from the last, with alarm")
    func fallback() throws {
        let days = try DirectoryGrindingTests.days(.lateReveal, 4, seats: 3, days: 1)
        #expect(days[0].day.isFallback && days[0].day.isAlarmed && days[0].day.values.count == 1)
    }
}
