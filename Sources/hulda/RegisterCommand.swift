import ArgumentParser
import Primitives
import Terminal

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
    @Option(help: ArgumentHelp("The cluster's name, or the beginning of its ID.", valueName: "cluster"))
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
                        ClusterReport(name: $0.name, cluster: $0.clusterID.bytes.hex, contact: $0.contact)
                    }
                    // Within 80 columns; names are not unique, so each has the beginning of its ID.
                    return output.print(clusters) {
                        StatusText.columns(
                            [["name", "cluster ID", "contact"]]
                                + clusters.map {
                                    [
                                        ForeignText.inline($0.name, limit: 30), String($0.cluster.prefix(16)),
                                        ForeignText.inline($0.contact, limit: 29),
                                    ]
                                }
                        ).joined(separator: "\n")
                    }
                }
                let report = try await agent.register(
                    home: home ?? "", token: token, timeout: timeout.amount)
                output.print(
                    RegisterReport(
                        account: report.account.hex, home: home ?? "", holders: report.holders,
                        milliseconds: report.milliseconds)
                ) {
                    """
                    Registered with \((home ?? "").shown) as account \(report.account.hex) in \(report.milliseconds) ms; \
                    \(report.holders) of \(report.asked) directory servers hold the record so far.
                    Next: share your ID (hulda id show), read messages (hulda inbox --follow)
                    """
                }
            }
        }
    }
}
