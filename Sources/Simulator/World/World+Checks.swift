import Correspondence
import Directory
import Federation
import Home
import Primitives
import Records
import Storage
import Wire

/// The invariants (specs/simulator.md, "Invariants").
extension World {
    /// All that are checked at the end of a run.
    func check() throws {
        checkBounds()
        try checkMessages()
        try checkRecords()
    }

    /// What was acknowledged to a sender is where that says, once.
    private func checkMessages() throws {
        var inboxes: [[Bytes16: Int]] = []
        var outboxes: [[Bytes16: SentMessage.State]] = []
        for agent in agents {
            var inbox: [Bytes16: Int] = [:]
            for message in try AgentCore.inboxMessages(agent.store) { inbox[message.messageID, default: 0] += 1 }
            inboxes.append(inbox)
            let sent = try AgentCore.outboxMessages(agent.store).map { ($0.messageID, $0.state) }
            outboxes.append(Dictionary(sent, uniquingKeysWith: { first, _ in first }))
        }
        let waiting = try servers.map { server in
            let rows = try HomeCore.accounts(server.store)
            return Dictionary(rows.map { ($0.account, $0.items) }, uniquingKeysWith: +)
        }
        for (message, sent) in ledger.sent.sorted(by: { $0.key < $1.key }) {
            let copies = inboxes[sent.recipient][message] ?? 0
            let name = "\(message.hex) of agent \(sent.sender) to agent \(sent.recipient)"
            if copies > 1 { ledger.violate(.messageTwice, at: elapsed, "\(name) is in the inbox \(copies) times") }
            if copies > 0 { continue }
            let state = outboxes[sent.sender][message]
            let recipient = agents[sent.recipient]
            let atHome = recipient.accounts(byNode).reduce(0) { $0 + (waiting[$1.server][$1.account] ?? 0) }
            if state == nil {
                ledger.violate(.messageLost, at: elapsed, "\(name) is in no outbox and no inbox")
            } else if sent.isDelivered || state == .delivered {
                ledger.violate(.messageLost, at: elapsed, "\(name) was delivered and is in no inbox")
            } else if sent.isAccepted, atHome == 0 {
                ledger.violate(.messageLost, at: elapsed, "\(name) was accepted and the home has nothing")
            }
        }
    }

    /// Messages whose recipients have them.
    func arrived() throws -> Int {
        let inboxes = try agents.map { agent in
            Set(try AgentCore.inboxMessages(agent.store).map(\.messageID))
        }
        return ledger.sent.count { inboxes[$0.value.recipient].contains($0.key) }
    }

    /// Honest holders have what they acknowledged, or something later.
    private func checkRecords() throws {
        let order = ledger.acknowledged.sorted {
            ($0.key.place, $0.key.value) < ($1.key.place, $1.key.value)
        }
        for (holder, record) in order {
            let server = servers[holder.place]
            guard record.expiry > server.clock(now).seconds + 60, server.liar.conduct == .honest else { continue }
            let name = "server \(holder.place), key \(holder.value.bytes.hex), sequence \(record.highest)"
            guard let bytes = try server.store.get(Table("directory/records"), holder.value.bytes.bytes),
                let held = try? DirectoryRecord(decoding: bytes)
            else {
                ledger.violate(.recordLost, at: elapsed, "\(name): nothing there")
                continue
            }
            if held.sequence < record.highest {
                ledger.violate(.recordLost, at: elapsed, "\(name): only \(held.sequence)")
            }
        }
    }

    /// Nobody can be shown to have contradicted himself who did not lie.
    func checkAccused(_ evidence: EquivocationEvidence) {
        guard (try? evidence.verify()) != nil else {
            ledger.violate(.honestAccused, at: elapsed, "evidence that proves nothing: \(evidence)")
            return
        }
        guard
            let accused = servers.first(where: {
                [$0.serverKey.publicKey, $0.clusterKey.publicKey].contains(evidence.subject)
            }), accused.liar.conduct == .honest
        else { return }
        ledger.violate(.honestAccused, at: elapsed, "server \(accused.index): \(evidence)")
    }

    /// Every queue and table is within its bound.
    func checkBounds() {
        func check(_ value: Int, _ bound: Int, _ name: @autoclosure () -> String) {
            if value > bound { ledger.violate(.boundExceeded, at: elapsed, "\(name()): \(value) of \(bound)") }
        }
        for server in servers {
            figures.largestStore = max(figures.largestStore, server.store.bytes)
            let name = "server \(server.index)"
            check(server.relay.waiting, bounds.relayQueue, "\(name), envelopes held")
            check(server.directory.contactCount, bounds.contacts, "\(name), routing table")
            check(server.mailboxes.largestQueue, WorldMailboxes.waitingLimit, "\(name), mailbox")
            check((try? DirectoryCore.recordCount(server.store)) ?? 0, bounds.records, "\(name), records")
            check(server.map.serverTotal, servers.count, "\(name), map")
            for row in (try? HomeCore.accounts(server.store)) ?? [] {
                check(row.items, bounds.homeItems, "\(name), inbox of \(row.account.hex)")
                check(row.replyBlocks, bounds.replyBlocks, "\(name), reply blocks of \(row.account.hex)")
            }
        }
        for agent in agents {
            // Receipts count too: one for each message that comes.
            let open = (try? AgentCore.outboxMessages(agent.store))?.count {
                $0.state == .queued || $0.state == .accepted
            }
            check(open ?? 0, bounds.outbox, "agent \(agent.index), outbox")
        }
    }
}
