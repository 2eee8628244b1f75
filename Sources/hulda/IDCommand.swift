import Agent
import ArgumentParser
import Primitives
import Records
import Terminal

struct IDCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "id", abstract: "Make and show your network ID.",
        subcommands: [New.self, Show.self, Name.self, Rotate.self])

    struct New: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a new identity on this device.",
            discussion: """
                The identity is kept encrypted under a passphrase (asked for, or from HULDA_PASSPHRASE) or a key file \
                (--key-file or HULDA_KEY_FILE, made when it does not exist).

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
                try AgentFailureText.translate {
                    try AgentRuntime.checkNew(directory: agent.directory, bootstrapPath: bootstrap)
                }
                let unlock = try agent.unlockNew()
                warn(unlock)
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

        /// Characters below which a passphrase is called short.
        private static let shortPassphrase = 10

        private func warn(_ unlock: Unlock) {
            guard case .passphrase(let secret) = unlock, !output.json else { return }
            let count = secret.withUnsafeBytes { bytes in bytes.count { $0 & 0xc0 != 0x80 } }
            guard count < New.shortPassphrase else { return }
            OutputOptions.tell(
                "warning: whoever copies the directory can guess a passphrase of \(count) characters. Five random "
                    + "words are safe.")
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show your ID, its link and a QR code; or the parts of another ID.",
            discussion: """
                Needs no passphrase: the ID is public. Everybody who has the ID, the link or the code can write to you.

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
                    return output.print(KeyReport(key: id.key.bytes.hex)) { id.key.bytes.hex }
                }
                guard (name?.utf8.count ?? 0) <= UserLink.fieldLimit else {
                    throw Failure(
                        "the name for the link is longer than \(UserLink.fieldLimit) bytes", next: "Shorten it.",
                        code: SysExit.usage)
                }
                let link = UserLink(id: id, token: nil, name: name).text
                let names =
                    self.id == nil
                    ? try AgentFailureText.translate { try AgentRuntime.names(directory: agent.directory) } : []
                output.print(IDReport(id, link: link, names: names)) {
                    let code = withoutQR ? nil : QRCode.terminal(link)
                    return ([id.text, link] + names.map(\.shown)).joined(separator: "\n")
                        + (code.map { "\n\($0)" } ?? "")
                }
            }
        }
    }

    struct Name: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have a name at your home: name@cluster, which leads to your ID.",
            discussion: """
                First come, first served. The home does not learn the name or the ID that it leads to; people who know \
                the name learn the ID. A name does not move with you to another home. After you give a name up, nobody \
                gets it for 30 days. The ID is what counts: the operator of the home could let the name lead to another \
                ID; people who have used the name before are warned then.

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
                        return output.print(ReleaseReport(released: name)) { "You have given up the name \(name)." }
                    }
                    let address = try await agent.claimName(name, home: home, timeout: timeout.amount)
                    output.print(NameReport(name: address)) {
                        """
                        \(address)
                        Next: give it to others; hulda resolve \(address) shows what they see
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
                The key of your ID signs the new keys, and your homes accept them and refuse the old ones. People who \
                have seen your new record refuse the old one. \
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
                    output.print(RotationReport(serial: report.serial, pendingHomes: report.pending)) {
                        "Your keys are replaced (serial \(report.serial)) and your record is published."
                    }
                    guard report.pending == 0 else {
                        throw Failure(
                            "\(report.pending) of your homes have not accepted the new key yet",
                            next: "It is tried again with every command that connects: hulda inbox",
                            code: SysExit.temporary)
                    }
                }
            }
        }
    }
}

extension IDReport {
    fileprivate init(_ id: NetworkID, link: String? = nil, names: [String] = []) {
        self.init(
            id: id.text, link: link ?? UserLink(id: id, token: nil, name: nil).text, names: names.isEmpty ? nil : names)
    }
}
