import Envelope
import Home
import Primitives
import Records
import Storage
import Wire

/// Sending at a Poisson rate, real envelopes and cover alike (Loopix, section 3.2).
extension AgentCore {
    /// Requests that wait for a place of cover: two rounds of the map's questions, and two cover lookups.
    static let coverQueueLimit = 48

    mutating func scheduleTick(_ now: Timestamp, _ entropy: inout Entropy) {
        let wait = entropy.exponential(mean: 1000 / max(configuration.rate, 0.001))
        nextTick = now.adding(milliseconds: UInt64(min(wait, 60_000)))
    }

    /// Puts a request in line. What exceeds the limit is dropped; its retry comes by itself.
    mutating func enqueue(_ outgoing: Outgoing) {
        guard queue.count < configuration.queueLimit else {
            counters.queueOverflow += 1
            return
        }
        queue.append(outgoing)
    }

    /// Keeps for a place where cover would have gone what nobody waits for: at a low rate it delays no user's request
    /// (specs/map.md, "Roots through envelopes"). What exceeds the limit is dropped; the like of it comes again.
    mutating func enqueueAsCover(_ outgoing: Outgoing) {
        guard coverQueue.count < AgentCore.coverQueueLimit else {
            counters.coverQueueOverflow += 1
            return
        }
        coverQueue.append(outgoing)
    }

    /// What goes out next; `nil` when it is cover's turn.
    private mutating func nextOutgoing() -> Outgoing? {
        if !queue.isEmpty { return queue.removeFirst() }
        return coverQueue.isEmpty ? nil : coverQueue.removeFirst()
    }

    /// Milliseconds until what is queued now has been sent, about.
    /// - Parameter more: envelopes that are about to be queued too.
    func queueDelay(_ more: Int = 0) -> UInt64 {
        // Parts of messages take every other turn while there are such.
        let requests = queue.count + more
        return UInt64(Double(requests + min(requests, parts.count)) / max(configuration.rate, 0.001) * 1000)
    }

    mutating func tick(
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        // A late timer catches up, so that the rate holds; a long sleep does not cause a burst.
        var budget = 50
        while let due = nextTick, due <= now, budget > 0 {
            budget -= 1
            let late = now.milliseconds(since: due)
            scheduleTick(late > 1000 ? now : due, &entropy)
            if health.isInDoubt, !queue.isEmpty || parts.count > 0, entropy.below(RelayHealth.turnsInDoubt) == 0 {
                try sendCover(isLoop: true, now, &entropy, &effects, &store)
                continue
            }
            if try sendNext(now, &entropy, &effects, &store) { continue }
            try sendCover(isLoop: entropy.below(2) == 0, now, &entropy, &effects, &store)
        }
        if let due = nextTick, due <= now { scheduleTick(now, &entropy) }
    }

