import Agent
import ArgumentParser
import Correspondence
import FoundationEssentials
import Primitives
import Terminal

struct HomeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "home", abstract: "Add a second home, move to another one, or leave one.",
        discussion: """
            Your homes keep your messages while you are away. With two, people who write to you use the second when the \
            first does not answer. Neither home can tell that you have an account at the other one.
            """,
        subcommands: [Add.self, List.self, Move.self, Remove.self])

    /// Where an account is to be opened.
    struct Opening: ParsableArguments {
        @Argument(help: ArgumentHelp("The cluster's name, or the beginning of its ID.", valueName: "cluster"))
        var cluster: String
        @Option(help: "The registration token, where the cluster asks for one.")
        var token = ""
        @Option(parsing: .unconditional, help: ArgumentHelp("Seconds to wait.", valueName: "seconds"))
        var timeout = Seconds(40)
    }

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Open an account at a second home, for the case that the first fails.",
            discussion: "Example: hulda home add example")

        @OptionGroup var opening: Opening
        @OptionGroup var agent: AgentOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await output.run {
                try await agent.withAgent(output) { agent in
                    let before = try await agent.homes().compactMap(\.report.account)
                    let report = try await agent.addHome(
                        opening.cluster, token: opening.token, timeout: opening.timeout.amount)
                    output.print(HomeAddReport(account: report.account.hex, home: opening.cluster)) {
                        guard !before.contains(report.account) else {
                            return "\(opening.cluster.shown) is your home already; nothing was changed."
                        }
                        return """
                            Your record names \(opening.cluster.shown) as your second home: messages go there when the \
                            first does not answer.
                            Next: hulda home list
                            """
                    }
                }
            }
        }
    }

    struct Move: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Move to another home; your ID stays, and no message is lost.",
            discussion: """
                The account at the old home is closed by itself, by any later command that connects, when every record \
                that named it has expired (30 hours) and nothing waits there any more. When the old home is dead for \
                good, moving works all the same; messages that only it had are lost with it.

                A friendly address belongs to the cluster that gave it. The new home is asked for the same names; those \
                of the old one lead to you until your account there is closed, and to nobody else for 30 days after \
                that. People who have used one keep your ID.

                Example: hulda home move example
                """)

        @OptionGroup var opening: Opening
        @OptionGroup var agent: AgentOptions
        @OptionGroup var output: OutputOptions
        @Option(help: ArgumentHelp("The home to leave, when you have two; else the first.", valueName: "cluster"))
        var from: String?

        private func text(_ name: AgentRuntime.MovedName) -> String {
            if let new = name.new {
                return "You are \(new.shown) now; \(name.old.shown) leads to you until the old home is closed."
            }
            return """
                \(opening.cluster.shown) did not give you the same name; \(name.old.shown) leads to you until the old home \
                is closed. Choose another name: hulda id name NAME
                """
        }

        func run() async throws {
            try await output.run {
                try await agent.withAgent(output) { agent in
                    let report = try await agent.moveHome(
                        to: opening.cluster, token: opening.token, from: from, timeout: opening.timeout.amount)
                    let names = try await agent.moveNames(to: opening.cluster, timeout: opening.timeout.amount)
                    let moved = HomeMoveReport(
                        account: report.account.hex, home: opening.cluster,
                        names: names.map { MovedNameReport(from: $0.old, to: $0.new) })
                    // Who has moved already, or never needed to, leaves nothing.
                    let isLeaving = try await agent.homes().contains { $0.report.stage == .leaving }
                    output.print(moved) {
                        guard isLeaving else {
                            return "\(opening.cluster.shown) is your home already; no other home was left."
                        }
                        return """
                            Your record names \(opening.cluster.shown) now. Messages are collected from the old home for \
                            up to 30 hours; then the account there is closed.
                            \(names.map { text($0) + "\n" }.joined())\
                            Next: read messages as always; hulda home list shows when the old home is closed.
                            """
                    }
                }
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Leave a home when you have another one.",
            discussion: """
                What waits there, and what comes while records that name it are valid, is still collected. With \
                --discard it is given up, and the account closed at once: for a home that is dead for good.

                Example: hulda home remove example
                """)

        @Argument(
            help: ArgumentHelp("The cluster's name, the beginning of its ID, or the server's ID.", valueName: "cluster")
        )
        var cluster: String
        @OptionGroup var agent: AgentOptions
        @OptionGroup var output: OutputOptions
        @Flag(help: "Give up what waits there.")
        var discard = false
        @Option(parsing: .unconditional, help: ArgumentHelp("Seconds to wait.", valueName: "seconds"))
        var timeout = Seconds(40)

        func run() async throws {
            try await output.run {
                try await agent.withAgent(output) { agent in
                    try await agent.removeHome(cluster, discards: discard, timeout: timeout.amount)
                    output.print(HomeRemoveReport(left: cluster)) {
                        "Your record does not name \(cluster.shown) any more."
                    }
                }
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Your homes, in the order in which messages are delivered; without connecting.",
            discussion: """
                States: opening, the account is being made; active, your record names it; leaving, it is still collected \
                from, and closed when nothing waits there and no valid record names it.

                Example: hulda home list
                """)

        @OptionGroup var agent: AgentOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await output.run {
                let homes = try await agent.stored(
                    output, beside: { try $0.homes() }, alone: { try await $0.homes() })
                let rows = homes.map { home in
                    (
                        home.report.closesAfter,
                        HomeReportRow(
                            home: home.cluster ?? home.report.node.hex, server: home.report.node.hex,
                            account: home.report.account?.hex, state: home.report.stage.rawValue,
                            closesAfter: home.report.closesAfter.map { LocalTime.utc($0.seconds) })
                    )
                }
                if output.json {
                    for row in rows { output.print(row.1) { "" } }
                    return
                }
                guard !rows.isEmpty else {
                    return OutputOptions.tell("You have no home. Open an account: hulda register --home CLUSTER")
                }
                // Within 80 columns.
                let lines = StatusText.columns(
                    [["home", "state", "account", "closed when empty after"]]
                        + rows.map { closesAfter, row in
                            [
                                ForeignText.inline(row.home, limit: 28), row.state,
                                String((row.account ?? "").prefix(12)),
                                closesAfter.map { LocalTime.text($0.seconds) } ?? "",
                            ]
                        })
                output.print(rows.map(\.1)) { lines.joined(separator: "\n") }
            }
        }
    }
}
