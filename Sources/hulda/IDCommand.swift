import Agent
import ArgumentParser
import Primitives
import Records

struct IDCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "id", abstract: "Make and show your network ID.", subcommands: [New.self, Show.self, Rotate.self])

    struct New: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a new identity on this device.",
            discussion: """
                The identity is kept encrypted under a passphrase (asked for, or from HULDA_PASSPHRASE) or a key file \
                (--key-file, made when it does not exist).

                Example: hulda id new --bootstrap bootstrap.txt
                """)

        @OptionGroup var agent: UnlockOptions
        @OptionGroup var output: OutputOptions
        @Option(help: ArgumentHelp("A bootstrap list: the clusters that you trust from the start.", valueName: "file"))
        var bootstrap: String
        @Flag(help: "Spend less time and memory on the passphrase: for demonstrations and tests.")
        var fastPassphrase = false

        func run() async throws {
            try await output.run {
                let unlock = try agent.unlock(creating: true)
                let id = try AgentFailureText.translate {
                    try AgentRuntime.create(
                        directory: agent.directory, unlock: unlock, cost: fastPassphrase ? .interactive : .moderate,
                        bootstrapPath: bootstrap)
                }
                output.print(IDReport(id)) {
                    """
                    \(id.text)
                    Next: hulda register --home CLUSTER, then share the ID or its link: hulda id show
                    """
                }
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show your ID, its link and a QR code; or the parts of another ID.",
            discussion: """
                Needs no passphrase: the ID is public. Whoever has the ID, the link or the code can write to you.

                Examples: hulda id show --name "Ada"
                          hulda id show hulda1…          checks an ID for typing errors
                """)

        @OptionGroup var agent: IdentityOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "Another user's ID or link; yours when it is left out.")
        var id: String?
        @Option(help: ArgumentHelp("A name to put into the link.", valueName: "name"))
        var name: String?
        @Flag(help: "Print the public key in hexadecimal only.")
        var hex = false
        @Flag(name: .customLong("no-qr"), help: "Leave the QR code out.")
        var withoutQR = false

        func run() async throws {
            try await output.run {
                let id =
                    try self.id.map { try parseID($0) }
                    ?? AgentFailureText.translate { try AgentRuntime.identity(directory: agent.directory) }
                if hex {
                    output.print(["key": id.key.bytes.hex]) { id.key.bytes.hex }
                    return
                }
                let link = UserLink(id: id, token: nil, name: name).text
                output.print(IDReport(id, link: link)) {
                    let code = withoutQR ? nil : QRCode.terminal(link)
                    return "\(id.text)\n\(link)" + (code.map { "\n\($0)" } ?? "")
                }
            }
        }
    }

    struct Rotate: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Replace all keys but your ID's: when a device was lost or may have been read.",
            discussion: """
                Your homes take the new key by the word of your ID's key, which a thief of the other keys does not have; \
                from then on the old ones open nothing there. People who have seen your new record refuse the old one. \
                Messages that were sealed to the old key can be read for 27 hours and until your homes are empty; then \
                that key is destroyed. Your ID stays.

                Example: hulda id rotate
                """)

        @OptionGroup var agent: AgentOptions
        @OptionGroup var output: OutputOptions
        @Option(help: ArgumentHelp("Seconds to wait.", valueName: "seconds"))
        var timeout = 40

        func run() async throws {
            try await output.run {
                try await agent.withAgent { agent in
                    let report = try await agent.rotate(timeout: .seconds(Int64(timeout)))
                    output.print(["serial": report.serial, "pendingHomes": UInt64(report.pending)]) {
                        "Your keys are replaced (serial \(report.serial)) and your record is published."
                    }
                    guard report.pending == 0 else {
                        throw Failure(
                            "\(report.pending) of your homes did not take the new key yet",
                            next: "It is tried again with every command that connects: hulda inbox",
                            code: SysExit.temporary)
                    }
                }
            }
        }
    }

    private struct IDReport: Encodable {
        let id: String
        let link: String

        init(_ id: NetworkID, link: String? = nil) {
            self.id = id.text
            self.link = link ?? UserLink(id: id, token: nil, name: nil).text
        }
    }
}