    /// - Returns: false when nothing waits.
    private mutating func sendNext(
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Bool {
        while true {
            if let part = parts.next(requestsWait: !queue.isEmpty) {
                if try sendPart(part.message, part.fragment, now, &entropy, &effects, &store) { return true }
                continue
            }
            guard let outgoing = nextOutgoing() else { return false }
            let isSent: Bool
            switch outgoing {
            case .service(let service, let destination, let body, let purpose):
                isSent = try sendRequest(
                    service, to: destination, body, purpose, now, &entropy, &effects, &store)
            case .attach(let home):
                isSent = try sendAttachment(to: home, now, &entropy, &effects, &store)
            }
            if isSent { return true }
        }
    }

    /// A reply block for `destination`, and its keys in the table.
    func makeReplyBlock(
        from destination: NodeID, _ now: Timestamp, _ entropy: inout Entropy
    ) -> (id: Bytes16, block: ReplyBlock, keys: ReplyKeys)? {
        guard let gateway = gateway(for: destination, &entropy) else { return nil }
        do {
            let path = try network.replyPath(
                gateway: gateway, from: destination, configuration, now: now, entropy: &entropy)
            let id: Bytes16 = entropy.bytes()
            let handle = mailboxHandle(at: gateway, now)
            let made = try ReplyBlock.make(path: path, handle: handle, id: id, entropy: &entropy)
            return (id, made.block, made.keys)
        } catch {
            return nil
        }
    }

    /// Sends one service request in an envelope, with a reply block when an answer is expected.
    func sendRequestEnvelope(
        _ request: ServiceRequest, to destination: NodeID, _ now: Timestamp, _ entropy: inout Entropy
    ) -> AgentEffect? {
        guard let gateway = gateway(for: destination, &entropy) else { return nil }
        do {
            let path = try network.forwardPath(
                gateway: gateway, destination: destination, configuration, now: now, entropy: &entropy)
            let envelope = try Wrap.forward(path: path, content: request.encode(), entropy: &entropy)
            return .envelope(envelope, gateway: gateway)
        } catch {
            return nil
        }
    }

    mutating func sendRequest(
        _ service: Service, to destination: NodeID, _ body: [UInt8], _ purpose: ReplyPurpose?, _ now: Timestamp,
        _ entropy: inout Entropy, _ effects: inout [AgentEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Bool {
        var blocks: [ReplyBlock] = []
        var entry: (id: Bytes16, ReplyTable.Entry)?
        if let purpose {
            guard let reply = makeReplyBlock(from: destination, now, &entropy) else {
                counters.unbuildable += 1
                return false
            }
            blocks = [reply.block]
            entry = (
                reply.id,
                ReplyTable.Entry(keys: reply.keys, purpose: purpose, expiry: expiry(of: purpose, now))
            )
        }
        let request = ServiceRequest(service: service, replyBlocks: blocks, body: body)
        guard let effect = sendRequestEnvelope(request, to: destination, now, &entropy) else {
            counters.unbuildable += 1
            return false
        }
        if let entry { try replies.insert(entry.id, entry.1, &store) }
        counters.envelopes += 1
        effects.append(effect)
        return true
    }

    func expiry(of purpose: ReplyPurpose, _ now: Timestamp) -> Timestamp {
        switch purpose {
        case .delivery: now.adding(seconds: 3600)
        case .home: Timestamp(seconds: (now.epoch + 1) * Timestamp.secondsPerEpoch + 3600)
        default: now.adding(seconds: 120)
        }
    }

    /// A loop back to the own mailbox, or an envelope that its last hop drops: neither can be told from a real one.
    private mutating func sendCover(
        isLoop: Bool, _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let usable = gateways.filter { network.byID[$0] != nil }
        guard !usable.isEmpty else { return }
        let gateway = usable[entropy.below(usable.count)]
        do {
            if isLoop {
                let isProbe = entropy.below(RelayHealth.probeInterval) == 0
                let path = try network.loopPath(
                    gateway: gateway, isProbe: isProbe, configuration, now: now, entropy: &entropy)
                let id: Bytes16 = entropy.bytes()
                let handle = mailboxHandle(at: gateway, now)
                let made = try ReplyBlock.make(path: path, handle: handle, id: id, entropy: &entropy)
                let entry = ReplyTable.Entry(keys: made.keys, purpose: .loop, expiry: expiry(of: .loop, now))
                effects.append(.envelope(try made.block.reply(content: []), gateway: gateway))
                try replies.insert(id, entry, &store)
                let delay = path.reduce(0) { $0 + UInt64($1.delayMilliseconds) }
                health.started(id, path: path.map(\.node), delay: delay, now: now)
            } else {
                guard let relay = network.relay(otherThan: gateway, &entropy) else { return }
                let path = try network.forwardPath(
                    gateway: gateway, destination: relay, configuration, now: now, entropy: &entropy)
                effects.append(
                    .envelope(
                        try Wrap.forward(path: path, command: .drop, content: [], entropy: &entropy), gateway: gateway))
            }
            counters.covers += 1
        } catch let error as StorageError {
            throw error
        } catch {
            counters.unbuildable += 1
        }
    }
}
