import Agent
import ArgumentParser
import Correspondence
import Federation
import Glibc
import Primitives

struct SendCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "send", abstract: "Send a message to a network ID or name@cluster.",
        discussion: """
            Returns when the recipient's home has accepted the message. When that takes longer than --timeout, the message \
            stays queued in the outbox (exit code 75) and goes out with the next command, or with: hulda inbox --flush

            States: queued, on this disk only; accepted, on the disk of the recipient's home; delivered, on the \
            recipient's own disk. hulda inbox --sent shows them.

            Examples: hulda send hulda1… "See you at eight."
                      hulda send ada@example "Hello."
                      fortune | hulda send hulda1… -
            """)

    @OptionGroup var person: AddressOptions
    @Argument(help: "The text; - or nothing reads standard input.")
    var text: String?
    @OptionGroup var agent: AgentOptions
    @OptionGroup var output: OutputOptions
    @Option(parsing: .unconditional, help: ArgumentHelp("Seconds to wait.", valueName: "seconds"))
    var timeout = Seconds(30)

    func run() async throws {
        try await output.run {
            let address = try person.parse()
            // Before a text is typed or a passphrase asked for.
            try agent.unlocking.checkFree()
            let body: [UInt8]
            if let text, text != "-" {
                body = Array(text.utf8)
            } else {
                if isatty(STDIN_FILENO) == 1 {
                    StandardStream.write("Write the message; Ctrl-D on a new line sends it.\n", to: STDERR_FILENO)
                }
                body = try SendCommand.readInput()
            }
            guard !body.isEmpty else {
                throw Failure(
                    "there is no text to send", next: "Give it after the ID, or on standard input; nothing was sent.",
                    code: SysExit.data)
            }
            // Who does not want to wait for the message does not want to wait for the end either.
            try await agent.withAgent(output, linger: min(AgentRuntime.linger, timeout.amount)) { agent in
                let target = try await address.resolve(agent, accepts: person.acceptChange, timeout: timeout)
                if !output.json, let explanation = target.explanation {
                    OutputOptions.tell(explanation)
                }
                if try await agent.homes().isEmpty {
                    OutputOptions.tell(
                        "hulda: warning: you have no home yet, so nobody can answer you, and you do not hear whether this "
                            + "was read. Register: hulda register --home CLUSTER")
                }
                let outcome = try await agent.send(target.id, body: body, timeout: timeout.amount)
                switch outcome {
                case .accepted(let messageID):
                    output.print(SendReport(message: messageID.hex, to: target.id.text, state: "accepted")) {
                        """
                        Accepted: message \(messageID.short) is on the disk of the recipient's home.
                        Next: hulda inbox --sent shows when it is delivered
                        """
                    }
                case .queued(let messageID, let reason):
                    if output.json {
                        output.print(SendReport(message: messageID.hex, to: target.id.text, state: "queued")) { "" }
                    }
                    if case .notFound(let asked, let missing) = reason {
                        throw Failure(
                            "nobody publishes this ID now: \(missing) of \(asked) directory servers have no record of it",
                            next: "The message is queued in the outbox and tried again with: hulda inbox --flush",
                            code: SysExit.noHost)
                    }
                    if case .mapTooSmall(let clusters) = reason {
                        throw Failure(
                            "the network has \(clusters) of the \(MapView.pathClusters) clusters that a path needs; "
                                + "the message is kept in the outbox",
                            next: "It goes out with the next command when more clusters have joined.",
                            code: SysExit.temporary)
                    }
                    throw Failure(
                        "not accepted yet; the message is queued in the outbox",
                        next: "It goes out with the next command, or with: hulda inbox --flush",
                        code: SysExit.temporary)
                }
            }
        }
    }

    /// One byte over what a message holds is enough to refuse.
    private static let inputLimit = Int(UInt16.max) + 1

    /// The text on standard input. Others are shown text, so nothing else is taken.
    private static func readInput() throws -> [UInt8] {
        let (bytes, reason) = StandardStream.read(limit: inputLimit)
        guard reason == 0 else {
            throw Failure(
                "standard input cannot be read: \(String(cString: strerror(reason)))",
                next: "Give the text after the ID; nothing was sent.", code: SysExit.noInput)
        }
        // What is too long may be cut within a character, and is refused for its length.
        guard bytes.count == inputLimit || String(validating: bytes, as: UTF8.self) != nil else {
            throw Failure(
                "the text is not UTF-8", next: "Send text, for example the output of base64; nothing was sent.",
                code: SysExit.data)
        }
        return bytes
    }
}
