import Directory
import Envelope
import Home
import Primitives
import Records
import Storage
import Wire

/// Replies as they come in, messages from the home, and what the home is told in return.
extension AgentCore {
    static let attachRetry: UInt64 = 4000

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
        do throws(WireError) {
            switch entry.purpose {
            case .loop:
                counters.loopsReturned += 1
                health.returned(id)
                return
            case .lookup(let id, let holder):
                lookupAnswered(id, from: holder, try DirectoryMessage(decoding: content), now)
                return
            case .fallback(let id):
                lookupAnswered(id, from: nil, try DirectoryMessage(decoding: content), now)
                return
            case .publish, .registration, .home, .delivery: break
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
        if case .publish(let epoch, let holder) = purpose {
            guard let answer = try? DirectoryMessage(decoding: content) else {
                counters.malformedAnswers += 1
                return
            }
            return try published(answer, epoch: epoch, holder: holder, now, &effects, &store)
        }
        guard let answer = try? HomeAnswer(decoding: content) else {
            counters.malformedAnswers += 1
            return
        }
        switch purpose {
        case .registration: try registrationAnswered(answer, now, &effects, &store)
        case .delivery(let message, let fragment):
            try deliveryAnswered(message, fragment, answer, now, &effects, &store)
        case .home: try homeAnswered(answer, now, &entropy, &effects, &store)
        case .loop, .lookup, .fallback, .publish: break
        }
    }

    /// Something came through a reply block that was in stock at the home.
    private mutating func homeAnswered(
        _ answer: HomeAnswer, _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        attachFailures = 0
        isReturning = false
        nextAttach = now.adding(milliseconds: configuration.attachInterval)
        switch answer {
        case .item(let item):
            // More may wait than there are blocks for: bring new ones at once.
            nextAttach = now
            try take(item, now, &entropy, &effects, &store)
        case .attached(let pending, _):
            if replies.homeCount < configuration.stock {
                nextAttach = now
            } else if pending > 0 {
                // They are on their way, or were lost there: the home sends them again when it is asked.
                nextAttach = now.adding(milliseconds: AgentCore.attachRetry)
            }
        case .refused(.replayed):
            // Another run of this agent counted further; the counter catches up with the clock.
            settings.counter = max(settings.counter, now.milliseconds)
            nextAttach = now
        case .refused(.unknownAccount):
            // The home has lost the account: it is opened again.
            settings.account = nil
            try settings.save(&store)
            registration = Registration(again: settings.token, now)
        case .refused:
            nextAttach = now.adding(milliseconds: configuration.attachInterval)
        case .registered, .accepted:
            counters.malformedAnswers += 1
        }
    }

    /// Stores a message, so that its acknowledgement is true, or recognises that it is there already.
    private mutating func take(
        _ item: HomeAnswer.Item, _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let fragment: SealedFragment
        do throws(SealError) {
            fragment = try SealedFragment(opening: item.blob, recipient: identity.id, key: identity.sealing)
        } catch {
            counters.forgedItems += 1
            acknowledge(item)
            return
        }
        let outcome = try inbox.take(fragment, limit: configuration.fragmentLimit, now: now, &store)
        if case .noRoom = outcome {
            // It stays at the home, which asks again later.
            counters.fragmentsDropped += 1
            nextAttach = now.adding(milliseconds: configuration.attachInterval)
            return
        }
        acknowledge(item)
        switch outcome {
        case .stored(let message):
            switch fragment.kind {
            case .text:
                effects.append(.received(message))
                try sendReceipt(message.messageID, to: message.sender, now, &entropy, &store)
            case .receipt:
                try receiptCame(message, &effects, &store)
            }
        case .duplicate:
            counters.duplicates += 1
            // The sender asks again because the receipt was lost; one receipt under way is enough.
            if fragment.kind == .text, fragment.index == 0 {
                try sendReceipt(fragment.messageID, to: fragment.sender, now, &entropy, &store)
            }
        case .partial, .noRoom: break
        case .dropped: counters.fragmentsDropped += 1
        }
    }

    private mutating func acknowledge(_ item: HomeAnswer.Item) {
        if !toAcknowledge.contains(item.number) { toAcknowledge.append(item.number) }
    }

    private mutating func sendReceipt(
        _ messageID: Bytes16, to sender: NetworkID, _ now: Timestamp, _ entropy: inout Entropy,
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let isUnderWay = outbox.open.values.contains { $0.kind == .receipt && $0.body == messageID.bytes }
        guard !isUnderWay, outbox.open.count < configuration.outboxLimit else { return }
        try outbox.add(entropy.bytes(), to: sender, .receipt, messageID.bytes, now: now, &store)
    }

    private mutating func receiptCame(
        _ receipt: StoredMessage, _ effects: inout [AgentEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let id = Bytes16(receipt.body), let message = outbox.open[id], message.recipient == receipt.sender else {
            return
        }
        try outbox.update(id, &store) { $0.state = .delivered }
        effects.append(.delivered(messageID: id))
    }

    // MARK: Attachment

    mutating func advanceAttachment(_ now: Timestamp) {
        guard settings.isRegistered, !attachQueued, let due = nextAttach, now >= due else { return }
        attachQueued = true
        enqueue(.attach)
    }

    /// Brings three reply blocks and the acknowledgements to the home, signed by the operational key.
    mutating func sendAttachment(
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Bool {
        guard let home = settings.home, settings.isRegistered else { return false }
        // Retried with back-off until something comes back.
        nextAttach = now.adding(
            milliseconds: min(AgentCore.attachRetry << UInt64(min(attachFailures, 4)), configuration.attachInterval))
        attachFailures += 1
        var made: [(id: Bytes16, block: ReplyBlock, keys: ReplyKeys)] = []
        for _ in 0..<ServiceRequest.replyBlockLimit {
            guard let reply = makeReplyBlock(from: home, now, &entropy) else {
                counters.unbuildable += 1
                return false
            }
            made.append(reply)
        }
        let acknowledged = Array(toAcknowledge.prefix(HomeRequest.Attachment.acknowledgementsBesideThreeBlocks))
        settings.counter = max(settings.counter + 1, now.milliseconds)
        var blocks = Writer(capacity: made.count * ReplyBlock.encodedSize)
        for reply in made { reply.block.encode(&blocks) }
        let body = HomeRequest.attach(
            home: home, counter: settings.counter, isReturning: isReturning, acknowledged: acknowledged,
            blocks: blocks.bytes, key: identity.operational)
        let request = ServiceRequest(service: .home, replyBlocks: made.map(\.block), body: body.encode())
        guard let effect = sendRequestEnvelope(request, to: home, now, &entropy) else {
            counters.unbuildable += 1
            return false
        }
        for reply in made {
            let entry = ReplyTable.Entry(keys: reply.keys, purpose: .home, expiry: expiry(of: .home, now))
            try replies.insert(reply.id, entry, &store)
        }
        // An acknowledgement that is lost is repeated when the item comes again.
        toAcknowledge.removeFirst(acknowledged.count)
        if !toAcknowledge.isEmpty { nextAttach = now }
        try settings.save(&store)
        counters.envelopes += 1
        effects.append(effect)
        return true
    }
}
