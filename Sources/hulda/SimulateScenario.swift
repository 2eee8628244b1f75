import FoundationEssentials
import Glibc
import Simulator
import TOMLKit

/// Scenarios from files, and the swarm.
extension SimulateCommand {
    static let swarmName = "swarm"

    /// Whether the name is that of a file.
    static func isFile(_ name: String) -> Bool { name.hasSuffix(".toml") || name.contains("/") }

    func runScenario(_ path: String) throws {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            throw Failure(
                "the scenario \(path) cannot be read", next: "Ours are in specs/scenarios.", code: SysExit.noInput)
        }
        var scenario: Scenario
        do { scenario = try TOMLDecoder(strictDecoding: true).decode(Scenario.self, from: text) } catch {
            throw Failure(
                "the scenario \(path) is wrong: \(error)", next: "specs/simulator.md explains every field.",
                code: SysExit.data)
        }
        if let nodes { scenario.servers = nodes }
        var bar = ProgressBar()
        let meter = SimulationCost.Meter()
        let report: ScenarioReport
        do throws(ScenarioError) {
            report = try scenario.run(seed: seed, defect: defect, trace: tracer) { bar.show($0) }
        } catch {
            bar.finish()
            throw failure(error)
        }
        bar.finish()
        let time = report.rows.lazy.compactMap(\.virtualSeconds).first ?? 0
        output.print(meter.cost(virtualSeconds: time, nodes: scenario.servers))
        let options = (nodes.map { " --nodes \($0)" } ?? "") + broken
        try show(report, path, replay: "hulda simulate \(path.forShell) --seed \(seed)\(options) --trace")
    }

    /// Many short runs with random faults, until the time is over.
    func runSwarm() throws {
        if trace || runs == 1 {
            let report: ScenarioReport
            do throws(ScenarioError) {
                report = try Scenario.random(seed).run(seed: seed, defect: defect, trace: tracer)
            } catch { throw failure(error) }
            return try show(report, SimulateCommand.swarmName, replay: replay(seed))
        }
        var swarm = Swarm(firstSeed: seed, defect: defect)
        var bar = ProgressBar()
        let clock = ContinuousClock()
        let start = clock.now
        let budget = Duration.seconds(seconds ?? 120)
        while clock.now - start < budget, runs.map({ swarm.runs < UInt64($0) }) ?? true {
            bar.show((clock.now - start) / budget)
            swarm.runNext()
        }
        bar.finish()
        for failed in swarm.failures {
            let lines = failed.violations.map(\.description) + (failed.error.map { ["\($0)"] } ?? [])
            let replay = replay(failed.seed)
            output.print(SwarmFailure(seed: failed.seed, violations: lines, replay: replay)) {
                (["seed \(failed.seed):"] + lines.map { "  " + $0 } + ["  replay it: \(replay)"]).joined(
                    separator: "\n")
            }
        }
        output.print(SwarmRow(swarm)) {
            """
            \(swarm.runs) runs from seed \(seed), \(swarm.effects) effects, \(swarm.failures.count) failed
            records served in the place of older ones: \(swarm.exercise.servedInPlace); \
            lookups held against what was acknowledged: \(swarm.exercise.lookups), \
            with an older record about: \(swarm.exercise.lookupsWithOlder)
            """
        }
        guard swarm.failures.isEmpty else {
            throw Failure(
                "an invariant did not hold", next: "Replay the seed with the command above.", code: SysExit.software)
        }
    }

    private func replay(_ seed: UInt64) -> String { "hulda simulate swarm --seed \(seed)\(broken) --trace" }

    private var broken: String { defect.map { " --defect \($0.rawValue)" } ?? "" }

    private var tracer: ((String) -> Void)? {
        guard trace else { return nil }
        return { line in output.print(["effect": line]) { line } }
    }

    private func failure(_ error: ScenarioError) -> Failure {
        switch error {
        case .invalid(let reason):
            Failure(
                "the scenario is impossible: \(reason)", next: "specs/simulator.md has every bound.",
                code: SysExit.data)
        case .broken(let reason):
            Failure(
                "the run could not go on: \(reason)", next: "The same command repeats it: please report that.",
                code: SysExit.software)
        }
    }

    private func show(_ report: ScenarioReport, _ name: String, replay: String) throws {
        for row in report.rows { output.print(Row(row, self, nodes: nil)) { row.text } }
        for violation in report.violations {
            output.print(["violation": violation.description]) { "VIOLATED: \(violation)" }
        }
        output.print(DigestRow(scenario: name, seed: seed, effects: report.effects, digest: report.digest)) {
            "digest of \(report.effects) effects: \(report.digest)"
        }
        guard report.isGood else {
            throw Failure(
                "an invariant did not hold", next: "Replay it with a trace: \(replay)",
                code: SysExit.software)
        }
    }

    private struct DigestRow: Encodable {
        let scenario: String
        let seed: UInt64
        let effects: UInt64
        let digest: String
    }

    private struct SwarmFailure: Encodable {
        let seed: UInt64
        let violations: [String]
        let replay: String
    }

    private struct SwarmRow: Encodable {
        let firstSeed: UInt64
        let runs: UInt64
        let effects: UInt64
        let failed: Int
        let servedInPlace: Int
        let lookupsChecked: Int
        let lookupsWithOlder: Int

        init(_ swarm: Swarm) {
            firstSeed = swarm.firstSeed
            runs = swarm.runs
            effects = swarm.effects
            failed = swarm.failures.count
            servedInPlace = swarm.exercise.servedInPlace
            lookupsChecked = swarm.exercise.lookups
            lookupsWithOlder = swarm.exercise.lookupsWithOlder
        }
    }
}

extension String {
    /// The word as a shell takes it for itself.
    var forShell: String {
        let plain =
            !isEmpty
            && utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
                case UInt8(ascii: "0")...UInt8(ascii: "9"): true
                default: "/._-".utf8.contains(byte)
                }
            }
        guard !plain else { return self }
        return "'" + split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }
}
