import Agent
import ArgumentParser
import Correspondence
import FoundationEssentials
import Glibc
import NIOCore
import Primitives
import Records

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
    @Option(help: ArgumentHelp("Seconds to wait.", valueName: "seconds"))
    var timeout = Seconds(40)

    func validate() throws {
        guard list || home != nil else {
            throw ValidationError("Name a cluster with --home, or list them with --list.")
        }
    }

    func run() async throws {
        try await output.run {
            try await agent.withAgent { agent in
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

struct ResolveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resolve", abstract: "Look a network ID or name@cluster up in the directory, through envelopes.",
        discussion: """
            Shows that the ID is registered, and how it was found. Sending does this by itself. Nobody learns who asks: \
            each request goes over its own path.

            A friendly address leads to an ID. The first one is remembered; when it leads elsewhere later, the command \
            stops until you say --accept-change.

            Exit codes: 68 nobody publishes this ID, 75 no answer in time, 76 a friendly address leads elsewhere now.

            Examples: hulda resolve hulda1…
                      hulda resolve ada@example
            """)

    @OptionGroup var person: AddressOptions
    @OptionGroup var agent: AgentOptions
    @OptionGroup var output: OutputOptions
    @Option(help: ArgumentHelp("Seconds to wait.", valueName: "seconds"))
    var timeout = Seconds(60)

    func run() async throws {
        try await output.run {
            let address = try person.parse()
            try await agent.withAgent { agent in
                let target = try await address.resolve(agent, accepts: person.acceptChange, timeout: timeout)
                let report = try await agent.resolve(target.id, timeout: timeout.amount)
                output.print(Report(report, target)) {
                    """
                    \(target.explanation ?? report.id.text)
                      lookup     \(report.milliseconds) ms, \(report.asked) nodes asked in \(report.waves) \
                    \(report.waves == 1 ? "wave" : "waves"), \
                    \(report.answered) answered, each over its own path of \(report.pathLength) hops\
                    \(report.usedFallback ? ", found by the iterative fallback" : "")
                      record     sequence \(report.sequence), valid until \(Terminal.date(report.expiry))
                      introduction policy: \(report.body.policy == 1 ? "open" : "restricted")
                    """
                }
            }
        }
    }

    private struct Report: Encodable {
        let id: String
        let milliseconds: UInt64
        let asked: Int
        let answered: Int
        let waves: Int
        let pathLength: Int
        let sequence: UInt64
        let expiry: UInt64
        let fallback: Bool
        /// Of a friendly address: its cluster, and whether it was never resolved before.
        let cluster: String?
        let isNew: Bool?

        init(_ report: ResolveReport, _ target: AddressOptions.Target) {
            cluster = target.name.map { ClusterText.encode($0.cluster) }
            isNew = target.name?.report.isNew
            id = report.id.text
            milliseconds = report.milliseconds
            asked = report.asked
            answered = report.answered
            waves = report.waves
            pathLength = report.pathLength
            sequence = report.sequence
            expiry = report.expiry
            fallback = report.usedFallback
        }
    }
}

struct SendCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "send", abstract: "Send a message to a network ID or name@cluster.",
        discussion: """
            Returns when the message is safe at the recipient's home. When that takes longer than --timeout, the message \
            stays in the outbox (exit code 75) and goes out with the next command, or with: hulda inbox --flush

            Examples: hulda send hulda1… "See you at eight."
                      hulda send ada@example "Hello."
                      fortune | hulda send hulda1… -
            """)

    @OptionGroup var person: AddressOptions
    @Argument(help: "The text; - or nothing reads standard input.")
    var text: String?
    @OptionGroup var agent: AgentOptions
    @OptionGroup var output: OutputOptions
    @Option(help: ArgumentHelp("Seconds to wait.", valueName: "seconds"))
    var timeout = Seconds(30)

    func run() async throws {
        try await output.run {
            let address = try person.parse()
            let body: [UInt8]
            if let text, text != "-" {
                body = Array(text.utf8)
            } else {
                if isatty(STDIN_FILENO) == 1 {
                    StandardStream.write("Write the message; Ctrl-D on a new line sends it.\n", to: STDERR_FILENO)
                }
                // One byte over the limit is enough to refuse.
                body = StandardStream.read(limit: 65_537)
            }
            guard !body.isEmpty else {
                throw Failure(
                    "there is no text to send", next: "Give it after the ID, or on standard input; nothing was sent.",
                    code: SysExit.data)
            }
            try await agent.withAgent { agent in
                let target = try await address.resolve(agent, accepts: person.acceptChange, timeout: timeout)
                if !output.json, let explanation = target.explanation {
                    StandardStream.write(explanation + "\n", to: STDERR_FILENO)
                }
                let outcome = try await agent.send(target.id, body: body, timeout: timeout.amount)
                switch outcome {
                case .accepted(let messageID):
                    output.print(Report(message: messageID.hex, to: target.id.text, state: "accepted")) {
                        "Accepted by the recipient's home."
                    }
                case .queued(let messageID, let reason):
                    if output.json {
                        output.print(Report(message: messageID.hex, to: target.id.text, state: "queued")) { "" }
                    }
                    if case .notFound(let asked, let missing) = reason {
                        throw Failure(
                            "nobody publishes this ID now (\(missing) of \(asked) directory servers say so)",
                            next: "The message is kept in the outbox and tried again with: hulda inbox --flush",
                            code: SysExit.noHost)
                    }
                    throw Failure(
                        "not delivered yet; the message is kept in the outbox",
                        next: "It goes out with the next command, or with: hulda inbox --flush",
                        code: SysExit.temporary)
                }
            }
        }
    }

    private struct Report: Encodable {
        let message: String
        let to: String
        let state: String
    }
}

