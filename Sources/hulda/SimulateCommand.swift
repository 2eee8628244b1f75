import ArgumentParser
import Glibc
import Simulator

/// `hulda simulate`: experiments with the real cores under virtual time.
struct SimulateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate", abstract: "Run an experiment on a simulated network, of the cores that nodes run.",
        discussion: """
            Without a name it lists the experiments. The same name, seed, nodes and trials give the same figures again, but \
            for memory and processor time, which map-upkeep measures; specs/results has ours and the command of each. \
            How fast the virtual time passed and what a server took of memory goes to standard error. The name of a file runs the scenario in it \
            (specs/scenarios) and prints a digest of everything that happened. The name swarm runs many short scenarios \
            with random faults, one for each seed, and checks the invariants of each.

            Example: hulda simulate directory-liars --nodes 1000 --trials 5000 --seed 1
            Example: hulda simulate specs/scenarios/crashes.toml --seed 7
            Example: hulda simulate swarm --seconds 120
            """)

    private static let experiments = DirectoryExperiments.all + MapExperiments.all

    @OptionGroup var output: OutputOptions
    @Argument(help: ArgumentHelp("The experiment, a scenario\u{2019}s file, or swarm.", valueName: "experiment"))
    var experiment: String?
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Servers, 1 to 1000000; 1000 if not given, or what the scenario says.", valueName: "count"))
    var nodes: Int?
    @Option(
        help: ArgumentHelp(
            "Of an experiment: lookups; records or days, where it is about those; virtual seconds, of the map\u{2019}s "
                + "upkeep. 1000 if not given.",
            valueName: "count"))
    var trials: Int?
    @Option(parsing: .unconditional, help: ArgumentHelp("What everything random is drawn from.", valueName: "number"))
    var seed: UInt64 = 1
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("How long the swarm runs, 1 to 1000000 seconds; 120 if not given.", valueName: "seconds"))
    var seconds: Int?
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("After how many seeds the swarm ends, if its time is not over.", valueName: "count"))
    var runs: Int?
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Break the world of a scenario or swarm on purpose, to see what a failure looks like: "
                + Defect.allCases.map(\.rawValue).joined(separator: ", ") + ".",
            valueName: "defect"),
        transform: { name in
            guard let defect = Defect(rawValue: name) else {
                throw ValidationError("there is no defect \u{201C}\(name)\u{201D}")
            }
            return defect
        })
    var defect: Defect?
    @Flag(help: "Print a line for every effect; a swarm runs its first seed only.")
    var trace = false

    func validate() throws {
        guard seconds.map({ (1...1_000_000).contains($0) }) ?? true, runs.map({ $0 > 0 }) ?? true else {
            throw ValidationError("--seconds must be from 1 to 1000000 and --runs at least 1")
        }
        guard nodes.map({ (1...1_000_000).contains($0) }) ?? true else {
            throw ValidationError("--nodes must be from 1 to 1000000")
        }
        guard trials.map({ (1...100_000_000).contains($0) }) ?? true else {
            throw ValidationError("--trials must be from 1 to 100000000")
        }
        try refuseIdleOptions()
    }

    /// An option that would change nothing is an error: whoever gave it expects that it does.
    private func refuseIdleOptions() throws {
        let isSwarm = experiment == SimulateCommand.swarmName
        let isScenario = !isSwarm && experiment.map(SimulateCommand.isFile) ?? false
        let given: [(option: String, isGiven: Bool, isUsed: Bool, of: String)] = [
            ("--nodes", nodes != nil, !isSwarm, "an experiment or a scenario"),
            ("--trials", trials != nil, !isSwarm && !isScenario, "an experiment"),
            ("--seconds", seconds != nil, isSwarm, "the swarm"),
            ("--runs", runs != nil, isSwarm, "the swarm"),
            ("--defect", defect != nil, isSwarm || isScenario, "a scenario or the swarm"),
            ("--trace", trace, isSwarm || isScenario, "a scenario or the swarm"),
        ]
        if let idle = given.first(where: { $0.isGiven && !$0.isUsed }) {
            throw ValidationError("\(idle.option) is for \(idle.of)")
        }
    }

    func run() async throws {
        try await output.run {
            guard let name = experiment else {
                let width = (SimulateCommand.experiments.map(\.name.count).max() ?? 0) + 2
                for known in SimulateCommand.experiments {
                    output.print(["experiment": known.name, "description": known.description]) {
                        "\(known.name.padded(width))\(known.description)"
                    }
                }
                return
            }
            if name == SimulateCommand.swarmName { return try runSwarm() }
            if SimulateCommand.isFile(name) { return try runScenario(name) }
            let (nodes, trials) = (nodes ?? 1000, trials ?? 1000)
            guard let known = SimulateCommand.experiments.first(where: { $0.name == name }) else {
                throw Failure(
                    "there is no experiment \u{201C}\(name)\u{201D}", next: "List them with: hulda simulate",
                    code: SysExit.usage)
            }
            var bar = ProgressBar()
            let meter = SimulationCost.Meter()
            let rows: [ResultRow]
            do throws(DirectoryExperimentError) {
                rows = try known.run(nodes, seed, trials) { bar.show($0) }
            } catch {
                bar.finish()
                guard case .tooFewNodes(let needed) = error else {
                    throw Failure(
                        "the experiment failed: \(error)",
                        next: "The same command repeats it: please report that.", code: SysExit.software)
                }
                throw Failure(
                    "this experiment needs at least \(needed) nodes", next: "Give it more with --nodes.",
                    code: SysExit.usage)
            }
            bar.finish()
            for row in rows { output.print(Row(row, self, nodes: nodes, trials: trials)) { row.text } }
            let time = rows.lazy.compactMap(\.virtualSeconds).first ?? 0
            output.print(meter.cost(virtualSeconds: time, nodes: nodes))
        }
    }

    /// One figure, with what it takes to get it again.
    struct Row: Encodable {
        let experiment: String
        var nodes: Int?
        /// Missing for a scenario.
        let trials: Int?
        let seed: UInt64
        let name: String
        /// Missing for a share of nothing.
        var value: Double?
        var unit: String?
        var successes: Int?
        var of: Int?
        var low: Double?
        var high: Double?

        init(_ row: ResultRow, _ command: SimulateCommand, nodes: Int?, trials: Int? = nil) {
            experiment = command.experiment ?? ""
            self.nodes = nodes ?? command.nodes
            self.trials = trials
            seed = command.seed
            name = row.name
            switch row.value {
            case .number(let number, let unit):
                value = number
                self.unit = unit
            case .share(let share):
                value = share.trials > 0 ? share.value : nil
                successes = share.successes
                of = share.trials
                (low, high) = share.interval
            }
        }
    }
}

/// How far something has come, on standard error when that is a terminal.
struct ProgressBar {
    private let isShown = isatty(STDERR_FILENO) == 1
    private var percent = -1

    /// - Parameter share: from 0 to 1.
    mutating func show(_ share: Double) {
        guard isShown, share.isFinite else { return }
        let now = Int(min(1, max(0, share)) * 100)
        guard now != percent else { return }
        percent = now
        let full = String(repeating: "#", count: now / 2)
        StandardStream.write("\r[\(full.padded(50))] \(now) %", to: STDERR_FILENO)
    }

    /// Wipes the bar away.
    func finish() {
        if percent >= 0 { StandardStream.write("\r\u{1B}[K", to: STDERR_FILENO) }
    }
}

extension String {
    /// The text, with spaces up to `width` characters.
    fileprivate func padded(_ width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}
