import ArgumentParser
import Primitives

struct RegisterCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "register", abstract: "Open an account at a cluster and publish your record in the directory.",
        discussion: """
            The home keeps your messages while you are away. It learns a key made for this purpose, neither your ID nor \
            your address.

            Example: hulda register --home example
            """)

    @OptionGroup var agent: AgentOptions
    @OptionGroup var output: OutputOptions
    @Option(help: ArgumentHelp("The cluster's name, or its key in hexadecimal.", valueName: "cluster"))
    var home: String?
    @Option(help: "The registration token, where the cluster asks for one.")
    var token = ""
    @Flag(help: "List the clusters on the map instead.")
    var list = false
    @Option(parsing: .unconditional, help: ArgumentHelp("Seconds to wait.", valueName: "seconds"))
    var timeout = Seconds(40)

    func validate() throws {
        guard list || home != nil else {
            throw ValidationError("Name a cluster with --home, or list them with --list.")
        }
    }

    func run() async throws {
        try await output.run {
            try await agent.withAgent(output) { agent in
                if list {
                    let clusters = try await agent.clusters().map {
                        ["name": $0.name, "cluster": $0.clusterID.bytes.hex, "contact": $0.contact]
                    }
                    output.print(clusters) {
                        StatusText.columns(
                            [["name", "cluster", "contact"]]
                                + clusters.map { cluster in
                                    ["name", "cluster", "contact"].map { VisibleText.of(cluster[$0] ?? "") }
                                }
                        ).joined(separator: "\n")
                    }
                    return
                }
                let report = try await agent.register(
                    home: home ?? "", token: token, timeout: timeout.amount)
                output.print(
                    Report(
                        account: report.account.hex, home: home ?? "", holders: report.holders,
                        milliseconds: report.milliseconds)
                ) {
                    """
                    Registered with \(home ?? "") as account \(report.account.hex) in \(report.milliseconds) ms; \
                    \(report.holders) of \(report.asked) directory servers hold the record so far.
                    Next: share your ID (hulda id show), read messages (hulda inbox --follow)
                    """
                }
            }
        }
    }

    private struct Report: Encodable {
        let account: String
        let home: String
        let holders: Int
        let milliseconds: UInt64
    }
}
