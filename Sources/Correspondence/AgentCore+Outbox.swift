import Envelope
import Home
import Primitives
import Records
import Storage
import Wire

/// Messages on their way out: queued, accepted by the recipient's home, delivered to the recipient.
extension AgentCore {
    mutating func send(
        _ id: NetworkID, _ body: [UInt8], _ request: UInt64, _ now: Timestamp, _ entropy: inout Entropy,
        _ effects: inout [AgentEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard body.count <= SealedFragment.bodyLimit else {
            effects.append(.failed(request: request, .messageTooLong(limit: SealedFragment.bodyLimit)))
            return
        }
        guard outbox.open.count < configuration.outboxLimit else {
            effects.append(.failed(request: request, .outboxFull(limit: configuration.outboxLimit)))
            return
        }
        do { _ = try BlindedID(id, epoch: now.epoch) } catch {
            effects.append(.failed(request: request, .invalidID))
            return
        }
        let messageID: Bytes16 = entropy.bytes()
        try outbox.add(messageID, to: id, .text, body, now: now, &store)
        effects.append(.queued(request: request, messageID: messageID))
    }

    /// Lookups under way beyond which messages of an urgency start none: a thousand people who cannot be reached must not
    /// keep the one from being found to whom the user writes now.
    private static let lookupShare: [PartQueue.Urgency: Int] = [.fresh: 32, .receipt: 8, .repetition: 4]

    /// Resolves recipients and lines up what is due, as far as there is room.
    mutating func advanceOutbox(
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for message in outbox.due(now) where canLineUp(message, now) {
            guard let contact = freshContact(message.recipient, now) else {
                if let error = startLookup(message.recipient, now, &entropy) {
                    try postpone(message.messageID, now, &store)
                    effects.append(.unresolved(messageID: message.messageID, error))
                }
                continue
            }
            noteSilence(message, now)
            guard home(of: contact, for: message) != nil else {
                // The record names no home that is on the map now; it may have moved.
                contacts[message.recipient] = nil
                try postpone(message.messageID, now, &store)
                continue
            }
            let fragments =
                message.state == .accepted ? Array(0..<UInt8(clamping: message.partCount)) : message.openParts
            if message.attempts > 0 { counters.retransmissions += UInt64(fragments.count) }
            parts.add(fragments, of: message.messageID, to: message.recipient, message.urgency)
            let wait = retryDelay(message, &entropy) + queueDelay(parts.count)
            try outbox.update(message.messageID, &store) {
                $0.attempts = $0.attempts &+ 1
                $0.tries += 1
                $0.nextAttempt = now.adding(milliseconds: wait)
            }
        }
    }

    /// Whether a due message can do a step now; it waits for a turn of others otherwise.
    private func canLineUp(_ message: OutgoingMessage, _ now: Timestamp) -> Bool {
        guard parts.hasRoom(message.urgency, for: message.recipient), !parts.holds(message.messageID),
            lookups[message.recipient] == nil
        else { return false }
        return freshContact(message.recipient, now) != nil
            || lookups.count < AgentCore.lookupShare[message.urgency, default: 0]
    }

    /// When something can be done for the outbox. What is due and has no room goes on with the next turn of the queue.
    func outboxWake(_ now: Timestamp) -> Timestamp? {
        outbox.open.values.lazy.filter { $0.nextAttempt > now || self.canLineUp($0, now) }.map(\.nextAttempt).min()
    }

    /// A message that nothing can be done for now.
    mutating func postpone(
        _ messageID: Bytes16, _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let next = now.adding(milliseconds: configuration.longestRetry)
        try outbox.update(messageID, &store) {
            $0.attempts = $0.attempts &+ 1
            $0.tries += 1
            $0.nextAttempt = next
        }
    }

    /// Doubles from the first retry to the longest, with a quarter of jitter.
    private func retryDelay(_ message: OutgoingMessage, _ entropy: inout Entropy) -> UInt64 {
        if message.state == .accepted { return configuration.receiptRetry }
        let base = min(configuration.firstRetry << UInt64(min(message.tries, 10)), configuration.longestRetry)
        return base + UInt64(entropy.below(Int(base / 4) + 1))
    }

    // MARK: Homes of the recipient

    /// Where a message goes now: to the first home, unless that was silent or refused; a message that was accepted and
    /// for which no receipt comes, to each in turn.
    private func home(of contact: KnownContact, for message: OutgoingMessage) -> RecordBody.Home? {
        let known = contact.body.homes.filter { network.byID[$0.node] != nil }
        guard !known.isEmpty else { return nil }
        let turn = contact.turn + (message.state == .accepted ? Int(message.attempts % 1024) : 0)
        return known[turn % known.count]
    }

    /// A message is sent again because no answer came: after two such rounds the other home has its turn.
    private mutating func noteSilence(_ message: OutgoingMessage, _ now: Timestamp) {
        guard message.tries > 0, message.state == .queued else { return }
        contacts[message.recipient]?.noteSilence(now, pause: configuration.firstRetry)
    }

    private func freshContact(_ id: NetworkID, _ now: Timestamp) -> KnownContact? {
        guard let contact = contacts[id], contact.record.expiry > now.seconds,
            now.milliseconds(since: contact.fetched) < configuration.recordLifetime
        else { return nil }
        return contact
    }

    /// Seals and sends one part, on a fresh path.
    mutating func sendPart(
        _ messageID: Bytes16, _ fragment: UInt8, _ now: Timestamp, _ entropy: inout Entropy,
        _ effects: inout [AgentEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Bool {
        guard let message = outbox.open[messageID], let contact = freshContact(message.recipient, now),
            let home = home(of: contact, for: message)
        else { return false }
        let isOpen = message.acceptedParts & 1 << UInt64(fragment) == 0
        guard isOpen || message.state == .accepted else { return false }
        let parts = SealedFragment.split(message.body)
        guard Int(fragment) < parts.count else { return false }
        let sealed = SealedFragment(
            sender: identity.id, messageID: messageID, kind: message.kind, index: fragment,
            count: UInt8(clamping: parts.count), sent: message.created, part: parts[Int(fragment)])
        let blob: [UInt8]
        do {
            blob = try sealed.seal(
                to: message.recipient, key: contact.body.sealing, sender: identity.user, entropy: &entropy)
        } catch {
            counters.unbuildable += 1
            return false
        }
        let delivery = HomeRequest.deliver(
            .init(
                account: home.account, messageID: SealedFragment.deliveryID(messageID, fragment), blob: blob))
        return try sendRequest(
            .home, to: home.node, delivery.encode(),
            .delivery(message: messageID, fragment: fragment, home: home.node), now, &entropy, &effects, &store)
    }

    /// The recipient's home answered for one part.
    mutating func deliveryAnswered(
        _ messageID: Bytes16, _ fragment: UInt8, _ answer: HomeAnswer, from home: NodeID, _ now: Timestamp,
        _ effects: inout [AgentEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let message = outbox.open[messageID] else { return }
        switch answer {
        case .accepted(let id) where id == SealedFragment.deliveryID(messageID, fragment):
            contacts[message.recipient]?.took(home, network)
            guard message.state == .queued else { return }
            outbox.resume(to: message.recipient, at: now)
            let retry = now.adding(milliseconds: configuration.receiptRetry)
            try outbox.update(messageID, &store) {
                $0.acceptedParts |= 1 << UInt64(fragment)
                if $0.isFullyAccepted {
                    $0.state = .accepted
                    $0.nextAttempt = retry
                }
            }
            if outbox.open[messageID]?.isFullyAccepted ?? true, message.kind == .text {
                effects.append(.accepted(messageID: messageID))
            }
        case .refused(let refusal):
            let hasOther = contacts[message.recipient]?.refused(home, network) ?? false
            // The recipient has moved, or the record was of an account that is gone.
            if refusal == .unknownAccount, !hasOther { contacts[message.recipient] = nil }
            let isSoon = hasOther || refusal == .unknownAccount
            guard !isSoon else {
                let next = now.adding(milliseconds: configuration.firstRetry)
                return outbox.touch(messageID) { $0.nextAttempt = next }
            }
            try outbox.update(messageID, &store) { $0.attempts = max($0.attempts, OutgoingMessage.freshAttempts) }
            putOff(message.recipient, now)
        case .registered, .attached, .item, .accepted, .takenOver, .closed, .named, .released:
            counters.malformedAnswers += 1
        }
    }

    /// No home of the recipient has room: its oldest message asks again after the longest wait, the others later, unless
    /// that one is taken.
    private mutating func putOff(_ recipient: NetworkID, _ now: Timestamp) {
        let next = now.adding(milliseconds: configuration.longestRetry)
        outbox.putOff(to: recipient, until: next.adding(milliseconds: 4 * configuration.longestRetry))
        let oldest = outbox.open.values.filter { $0.recipient == recipient && $0.state == .queued }
            .min { $0.number < $1.number }
        if let oldest { outbox.touch(oldest.messageID) { $0.nextAttempt = next } }
    }

    /// Gives up what is older than a message's lifetime.
    mutating func expireMessages(
        _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for message in outbox.open.values
        where now.milliseconds(since: message.created) > configuration.messageLifetime {
            try outbox.update(message.messageID, &store) { $0.state = .expired }
        }
        guard nextSweep.map({ now >= $0 }) ?? true else { return }
        nextSweep = now.adding(seconds: 3600)
        try inbox.expire(configuration, now: now, &store)
    }
}
