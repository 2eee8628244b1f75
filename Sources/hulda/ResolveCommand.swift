import Agent
import ArgumentParser
import Correspondence
import Records

struct ResolveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resolve", abstract: "Look a network ID or name@cluster up in the directory, through envelopes.",
        discussion: """
            Shows that the ID is registered, and how it was found. Sending does this by itself. Nobody learns who asks: \
            each request goes over its own path.

            A friendly address leads to an ID, which is remembered. When the address leads to another ID later, the \
            command stops until you say --accept-change. When the address is no longer published, because its owner has \
            moved, the remembered ID is used.

            Exit codes: 68 nobody publishes this ID, 75 no answer in time, 76 a friendly address leads elsewhere now.

            Examples: hulda resolve hulda1…
                      hulda resolve ada@example
            """)

    @OptionGroup var person: AddressOptions
    @OptionGroup var agent: AgentOptions
    @OptionGroup var output: OutputOptions
    @Option(parsing: .unconditional, help: ArgumentHelp("Seconds to wait.", valueName: "seconds"))
    var timeout = Seconds(60)

    func run() async throws {
        try await output.run {
            let address = try person.parse()
            try await agent.withAgent(output) { agent in
                let target = try await address.resolve(agent, accepts: person.acceptChange, timeout: timeout)
                let report = try await agent.resolve(target.id, timeout: timeout.amount)
                output.print(ResolutionReport(report, target)) {
                    """
                    \(target.explanation ?? report.id.text)
                      lookup     \(report.milliseconds) ms, \(report.asked) nodes asked in \(report.waves) \
                    \(report.waves == 1 ? "wave" : "waves"), \
                    \(report.answered) answered, each over its own path of \(report.pathLength) hops\
                    \(report.usedFallback ? ", found by the iterative fallback" : "")
                      record     sequence \(report.sequence), valid until \(LocalTime.text(report.expiry))
                      introduction policy: \(report.body.policy == 1 ? "open" : "restricted")
                    """
                }
            }
        }
    }
}

extension ResolutionReport {
    /// - Parameter target: of a friendly address the cluster, whether it was never resolved before, and whether it is not
    ///   published any more.
    fileprivate init(_ report: ResolveReport, _ target: AddressOptions.Target) {
        self.init(
            id: report.id.text, milliseconds: report.milliseconds, asked: report.asked, answered: report.answered,
            waves: report.waves, pathLength: report.pathLength, sequence: report.sequence,
            expiry: LocalTime.utc(report.expiry), fallback: report.usedFallback,
            cluster: target.name.map { ClusterText.encode($0.cluster) }, isNew: target.name.map { $0.standing == .new },
            isRemembered: target.name.map { $0.standing == .remembered })
    }
}
