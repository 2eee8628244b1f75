import Agent
import ArgumentParser
import Correspondence
import Glibc
import NIOCore
import Primitives

struct InboxCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inbox", abstract: "Read messages, and let the outbox go out.",
        discussion: """
            Shows what was not shown yet.

            Examples: hulda inbox                 what is there and what comes within five seconds
                      hulda inbox --follow        everything that comes, until Ctrl-C
                      hulda inbox --stored        every message ever received, without the network
                      hulda inbox --sent          the outbox and how far each message came
                      hulda inbox --delete read   make room: everything that was shown
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
    @Option(
        help: ArgumentHelp(
            "Delete messages from this disk: \"read\" for all that were shown, an ID for all of its, or the id of one.",
            valueName: "what"))
    var delete: String?
    @Option(parsing: .unconditional, help: ArgumentHelp("Wait for so many new messages.", valueName: "count"))
    var wait: Int?
    @Option(parsing: .unconditional, help: ArgumentHelp("Seconds to wait.", valueName: "seconds"))
    var timeout: Seconds?

    func validate() throws {
        guard [follow, stored, sent, flush, delete != nil, wait != nil].count(where: \.self) <= 1 else {
            throw ValidationError("Choose one of --follow, --stored, --sent, --flush, --delete and --wait.")
        }
        guard wait ?? 0 >= 0 else { throw ValidationError("--wait takes a number of messages.") }
    }

    func run() async throws {
        try await output.run {
            let deletion = try delete.map(InboxCommand.parse)
            try await agent.withAgent(output) { agent in
                if let deletion {
                    let count = try await agent.delete(deletion)
                    return output.print(["deleted": count]) {
                        count == 1 ? "1 message deleted." : "\(count) messages deleted."
                    }
                }
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

    private static func parse(_ what: String) throws -> AgentRuntime.Deletion {
        if what == "read" { return .read }
        if let bytes = Hex.decode(what), let id = Bytes16(bytes) { return .message(id) }
        return .from(try parseID(what))
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
        if try await agent.isInboxFull() {
            StandardStream.write(
                "hulda: your inbox is full; further messages wait at your home. Make room with hulda inbox --delete read\n",
                to: STDERR_FILENO)
        }
        if let offline { throw offline }
        return messages.count
    }

    /// Goes on until Ctrl-C; while there is no network it says so once, and tries on.
    private func followMessages(_ agent: AgentRuntime) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await Termination.wait() }
            group.addTask {
                var told: ForeignRecord?
                while !Task.isCancelled {
                    try await Task.sleep(for: .seconds(5))
                    let record = try await agent.foreignRecord()
                    if let record, record.noticed != told?.noticed { CopyText(record).show(output) }
                    told = record
                }
            }
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
                        try await Task.sleep(for: .seconds(1))
                    }
                }
            }
            try await group.next()
            group.cancelAll()
        }
    }

    private func show(_ messages: [StoredMessage]) {
        for message in StoredMessage.inOrder(messages) {
            let text = String(decoding: message.body, as: UTF8.self)
            output.print(
                Received(
                    from: message.sender.text, id: message.messageID.hex, sent: LocalTime.utc(message.sent.seconds),
                    received: LocalTime.utc(message.received.seconds), text: text)
            ) {
                """
                From \(message.sender.text)
                \(LocalTime.text(message.shown.seconds)), message \(message.messageID.short)
                \(OutputOptions.message(text))
                """
            }
        }
    }

    private func show(_ messages: [SentMessage]) {
        for message in messages {
            let text = String(decoding: message.body, as: UTF8.self)
            output.print(
                Sent(
                    to: message.recipient.text, id: message.messageID.hex,
                    created: LocalTime.utc(message.created.seconds), state: "\(message.state)", text: text)
            ) {
                """
                To \(message.recipient.text)
                \(LocalTime.text(message.created.seconds)), message \(message.messageID.short), \(message.state)
                \(OutputOptions.message(text))
                """
            }
        }
    }

    private struct Received: Encodable {
        let from: String
        let id: String
        let sent: String
        let received: String
        let text: String
    }

    private struct Sent: Encodable {
        let to: String
        let id: String
        let created: String
        let state: String
        let text: String
    }
}

extension Bytes16 {
    /// The beginning of a message's ID that people read and type.
    var short: String { String(hex.prefix(8)) }
}
