import Agent
import ArgumentParser
import Correspondence
import FoundationEssentials
import Primitives

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
        @Argument(help: ArgumentHelp("The cluster's name, or its key in hexadecimal.", valueName: "cluster"))
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
                    output.print(Opened(account: report.account.hex, home: opening.cluster)) {
                        guard !before.contains(report.account) else {
                            return "\(opening.cluster) is your home already; nothing was changed."
                        }
                        return
                            "Your record names \(opening.cluster) too now: messages go there when your first home does not answer."
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
                that. Who has used one keeps your ID.

                Example: hulda home move example
                """)

        @OptionGroup var opening: Opening
        @OptionGroup var agent: AgentOptions
        @OptionGroup var output: OutputOptions
        @Option(help: ArgumentHelp("The home to leave, when you have two; else the first.", valueName: "cluster"))
        var from: String?

        private func text(_ name: AgentRuntime.MovedName) -> String {
            if let new = name.new {
                return "You are \(new) now; \(name.old) leads to you until the old home is closed."
            }
            return """
                \(name.old) leads to you until the old home is closed; \(opening.cluster) did not give you the same name. \
                Choose another one: hulda id name NAME
                """
        }

        func run() async throws {
            try await output.run {
                try await agent.withAgent(output) { agent in
                    let report = try await agent.moveHome(
                        to: opening.cluster, token: opening.token, from: from, timeout: opening.timeout.amount)
                    let names = try await agent.moveNames(to: opening.cluster, timeout: opening.timeout.amount)
                    let moved = Moved(
                        account: report.account.hex, home: opening.cluster,
                        names: names.map { Moved.Name(from: $0.old, to: $0.new) })
                    // Who has moved already, or never needed to, leaves nothing.
                    let isLeaving = try await agent.homes().contains { $0.report.stage == .leaving }
                    output.print(moved) {
                        guard isLeaving else { return "\(opening.cluster) is your home already; nothing was left." }
                        return """
                            Your record names \(opening.cluster) now. The old home is collected from for up to 30 hours and then \
                            closed.
                            \(names.map { text($0) + "\n" }.joined())\
                            Next: keep reading messages as always; hulda home list shows how far it is.
                            """
                    }
                }
            }
        }
    }

    private struct Moved: Encodable {
        struct Name: Encodable {
            let from: String
            let to: String?
        }
        let account: String
        let home: String
        let names: [Name]
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Leave a home when you have another one.",
            discussion: """
                What waits there, and what comes while records that name it are valid, is still collected. With \
                --discard it is given up, and the account closed at once: for a home that is dead for good.

                Example: hulda home remove example
                """)

        @Argument(help: ArgumentHelp("The cluster's name, or its key or server in hexadecimal.", valueName: "cluster"))
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
                    output.print(["left": cluster]) { "Your record does not name \(cluster) any more." }
                }
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Your homes, in the order in which messages are delivered; without connecting.")

        @OptionGroup var agent: AgentOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await output.run {
                try await agent.withAgent(output) { agent in
                    for home in try await agent.homes() {
                        let row = Row(
                            home: home.cluster ?? home.report.node.hex, server: home.report.node.hex,
                            account: home.report.account?.hex, state: home.report.stage.rawValue,
                            closesAfter: home.report.closesAfter?.seconds)
                        output.print(row) {
                            "\(VisibleText.of(row.home))  \(row.state)"
                                + (row.closesAfter.map { ", closed when empty after \(LocalTime.text($0))" } ?? "")
                                + (row.account.map { "  account \($0)" } ?? "")
                        }
                    }
                }
            }
        }
    }

    private struct Opened: Encodable {
        let account: String
        let home: String
    }

    private struct Row: Encodable {
        let home: String
        let server: String
        let account: String?
        let state: String
        let closesAfter: UInt64?
    }
}
