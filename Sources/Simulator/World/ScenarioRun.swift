import Primitives
import Wire

/// Why a scenario could not be run.
public enum ScenarioError: Error, Equatable, Sendable {
    /// The text says which number is wrong.
    case invalid(String)
    /// A core threw where it must not; the text is its error.
    case broken(String)
}

/// What came of a run.
public struct ScenarioReport: Equatable, Sendable {
    /// BLAKE2b-256 of every effect in order, in hexadecimal: equal for two runs of one scenario and seed.
    public var digest: String
    public var effects: UInt64
    public var rows: [ResultRow]
    public var violations: [Violation]
    /// How much the absence of violations says.
    public var exercise: Exercise

    public var isGood: Bool { violations.isEmpty }
}

extension Scenario {
    /// Runs the scenario under virtual time and checks the invariants.
    /// - Parameters:
    ///   - seed: what everything random is drawn from.
    ///   - defect: what is broken on purpose.
    ///   - trace: takes a line for each effect.
    ///   - progress: takes the share of virtual time that has passed.
    public func run(
        seed: UInt64, defect: Defect? = nil, trace: ((String) -> Void)? = nil, progress: (Double) -> Void = { _ in }
    ) throws(ScenarioError) -> ScenarioReport {
        if let problem { throw .invalid(problem) }
        do {
            let world = try World(self, seed: seed, defect: defect, trace: trace)
            return try world.finish(progress)
        } catch let error as ScenarioError {
            throw error
        } catch {
            throw .broken("\(error)")
        }
    }
}

extension World {
    /// Runs the scenario from its beginning to its end.
    func finish(_ progress: (Double) -> Void = { _ in }) throws -> ScenarioReport {
        let total = Double((Scenario.warmUp + scenario.seconds + scenario.settle) * 1000)
        for server in servers { start(server) }
        schedule(1000, .check)
        for agent in agents { schedule(15_000, .startAgent(agent.index)) }
        try run(seconds: Scenario.warmUp) { progress(Double($0) / total) }

        network.quality = .init(
            loss: scenario.loss, duplicates: scenario.duplicates, reordered: scenario.reordered)
        if defect == .restoresBackup { for server in servers { server.backup = server.store } }
        planUsers()
        for fault in scenario.faults { plan(fault) }
        try run(seconds: scenario.seconds) { progress(Double($0) / total) }

        heal()
        try run(seconds: scenario.settle) { progress(Double($0) / total) }
        try check()
        return try report()
    }

    /// Spreads what users do over the time of the scenario.
    private func planUsers() {
        guard agents.count > 1 else { return }
        let time = Int(clamping: scenario.seconds * 1000)
        for agent in agents {
            for number in 0..<scenario.messages {
                let other = (agent.index + 1 + entropy.below(agents.count - 1)) % agents.count
                schedule(UInt64(entropy.below(time)), .send(agent.index, to: other, number: number))
            }
            for _ in 0..<scenario.lookups {
                let other = (agent.index + 1 + entropy.below(agents.count - 1)) % agents.count
                schedule(UInt64(entropy.below(time)), .lookup(agent.index, of: other))
            }
            for _ in 0..<scenario.changes { schedule(UInt64(entropy.below(time)), .change(agent.index)) }
        }
    }

    private func report() throws -> ScenarioReport {
        for server in servers where server.isUp { count(server) }
        for agent in agents { count(agent) }
        let accepted = ledger.sent.values.count { $0.isAccepted || $0.isDelivered }
        func number(_ name: String, _ value: Int, _ unit: String = "") -> ResultRow {
            ResultRow(name, .number(Double(value), unit: unit))
        }
        let rows =
            [
                ResultRow(
                    "messages that arrived", .share(Proportion(successes: try arrived(), trials: ledger.sent.count))),
                number("messages acknowledged by homes", accepted),
                number("messages shown", ledger.shownCount),
                number("users registered", figures.registrations),
                number("lookups answered", figures.lookups),
                number("lookups for which holders were asked", figures.lookupsAsked),
                number("lookups failed", figures.lookupFailures),
                number("changes of records", figures.changes),
                number("records served in the place of older ones", ledger.exercise.servedInPlace),
                number("lookups held against what was acknowledged", ledger.exercise.lookups),
                number("of those, with an older record about", ledger.exercise.lookupsWithOlder),
                number("server crashes", figures.crashes),
                number("agents killed", figures.kills),
                number("transactions refused by a disk", figures.storageFailures),
                number("calls between directories", figures.directoryCalls),
                number("maps found to agree", figures.mapsAgreed),
                number("maps contested or refused", figures.mapsContested),
                number("maps of agents found to agree", figures.agentMapsAgreed),
                number("maps of agents refused", figures.agentMapsRefused),
                number("shared random values agreed on", figures.valuesAgreed),
                number("shared random values not agreed on", figures.valuesFailed),
                number("own loops of relays", figures.loopsStarted),
                number("own loops that came back", figures.loopsReturned),
                number("own loops given up", figures.loopsLost),
                number("relays measured", figures.relaysMeasured),
                number("replays refused", figures.replays),
                number("times that a clock was found to have gone back", figures.clockTurns),
                number("streams closed within a frame", figures.stalledStreams),
                number("alarms of directories", figures.alarms),
            ] + figures.refused.rows + [
                number("strangers on maps", strangersOnMaps()),
                number("network losses", Int(clamping: network.lost)),
                number("largest store", figures.largestStore, "bytes"),
                number("events", Int(clamping: figures.events)),
                .virtualTime(milliseconds: elapsed),
            ]
        let effects = log.count
        return ScenarioReport(
            digest: log.finish().hex, effects: effects, rows: rows, violations: ledger.violations,
            exercise: ledger.exercise)
    }
}
