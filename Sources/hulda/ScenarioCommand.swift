import FoundationEssentials
import Glibc
import Simulator

/// The part of `hulda simulate` that runs whole worlds.
struct ScenarioCommand {
    private let command: SimulateCommand

    init(_ command: SimulateCommand) { self.command = command }

    /// What is printed of a run.
    private struct Row: Encodable {
        let scenario: Scenario
        let seed: UInt64
        let digest: String
        let steps: Int
        let checks: Int
        let sent: Int
        let delivered: Int
        let virtualSeconds: Int
        let seconds: Double
        let violations: [String]
    }

    /// Runs the scenario of a file.
    func file(_ path: String) throws {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw Failure(
                "the scenario \(VisibleText.of(path)) cannot be read", next: "Check the path; see specs/scenarios/.",
                code: SysExit.noInput)
        }
        var scenario: Scenario
        do {
            scenario = try JSONDecoder().decode(Scenario.self, from: data)
        } catch {
            throw Failure(
                "\(VisibleText.of(path)) is no scenario", next: "Compare it with specs/simulator.md.",
                code: SysExit.data)
        }
        if let nodes = command.nodes { scenario.servers = nodes }
        try check(scenario)
        var bar = ProgressBar()
        let (report, seconds) = try run(scenario, command.seed) { bar.show($0) }
        bar.finish()
        try show(report, scenario, command.seed, seconds)
        if !report.violations.isEmpty { throw broken(report, "\(path) --seed \(command.seed)") }
    }

    /// Runs drawn scenarios of one seed after another, for a time or a number.
    func swarm() throws {
        let start = ContinuousClock.now
        let limit = command.trials ?? (command.seconds == nil ? 10 : .max)
        var bar = ProgressBar()
        var steps = 0
        var count = 0
        while count < limit {
            let spent = ContinuousClock.now - start
            if let seconds = command.seconds, spent >= .seconds(seconds) { break }
            let seed = command.seed &+ UInt64(count)
            let (report, seconds) = try run(.drawn(seed: seed), seed) { _ in }
            count += 1
            steps += report.steps
            if command.output.json || command.trace || !report.violations.isEmpty {
                bar.finish()
                try show(report, .drawn(seed: seed), seed, seconds)
            }
            if !report.violations.isEmpty { throw broken(report, "swarm --seed \(seed) --trials 1") }
            let share = command.seconds.map { spent / .seconds($0) } ?? Double(count) / Double(limit)
            bar.show(share)
        }
        bar.finish()
        let last = command.seed &+ UInt64(max(1, count) - 1)
        command.output.print(["worlds": UInt64(count), "firstSeed": command.seed, "lastSeed": last]) {
            "\(count) worlds from seed \(command.seed) to \(last), \(steps) steps: nothing lost, doubled or repeated"
        }
    }

    private func run(
        _ scenario: Scenario, _ seed: UInt64, progress: (Double) -> Void
    ) throws -> (ScenarioReport, Double) {
        let trace: ((String) -> Void)? =
            command.trace ? { StandardStream.write($0 + "\n", to: STDERR_FILENO) } : nil
        let start = ContinuousClock.now
        let report = try ScenarioRun(scenario, seed: seed, trace: trace).run(progress: progress)
        return (report, (ContinuousClock.now - start) / .seconds(1))
    }

    private func check(_ scenario: Scenario) throws {
        do throws(Scenario.Failure) { try scenario.validate() } catch {
            throw Failure("\(error)", next: "Correct the scenario, or --nodes.", code: SysExit.data)
        }
    }

    private func show(_ report: ScenarioReport, _ scenario: Scenario, _ seed: UInt64, _ seconds: Double) throws {
        let row = Row(
            scenario: scenario, seed: seed, digest: report.digest, steps: report.steps, checks: report.checks,
            sent: report.sent, delivered: report.delivered, virtualSeconds: report.virtualSeconds, seconds: seconds,
            violations: report.violations)
        command.output.print(row) {
            let speed = Int(Double(report.virtualSeconds) / max(0.001, seconds))
            return """
                \(VisibleText.of(scenario.name)), seed \(seed): \(report.delivered) of \(report.sent) messages \
                delivered, \(report.steps) steps, \(report.checks) checks, \(report.virtualSeconds) virtual seconds \
                at \(speed) times real time
                digest \(report.digest)
                """ + report.violations.map { "\nBROKEN: " + $0 }.joined()
        }
    }

    private func broken(_ report: ScenarioReport, _ arguments: String) -> Failure {
        Failure(
            "an invariant does not hold: \(report.violations[0])",
            next: "See every step with: hulda simulate \(arguments) --trace", code: SysExit.software)
    }
}
