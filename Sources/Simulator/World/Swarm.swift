import Primitives

extension Scenario {
    /// A short run with random faults: each seed has its own.
    public static func random(_ seed: UInt64) -> Scenario {
        var entropy = Entropy(
            seed: BLAKE2b.h(Domain("hulda/sim-swarm"), withUnsafeBytes(of: seed.littleEndian, Array.init)))
        var scenario = Scenario()
        scenario.description = "swarm, seed \(seed)"
        scenario.servers = 7 + entropy.below(5)
        scenario.agents = 2 + entropy.below(3)
        scenario.seconds = 60
        scenario.settle = 60
        scenario.rate = 1 + 2 * entropy.unit()
        scenario.messages = 2 + entropy.below(4)
        scenario.changes = entropy.below(4)
        if entropy.below(2) == 0 { scenario.loss = entropy.below(150) }
        if entropy.below(2) == 0 { scenario.duplicates = entropy.below(200) }
        if entropy.below(2) == 0 { scenario.reordered = entropy.below(200) }
        if entropy.below(3) == 0 { scenario.skew = entropy.below(60_000) }
        // Three of seven servers at most, up to four of eleven.
        if entropy.below(2) == 0 {
            for _ in 0..<1 + entropy.below((scenario.servers + 2) / 3) {
                scenario.liars.append(Liars(Conduct.allCases[1 + entropy.below(Conduct.allCases.count - 1)], count: 1))
            }
        }
        for _ in 0..<1 + entropy.below(5) {
            let kind = Fault.Kind.allCases[entropy.below(Fault.Kind.allCases.count)]
            // A clock is wrong by minutes, or by a day.
            let day: Int64 = [0, 0, -86_400, 86_400][entropy.below(4)]
            scenario.faults.append(
                Fault(
                    kind, at: UInt64(entropy.below(50)), seconds: UInt64(1 + entropy.below(30)),
                    count: 1 + entropy.below(3), amount: day + Int64(entropy.below(240)) - 120))
        }
        return scenario
    }
}

/// Many short runs, each of its own seed, until somebody says that it is enough.
public struct Swarm: Sendable {
    /// A run whose invariants did not hold, or that could not go on.
    public struct Failure: Equatable, Sendable {
        public let seed: UInt64
        public let violations: [Violation]
        public let error: ScenarioError?
    }

    public let firstSeed: UInt64
    private let defect: Defect?
    public private(set) var runs: UInt64 = 0
    public private(set) var effects: UInt64 = 0
    public private(set) var exercise = Exercise()
    public private(set) var failures: [Failure] = []

    /// - Parameter defect: what is broken on purpose in every run.
    public init(firstSeed: UInt64, defect: Defect? = nil) {
        self.firstSeed = firstSeed
        self.defect = defect
    }

    /// Runs the next seed.
    /// - Returns: whether all was well.
    @discardableResult
    public mutating func runNext() -> Bool {
        let seed = firstSeed &+ runs
        runs += 1
        do throws(ScenarioError) {
            let report = try Scenario.random(seed).run(seed: seed, defect: defect)
            effects += report.effects
            exercise += report.exercise
            guard !report.isGood else { return true }
            failures.append(Failure(seed: seed, violations: report.violations, error: nil))
        } catch {
            failures.append(Failure(seed: seed, violations: [], error: error))
        }
        return false
    }
}
