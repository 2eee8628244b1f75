import Correspondence

/// What became of a number of lookups.
struct LookupTally: Sendable {
    var found = Proportion()
    var stale = Proportion()
    var failed = Proportion()
    var oneHop = Proportion()
    var milliseconds = RankedSample()
    var asked = RankedSample()

    mutating func add(_ outcome: LookupOutcome) {
        found.count(outcome.end == .found)
        stale.count(outcome.end == .stale)
        failed.count(outcome.end == .failed)
        oneHop.count(outcome.end == .found && !outcome.usedFallback)
        milliseconds.add(Double(outcome.milliseconds))
        asked.add(Double(outcome.asked))
    }

    mutating func add(_ other: LookupTally) {
        found.add(other.found)
        stale.add(other.stale)
        failed.add(other.failed)
        oneHop.add(other.oneHop)
        for value in other.milliseconds.values { milliseconds.add(value) }
        for value in other.asked.values { asked.add(value) }
    }

    /// The rows of an experiment on retrieval.
    func rows(_ prefix: String) -> [ResultRow] {
        [
            ResultRow("\(prefix): current record found", .share(found)),
            ResultRow("\(prefix): replaced record believed", .share(stale)),
            ResultRow("\(prefix): nothing found", .share(failed)),
            ResultRow("\(prefix): holders asked, mean", .number(asked.mean, unit: "")),
            ResultRow("\(prefix): median time", .number(milliseconds.quantile(0.5), unit: "ms")),
        ]
    }
}

/// Retrieval by the agent's lookup over the mix network. No server searches on an agent's behalf here: what the holders
/// themselves do not yield counts as not found.
extension DirectoryExperiments {
    /// Distinct records; lookups beyond go to the same ones under other faults.
    static let userLimit = 2000
    /// Lookups in the sideshows of an experiment: those that show what is not done, and why.
    private static let hurriedLimit = 20_000
    /// Who is faulty is drawn at least eight times, and anew after so many lookups: those of one record under one draw
    /// have the same fate, and say less than as many of others.
    private static let lookupsOfOneDraw = 250

    static func world(
        _ nodes: Int, _ seed: UInt64, _ trials: Int, isEarly: Bool = false, _ progress: (Double) -> Void
    ) throws(DirectoryExperimentError) -> DirectoryWorld {
        let world = try DirectoryWorld(nodes: nodes, seed: seed)
        try world.addUsers(max(1, min(trials, userLimit)), isEarly: isEarly) { progress($0 * 0.4) }
        return world
    }

    static func isDraw(_ trial: Int, of trials: Int) -> Bool {
        trial % max(1, min(trials / 8, lookupsOfOneDraw)) == 0
    }

    /// Lookups while a share of the servers lies and a share of the others is dead, in several draws of both.
    static func lookups(
        _ world: DirectoryWorld, _ trials: Int, liars: Double, conduct: [DirectoryConduct], dead: Double,
        over route: LookupRoute = .mixed, configuration: AgentConfiguration = AgentConfiguration(),
        hasHistory: Bool = false,
        _ progress: (Double) -> Void
    ) throws(DirectoryExperimentError) -> LookupTally {
        var tally = LookupTally()
        for trial in 0..<trials {
            if isDraw(trial, of: trials) { world.strike(liars: liars, conduct: conduct, dead: dead) }
            let user = world.users[world.entropy.below(world.users.count)]
            tally.add(try world.lookup(user, over: route, configuration: configuration, hasHistory: hasHistory))
            if trial % 256 == 0 { progress(Double(trial) / Double(trials)) }
        }
        world.revive()
        return tally
    }

    static func death(
        _ nodes: Int, _ seed: UInt64, _ trials: Int, _ progress: (Double) -> Void
    ) throws(DirectoryExperimentError) -> [ResultRow] {
        let world = try world(nodes, seed, trials, progress)
        return try lookups(world, trials, liars: 0, conduct: [.silent], dead: 0.5) { progress(0.4 + 0.6 * $0) }
            .rows("half dead") + world.times
    }

