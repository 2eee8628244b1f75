import Envelope
import Home
import Primitives
import Records
import Storage
import Wire

/// What the homes are told: that their owner is there, what has come safely, and over which reply blocks more can come.
extension AgentCore {
    static let attachRetry: UInt64 = 4000
    /// Attachments without an answer after which a home is asked more rarely, and how often then.
    static let deadAfter = 30
    static let deadInterval: UInt64 = 900_000

    /// Whether a home is to be told that its owner is there: it knows the account under the present key.
    private func isAttachable(_ home: HomeAccount) -> Bool {
        home.account != nil && home.serial == identity.serial
    }

    /// When something is to be said to a home, if nothing comes from it before.
    func nextWake(for home: HomeAccount) -> Timestamp? {
        guard let contact = homeContacts[home.node] else { return nil }
        var due: [Timestamp] = []
        if let attach = contact.nextAttach, isAttachable(home), !contact.isAttachQueued { due.append(attach) }
        if home.stage == .leaving, isReadyToClose(home) {
            due.append(contact.nextClosing ?? AgentCore.closingTime(home))
        }
        return due.min()
    }

    mutating func advanceAttachments(_ now: Timestamp) {
        for home in settings.homes where isAttachable(home) {
            guard var contact = homeContacts[home.node], !contact.isAttachQueued, let due = contact.nextAttach,
                now >= due
            else { continue }
            contact.isAttachQueued = true
            homeContacts[home.node] = contact
            enqueue(.attach(home.node))
        }
    }

    /// Brings three reply blocks and the acknowledgements to a home, signed by the account's key.
    mutating func sendAttachment(
        to home: NodeID, _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Bool {
        guard var contact = homeContacts[home] else { return false }
        contact.isAttachQueued = false
        defer { homeContacts[home] = contact }
        guard let known = settings.home(home), let account = known.account, isAttachable(known) else { return false }
        // Retried with back-off until something comes back.
        contact.nextAttach = now.adding(milliseconds: attachWait(contact))
        contact.attachFailures += 1
        var made: [(id: Bytes16, block: ReplyBlock, keys: ReplyKeys)] = []
        for _ in 0..<ServiceRequest.replyBlockLimit {
            guard let reply = makeReplyBlock(from: home, now, &entropy) else {
                counters.unbuildable += 1
                return false
            }
            made.append(reply)
        }
        let acknowledged = Array(
            contact.toAcknowledge.prefix(HomeRequest.Attachment.acknowledgementsBesideThreeBlocks))
        let counter = max(known.counter &+ 1, now.milliseconds)
        settings.update(home) { $0.counter = counter }
        var blocks = Writer(capacity: made.count * ReplyBlock.encodedSize)
        for reply in made { reply.block.encode(&blocks) }
        let body = HomeRequest.attach(
            home: home, account: account, counter: counter, isReturning: contact.isReturning,
            acknowledged: acknowledged, blocks: blocks.bytes,
            key: identity.accountKey(home: home, incarnation: known.incarnation))
        let request = ServiceRequest(service: .home, replyBlocks: made.map(\.block), body: body.encode())
        guard let effect = sendRequestEnvelope(request, to: home, now, &entropy) else {
            counters.unbuildable += 1
            return false
        }
        for reply in made {
            let purpose = ReplyPurpose.home(home)
            let entry = ReplyTable.Entry(keys: reply.keys, purpose: purpose, expiry: expiry(of: purpose, now))
            try replies.insert(reply.id, entry, &store)
        }
        // An acknowledgement that is lost is repeated when the item comes again.
        contact.toAcknowledge.removeFirst(acknowledged.count)
        if !contact.toAcknowledge.isEmpty { contact.nextAttach = now }
        try settings.save(&store)
        counters.envelopes += 1
        effects.append(effect)
        return true
    }

    /// Doubles up to a minute; a home that has been silent for long, to a quarter of an hour.
    private func attachWait(_ contact: HomeContact) -> UInt64 {
        let isDead = contact.attachFailures > AgentCore.deadAfter
        let wait = AgentCore.attachRetry << UInt64(min(contact.attachFailures, 8))
        return min(wait, isDead ? AgentCore.deadInterval : configuration.attachInterval)
    }
}
