import Agent
import ArgumentParser
import Primitives
import Records

struct IDCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "id", abstract: "Make and show your network ID.",
        subcommands: [New.self, Show.self, Name.self, Rotate.self])

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
                let names =
                    self.id == nil
                    ? try AgentFailureText.translate { try AgentRuntime.names(directory: agent.directory) } : []
                output.print(IDReport(id, link: link, names: names)) {
                    let code = withoutQR ? nil : QRCode.terminal(link)
                    return ([id.text, link] + names).joined(separator: "\n") + (code.map { "\n\($0)" } ?? "")
                }
            }
        }
    }

    struct Name: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have a name at your home: name@cluster, which leads to your ID.",
            discussion: """
                First come, first served. The home is not told the name, and cannot see which ID it leads to; people \
                who know the name can. Names do not move with you to another home. One that you give up is nobody's for \
                30 days. The ID is what counts: whoever runs the home could let the name lead elsewhere, and people who \
                have used it before are warned then.

                Examples: hulda id name ada
                          hulda id name ada --release
                """)

        @Argument(help: "1 to 32 of a to z, 0 to 9, - and .")
        var name: String
        @OptionGroup var agent: AgentOptions
        @OptionGroup var output: OutputOptions
        @Option(
            help: ArgumentHelp("The home that is to give it, when you have two; else the first.", valueName: "cluster"))
        var home: String?
        @Flag(help: "Give the name up.")
        var release = false
        @Option(parsing: .unconditional, help: ArgumentHelp("Seconds to wait.", valueName: "seconds"))
        var timeout = Seconds(40)

        func run() async throws {
            try await output.run {
                let name: String
                do throws(FriendlyNameError) { name = try FriendlyName.checked(self.name) } catch {
                    throw Failure("\(error)", next: "Choose another name.", code: SysExit.usage)
                }
                try await agent.withAgent(output) { agent in
                    if release {
                        try await agent.releaseName(name, home: home, timeout: timeout.amount)
                        output.print(["released": name]) { "The name \(name) is yours no more." }
                        return
                    }
                    let address = try await agent.claimName(name, home: home, timeout: timeout.amount)
                    output.print(["name": address]) {
                        """
                        \(address)
                        Next: hand it around; hulda resolve \(address) shows what others see
                        """
                    }
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
                Messages that were sealed to the old key can be read for 31 hours and until your homes are empty; then \
                that key is destroyed. Your ID stays.

                Example: hulda id rotate
                """)

        @OptionGroup var agent: AgentOptions
        @OptionGroup var output: OutputOptions
        @Option(parsing: .unconditional, help: ArgumentHelp("Seconds to wait.", valueName: "seconds"))
        var timeout = Seconds(40)

        func run() async throws {
            try await output.run {
                try await agent.withAgent(output) { agent in
                    let report = try await agent.rotate(timeout: timeout.amount)
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
        /// Left out when there are none.
        let names: [String]?

        init(_ id: NetworkID, link: String? = nil, names: [String] = []) {
            self.names = names.isEmpty ? nil : names
            self.id = id.text
            self.link = link ?? UserLink(id: id, token: nil, name: nil).text
        }
    }
}
