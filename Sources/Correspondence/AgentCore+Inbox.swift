import Directory
import Envelope
import Home
import Primitives
import Records
import Storage
import Wire

/// Replies as they come in, and messages from the home.
extension AgentCore {
    mutating func receive(
        _ id: Bytes16, _ payload: [UInt8], _ now: Timestamp, _ entropy: inout Entropy,
        _ effects: inout [AgentEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let entry = replies.entry(id) else {
            counters.strayReplies += 1
            return
        }
        let content: [UInt8]
        do throws(EnvelopeError) { content = try entry.keys.open(payload) } catch {
            counters.tamperedReplies += 1
            return
        }
        _ = try replies.remove(id, &store)
        counters.replies += 1
        switch entry.purpose {
        case .loop:
            counters.loopsReturned += 1
            if let gateway = health.returned(id) { try gatewayWorked(gateway, now, &store) }
            return
        case .dummyLookup: return
        case .inquiry:
            effects.append(.mapAnswer(content))
            return
        default: break
        }
        do throws(WireError) {
            switch entry.purpose {
            case .lookup(let id, let holder):
                lookupAnswered(id, from: holder, try DirectoryMessage(decoding: content), now)
                return
            case .fallback(let id):
                lookupAnswered(id, from: nil, try DirectoryMessage(decoding: content), now)
                return
            case .shared(let epoch, let server):
                sharedAnswered(epoch, by: server, try DirectoryMessage(decoding: content))
                return
            case .nameLookup(let label, let holder):
                nameLookupAnswered(label, from: holder, try DirectoryMessage(decoding: content), now)
                return
            default: break
            }
        } catch {
            counters.malformedAnswers += 1
            return
        }
        try receiveDurable(entry.purpose, content, now, &entropy, &effects, &store)
    }

    private mutating func receiveDurable(
        _ purpose: ReplyPurpose, _ content: [UInt8], _ now: Timestamp, _ entropy: inout Entropy,
        _ effects: inout [AgentEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        switch purpose {
        case .publish, .publishName, .audit:
            guard let answer = try? DirectoryMessage(decoding: content) else {
                counters.malformedAnswers += 1
                return
            }
            if case .publish(let epoch, let holder) = purpose {
                try published(answer, epoch: epoch, holder: holder, now, &entropy, &effects, &store)
            } else if case .publishName(let label, let epoch, let holder) = purpose {
                try namePublished(
                    answer, NameKey(label: label, epoch: epoch), holder: holder, now, &effects, &store)
            } else if case .audit(let epoch, let second) = purpose {
                try auditAnswered(answer, epoch, second: second, now, &effects, &store)
            }
            return
        default: break
        }
        guard let answer = try? HomeAnswer(decoding: content) else {
            counters.malformedAnswers += 1
            return
        }
        switch purpose {
        case .registration(let home): try registrationAnswered(home, answer, now, &effects, &store)
        case .closing(let home): try closingAnswered(home, answer, now, &effects, &store)
        case .delivery(let message, let fragment, let home):
            try deliveryAnswered(message, fragment, answer, from: home, now, &effects, &store)
        case .home(let home): try homeAnswered(home, answer, now, &entropy, &effects, &store)
        case .naming(let label, let epoch, let home):
            try namingAnswered(NameKey(label: label, epoch: epoch), home, answer, now, &effects, &store)
        case .loop, .lookup, .fallback, .dummyLookup, .audit, .publish, .shared, .inquiry, .publishName, .nameLookup:
            break
        }
    }

    /// Something came through a reply block that was in stock at a home.
    private mutating func homeAnswered(
        _ home: NodeID, _ answer: HomeAnswer, _ now: Timestamp, _ entropy: inout Entropy,
        _ effects: inout [AgentEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        // A home that was closed or forgotten meanwhile has nothing to say.
        guard var contact = homeContacts[home], settings.home(home) != nil else { return }
        contact.attachFailures = 0
        contact.isReturning = false
        contact.nextAttach = now.adding(milliseconds: configuration.attachInterval)
        defer { homeContacts[home] = contact }
        switch answer {
        case .item(let item):
            // More may wait than there are blocks for: bring new ones at once.
            contact.nextAttach = now
            try take(item, &contact, now, &entropy, &effects, &store)
        case .attached(let pending, _):
            if pending == 0 { contact.lastEmpty = now }
            if replies.stock(at: home) < configuration.stock {
                contact.nextAttach = now
            } else if pending > 0 {
                // They are on their way, or were lost there: the home sends them again when it is asked.
                contact.nextAttach = now.adding(milliseconds: AgentCore.attachRetry)
            }
        case .refused(.replayed):
            // Another run of this agent counted further; the counter catches up with the clock.
            settings.update(home) { $0.counter = max($0.counter, now.milliseconds) }
            contact.nextAttach = now
        case .refused(.unknownAccount):
            contact.lastEmpty = now
            try accountLost(home, now, &effects, &store)
        case .refused(.wrongSignature):
            // The account has another key now: whoever gave it that has the ID's key.
            followSign(now, &entropy)
        case .refused: break
        case .registered, .accepted, .takenOver, .closed, .named, .released:
            counters.malformedAnswers += 1
        }
    }

    /// A home has lost the account: it is opened again, unless it was to be left anyway.
    private mutating func accountLost(
        _ home: NodeID, _ now: Timestamp, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard settings.home(home)?.stage != .leaving else { return }
        settings.update(home) { $0.account = nil }
        try settings.save(&store)
        registrations[home] = Registration(request: 0, now)
    }

    /// Stores a message, so that its acknowledgement is true, or recognises that it is there already.
    private mutating func take(
        _ item: HomeAnswer.Item, _ contact: inout HomeContact, _ now: Timestamp, _ entropy: inout Entropy,
        _ effects: inout [AgentEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let fragment = open(item.blob) else {
            counters.forgedItems += 1
            contact.acknowledge(item.number)
            // Sealed to a key that is not this agent's: perhaps a record says so that is not this agent's either.
            followSign(now, &entropy)
            return
        }
        let outcome = try inbox.take(fragment, configuration, now: now, &store)
        if case .noRoom = outcome {
            // It stays at the home, which asks again later.
            counters.fragmentsDropped += 1
            contact.nextAttach = now.adding(milliseconds: configuration.attachInterval)
            return
        }
        contact.acknowledge(item.number)
        switch outcome {
        case .stored(let message):
            switch fragment.kind {
            case .text:
                effects.append(.received(message))
                try sendReceipt(message.messageID, to: message.sender, item.pending, now, &entropy, &store)
            case .receipt:
                try receiptCame(message, &effects, &store)
            }
        case .duplicate:
            counters.duplicates += 1
            // The sender asks again because the receipt was lost; one receipt under way is enough.
            if fragment.kind == .text, fragment.index == 0 {
                try sendReceipt(fragment.messageID, to: fragment.sender, item.pending, now, &entropy, &store)
            }
        case .partial, .noRoom: break
        case .dropped: counters.fragmentsDropped += 1
        }
    }

    /// Opens a part with the sealing key, or one that was replaced of late.
    private func open(_ blob: [UInt8]) -> SealedFragment? {
        if let fragment = try? SealedFragment(opening: blob, recipient: identity.id, key: identity.sealing) {
            return fragment
        }
        for old in identity.retired {
            if let fragment = try? SealedFragment(opening: blob, recipient: identity.id, key: old.key) {
                return fragment
            }
        }
        return nil
    }

    /// Milliseconds that a receipt waits for further messages while its home says that more are there: one receipt does for
    /// many.
    static let receiptWait: UInt64 = 1000

    /// - Parameter pending: items that the home has, this one included.
    private mutating func sendReceipt(
        _ messageID: Bytes16, to sender: NetworkID, _ pending: UInt32, _ now: Timestamp, _ entropy: inout Entropy,
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        var receipts = 0
        var open: OutgoingMessage?
        for message in outbox.open.values where message.kind == .receipt {
            receipts += 1
            guard message.recipient == sender else { continue }
            if Receipt.messages(message.body)?.contains(messageID) == true { return }
            if message.attempts == 0 { open = message }
        }
        if let open, try outbox.acknowledge(messageID, in: open.messageID, &store) { return }
        // Whoever writes and cannot be reached leaves room for what the user sends. A receipt that is left out is asked for
        // again.
        guard receipts < configuration.outboxLimit / 2, outbox.open.count < configuration.outboxLimit else { return }
        try outbox.add(
            entropy.bytes(), to: sender, .receipt, messageID.bytes, now: now,
            after: pending > 1 ? AgentCore.receiptWait : 0, &store)
    }

    private mutating func receiptCame(
        _ receipt: StoredMessage, _ effects: inout [AgentEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let messages = Receipt.messages(receipt.body) else {
            counters.malformedAnswers += 1
            return
        }
        for id in messages {
            guard let message = outbox.open[id], message.recipient == receipt.sender, message.kind == .text else {
                continue
            }
            try outbox.update(id, &store) { $0.state = .delivered }
            effects.append(.delivered(messageID: id))
        }
    }
}
