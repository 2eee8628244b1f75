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
            Shows what was not shown yet. Each line of a message begins with a bar, and no other line does: who sent it \
            stands above. --stored and --sent work while another hulda runs with your identity.

            States of your own messages: queued, on this disk only; accepted, on the disk of the recipient's home; \
            delivered, on the recipient's own disk; expired, given up.

            Examples: hulda inbox                 what is there and what comes within five seconds
                      hulda inbox --follow        everything that comes, until Ctrl-C
                      hulda inbox --stored        every message ever received, without the network
                      hulda inbox --sent          the outbox and how far each message came
                      hulda inbox --delete read   make room: everything that was shown
                      hulda inbox --delete 3f2a91c4   the message with this ID
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
            "Delete messages from this disk: \"read\" for all that were shown, a network ID for all from it, or a "
                + "message's ID or its first eight digits for one.",
            valueName: "what"))
    var delete: String?
    @Flag(help: "Delete several messages without asking.")
    var yes = false
    @Option(parsing: .unconditional, help: ArgumentHelp("Wait for so many new messages.", valueName: "count"))
    var wait: Int?
    @Option(parsing: .unconditional, help: ArgumentHelp("Seconds to wait.", valueName: "seconds"))
    var timeout: Seconds?

    func validate() throws {
        guard [follow, stored, sent, flush, delete != nil, wait != nil].count(where: \.self) <= 1 else {
            throw ValidationError("Choose one of --follow, --stored, --sent, --flush, --delete and --wait.")
        }
        guard wait ?? 0 >= 0 else { throw ValidationError("--wait takes a number of messages.") }
        guard !yes || delete != nil else { throw ValidationError("--yes goes with --delete.") }
    }

    func run() async throws {
        try await output.run {
            if stored {
                let messages = try await agent.stored(
                    output, beside: { try $0.received() }, alone: { try await $0.storedMessages() })
                return InboxText.show(messages, output)
            }
            if sent {
                let messages = try await agent.stored(
                    output, beside: { try $0.sent() }, alone: { try await $0.sentMessages() })
                return InboxText.show(messages, output)
            }
            let deletion = try delete.map(InboxDeletion.init)
            try await agent.withAgent(output) { agent in
                if let deletion { return try await deletion.perform(agent, isSure: yes, output) }
                if flush {
                    try await agent.flush(timeout: (timeout ?? Seconds(60)).amount)
                    return output.print(FlushReport(outbox: 0)) { "The outbox is empty." }
                }
                if follow { return try await followMessages(agent) }
                try await readOnce(agent)
            }
        }
    }

    /// Without a number, whatever comes in a short while; with one, that many.
    private func readOnce(_ agent: AgentRuntime) async throws {
        let time = timeout ?? Seconds(wait == nil ? 5 : 60)
        let count = try await showUnread(agent, atLeast: wait ?? Int.max, timeout: time.amount)
        if let wait, count < wait {
            throw Failure(
                "\(count) of \(wait) messages came", next: "Wait longer with --timeout.", code: SysExit.temporary)
        }
        if count == 0, !output.json { OutputOptions.tell("No new messages.") }
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
        InboxText.show(messages, output)
        if let last = messages.last { try await agent.markRead(through: last.number) }
        if try await agent.isInboxFull() {
            OutputOptions.tell(
                "hulda: your inbox is full; further messages wait at your home. Make room: hulda inbox --delete read")
        }
        if let offline { throw offline }
        return messages.count
    }

    /// Goes on until Ctrl-C. It says when it is connected; while there is no network it says so once, and tries on.
    private func followMessages(_ agent: AgentRuntime) async throws {
        let isQuiet = output.json
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
                var isOnline: Bool?
                while !Task.isCancelled {
                    do {
                        // What is on the disk already is shown before the network is waited for.
                        if isOnline == nil { _ = try await showUnread(agent, atLeast: 0, timeout: .zero) }
                        try await agent.connect()
                        if isOnline != true, !isQuiet {
                            OutputOptions.tell("Connected; waiting for messages. Ctrl-C ends.")
                        }
                        isOnline = true
                        _ = try await showUnread(agent, atLeast: 1, timeout: .seconds(3600))
                    } catch let failure as AgentFailure where failure.isOffline {
                        if isOnline != false, let failure = AgentFailureText.failure(failure) as? Failure {
                            OutputOptions.tell("hulda: \(failure.message); trying again")
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
}