    static func liars(
        _ nodes: Int, _ seed: UInt64, _ trials: Int, _ progress: (Double) -> Void
    ) throws(DirectoryExperimentError) -> [ResultRow] {
        let world = try world(nodes, seed, trials, progress)
        var rows: [ResultRow] = []
        for (step, share) in [0.2, 0.3].enumerated() {
            var total = LookupTally()
            let kinds = DirectoryConduct.lies.map { [$0] } + [DirectoryConduct.lies]
            for (index, conduct) in kinds.enumerated() {
                let tally = try lookups(world, trials / kinds.count, liars: share, conduct: conduct, dead: 0) {
                    progress(0.4 + 0.3 * Double(step) + 0.3 * (Double(index) + $0) / Double(kinds.count))
                }
                let name = conduct.count == 1 ? conduct.map(\.rawValue).joined() : "mixed"
                rows.append(
                    ResultRow("\(Int(share * 100)) % \(name): current record found", .share(tally.found)))
                total.add(tally)
            }
            rows += total.rows("\(Int(share * 100)) % liars of all kinds")
        }
        return rows + world.times
    }

    static func liarsAndDeath(
        _ nodes: Int, _ seed: UInt64, _ trials: Int, _ progress: (Double) -> Void
    ) throws(DirectoryExperimentError) -> [ResultRow] {
        let world = try world(nodes, seed, trials, progress)
        return try lookups(world, trials, liars: 0.3, conduct: DirectoryConduct.lies, dead: 0.5) {
            progress(0.4 + 0.6 * $0)
        }.rows("30 % liars, half of the others dead") + world.times
    }

    static func stale(
        _ nodes: Int, _ seed: UInt64, _ trials: Int, _ progress: (Double) -> Void
    ) throws(DirectoryExperimentError) -> [ResultRow] {
        var rows: [ResultRow] = []
        var (time, lookupTime): (UInt64, UInt64) = (0, 0)
        // Of a record that is only refreshed the one before is too old to be believed: fewer trials show it.
        let kinds = [("refreshed", false, max(1, trials / 5)), ("changed within hours", true, trials)]
        for (step, kind) in kinds.enumerated() {
            func part(_ share: Double) { progress((Double(step) + share) / Double(kinds.count)) }
            let (trials, isEarly) = (kind.2, kind.1)
            let world = try world(nodes, seed, trials, isEarly: isEarly, part)
            let tally = try lookups(world, trials, liars: 0.3, conduct: [.stale], dead: 0) { part(0.4 + 0.5 * $0) }
            rows.append(ResultRow("\(kind.0): replaced record believed", .share(tally.stale)))
            rows.append(ResultRow("\(kind.0): current record found", .share(tally.found)))
            rows.append(ResultRow("\(kind.0): holders asked, mean", .number(tally.asked.mean, unit: "")))
            rows += try hurried(world, trials, kind.0)
            // The same without the rule, to show what it does.
            var weak = AgentConfiguration()
            weak.lookup.freshAnswers = 1
            weak.lookup.staleAge = .max
            let without = try lookups(
                world, max(1, min(trials, hurriedLimit) / 10), liars: 0.3, conduct: [.stale], dead: 0,
                configuration: weak
            ) { part(0.9 + 0.1 * $0) }
            rows.append(ResultRow("\(kind.0), without the rule: replaced record believed", .share(without.stale)))
            time += world.elapsed
            lookupTime += world.lookupTime
        }
        return rows + [.virtualTime(milliseconds: time), .lookupTime(milliseconds: lookupTime)]
    }

    /// Direct lookups while liars answer first.
    private static func hurried(
        _ world: DirectoryWorld, _ trials: Int, _ name: String
    ) throws(DirectoryExperimentError) -> [ResultRow] {
        world.liarsHurry = true
        defer { world.liarsHurry = false }
        var rows: [ResultRow] = []
        let rules = [("by the times of answers", true, trials), ("15 of 20", false, min(trials, hurriedLimit))]
        for (rule, hasHistory, count) in rules {
            let tally = try lookups(
                world, count, liars: 0.3, conduct: [.stale], dead: 0, over: .direct, hasHistory: hasHistory
            ) { _ in }
            rows.append(
                ResultRow(
                    "\(name), direct, \(rule), liars answer first: replaced record believed", .share(tally.stale)))
        }
        return rows
    }
}