struct InboxCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inbox", abstract: "Read messages, and let the outbox go out.",
        discussion: """
            Shows what was not shown yet.

            Examples: hulda inbox                 what is there and what comes within five seconds
                      hulda inbox --follow        everything that comes, until Ctrl-C
                      hulda inbox --stored        every message ever received, without the network
                      hulda inbox --sent          the outbox and how far each message came
                      hulda inbox --flush         wait until everything in the outbox is at its recipient's home
            """)

    @OptionGroup var agent: AgentOptions
    @OptionGroup var output: OutputOptions
    @Flag(help: "Go on until Ctrl-C.")
    var follow = false
    @Flag(help: "Every message that was received, without connecting.")
    var stored = false
    @Flag(help: "The messages that you sent, without connecting.")
    var sent = false
    @Flag(help: "Wait until the outbox is empty.")
    var flush = false
    @Option(help: ArgumentHelp("Wait for so many new messages.", valueName: "count"))
    var wait: Int?
    @Option(help: ArgumentHelp("Seconds to wait.", valueName: "seconds"))
    var timeout: Seconds?

    func validate() throws {
        guard [follow, stored, sent, flush, wait != nil].count(where: \.self) <= 1 else {
            throw ValidationError("Choose one of --follow, --stored, --sent, --flush and --wait.")
        }
        guard wait ?? 0 >= 0 else { throw ValidationError("--wait takes a number of messages.") }
    }

    func run() async throws {
        try await output.run {
            try await agent.withAgent { agent in
                if stored { return show(try await agent.storedMessages()) }
                if sent { return show(try await agent.sentMessages()) }
                if flush {
                    try await agent.flush(timeout: (timeout ?? Seconds(60)).amount)
                    output.print(["outbox": 0]) { "The outbox is empty." }
                    return
                }
                if follow { return try await followMessages(agent) }
                // Without a number, whatever comes in a short while; with one, that many.
                let time = timeout ?? Seconds(wait == nil ? 5 : 60)
                let count = try await showUnread(agent, atLeast: wait ?? Int.max, timeout: time.amount)
                if let wait, count < wait {
                    throw Failure(
                        "\(count) of \(wait) messages came", next: "Wait longer with --timeout.",
                        code: SysExit.temporary)
                }
            }
        }
    }

    /// Shows what was not shown yet, and what comes; when there is no network, at least what is on this disk.
    private func showUnread(_ agent: AgentRuntime, atLeast count: Int, timeout: TimeAmount) async throws -> Int {
        let messages: [StoredMessage]
        var offline: AgentFailure?
        do {
            messages = try await agent.unread(atLeast: count, timeout: timeout)
        } catch let failure as AgentFailure where failure.isOffline {
            offline = failure
            messages = try await agent.unread(atLeast: 0, timeout: .zero)
        }
        show(messages)
        if let last = messages.last { try await agent.markRead(through: last.number) }
        if let offline { throw offline }
        return messages.count
    }

    /// Goes on until Ctrl-C; while there is no network it says so once, and tries on.
    private func followMessages(_ agent: AgentRuntime) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await Termination.wait() }
            group.addTask {
                var isOnline = true
                while !Task.isCancelled {
                    do {
                        _ = try await showUnread(agent, atLeast: 1, timeout: .seconds(3600))
                        isOnline = true
                    } catch let failure as AgentFailure where failure.isOffline {
                        if isOnline, let failure = AgentFailureText.failure(failure) as? Failure {
                            StandardStream.write("hulda: \(failure.message); trying on\n", to: STDERR_FILENO)
                        }
                        isOnline = false
                    }
                }
            }
            try await group.next()
            group.cancelAll()
        }
    }

    private func show(_ messages: [StoredMessage]) {
        for message in messages.sorted(by: { ($0.sent, $0.number) < ($1.sent, $1.number) }) {
            let text = String(decoding: message.body, as: UTF8.self)
            output.print(
                Received(
                    from: message.sender.text, id: message.messageID.hex, sent: message.sent.seconds,
                    received: message.received.seconds, text: text)
            ) {
                "\(Terminal.date(message.sent.seconds))  \(message.sender.text)\n  \(Terminal.safe(text))"
            }
        }
    }

    private func show(_ messages: [SentMessage]) {
        for message in messages {
            let text = String(decoding: message.body, as: UTF8.self)
            output.print(
                Sent(
                    to: message.recipient.text, id: message.messageID.hex, created: message.created.seconds,
                    state: "\(message.state)", text: text)
            ) {
                "\(Terminal.date(message.created.seconds))  \(message.state)  "
                    + "\(message.recipient.text)\n  \(Terminal.safe(text))"
            }
        }
    }

    private struct Received: Encodable {
        let from: String
        let id: String
        let sent: UInt64
        let received: UInt64
        let text: String
    }

    private struct Sent: Encodable {
        let to: String
        let id: String
        let created: UInt64
        let state: String
        let text: String
    }
}

/// Text of strangers on a terminal.
enum Terminal {
    /// The end of the year 9999: a stranger's clock may say anything.
    private static let lastSecond: UInt64 = 253_402_300_799

    static func date(_ seconds: UInt64) -> String {
        Date(timeIntervalSince1970: Double(min(seconds, lastSecond))).description
    }

    /// Control characters, which could rewrite the screen, shown as `\u{…}`; lines are indented.
    ///
    /// Empty lines at the end, which piped text has, are left out.
    static func safe(_ text: String) -> String {
        var out = ""
        for scalar in text.unicodeScalars.reversed().drop(while: { $0 == "\n" }).reversed() {
            switch scalar {
            case "\n": out += "\n  "
            case "\t": out += "\t"
            case _ where scalar.properties.generalCategory == .control || scalar.properties.generalCategory == .format:
                out += "\\u{" + String(scalar.value, radix: 16) + "}"
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out
    }
}
