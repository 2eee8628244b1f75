import Primitives
import Records
import Storage
import Wire

/// The exchange with other servers.
extension SharedRandomCore {
    /// The kinds of frames between servers that belong here.
    public static let kinds: ClosedRange<UInt8> = 16...17
    package static let messageKind: UInt8 = 16
    private static let askKind: UInt8 = 17

    /// Notes once an epoch who is on the map. A server that was started within the epoch has not seen what the others
    /// saw when it began, and goes by what it noted before.
    mutating func noteHistory(
        _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard ownList == nil, now.seconds % Timestamp.secondsPerEpoch >= SharedRandomCore.settleTime else { return }
        // A clock that was ahead has noted days that were not.
        if started.epoch < today, history.last.map({ $0 < today }) ?? true {
            try history.note(Set(nodes.map(\.cluster)), epoch: today, &store)
        }
        ownList = SharedRandom.participants(
            of: try history.candidates(nodes, epoch: today, store), epoch: today + 1)
    }

    /// Lets a store remember that clusters have been on the map in each of these epochs, without having seen them there:
    /// how simulated networks begin that are old.
    package static func remember(
        _ clusters: Set<VerifyingKey>, in epochs: Range<UInt64>, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        var history = try ClusterHistory(store)
        for epoch in epochs { try history.note(clusters, epoch: epoch, &store) }
    }

    mutating func startRound(
        _ now: Timestamp, _ effects: inout [Effect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let list, let signer, let value = values[today], isExchanging(now) else { return }
        let siblings = nodes.filter { $0.cluster == signer.certificate.clusterID }
        var round = SharedRandom(
            epoch: today + 1, participants: list, previous: value.resolved(epoch: today),
            own: today == silentEpoch ? nil : signer,
            rank: UInt64(siblings.count { $0.id < own }))
        round.restore(try SharedRandomStore.messages(today + 1, store))
        self.round = round
        nextAsk = now
    }

    /// Hands an event to the exchange and sees to what follows.
    mutating func play(
        _ event: SharedRandom.Event, from link: UInt64? = nil, _ now: Timestamp, _ effects: inout [Effect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard var round, !round.isOver else { return }
        let before = round.counters
        let known = Set(round.evidence.keys)
        // The only owner of its tables, so that they are changed in place.
        self.round = nil
        let outcome = round.handle(event, now: now)
        self.round = round
        count(since: before, round.counters)
        for effect in outcome {
            switch effect {
            case .broadcast(let version):
                try SharedRandomStore.put(version, &store)
                broadcast(version, event, from: link, &effects)
            case .agreed(let value, let votes):
                counters.agreed += 1
                effects.append(
                    .report(
                        .agreed(epoch: round.epoch, votes: votes.count, participants: round.participants.count)))
                try dismiss(round.absent(from: value), from: round, &effects, &store)
                try decide(round.epoch, .value(value), &effects, &store)
            case .failed(let value, let reason): failure = (value, reason)
            }
        }
        for (cluster, proof) in round.evidence where !known.contains(cluster) {
            guard let one = proof.first, let other = proof.last, let evidence = try? SharedRandomEvidence(one, other)
            else { continue }
            if try SharedRandomStore.put(evidence, &ledger, &store) { effects.append(.report(.equivocated(evidence))) }
        }
    }

    /// Sends a version over all links but the one that brought it as it is.
    private func broadcast(
        _ version: SharedRandom.Witnessed, _ event: SharedRandom.Event, from link: UInt64?, _ effects: inout [Effect]
    ) {
        let bytes = version.encode()
        var known: UInt64?
        if case .message(bytes) = event { known = link }
        for other in links.keys.sorted() where other != known {
            effects.append(.send(link: other, [SharedRandomCore.messageKind] + bytes))
        }
    }

    /// Who committed and is not in the value that was agreed on is named, and begins its time on the map anew. Two thirds
    /// have signed the same secrets, so that they know the same of this; for those who saw others, the sample tells who
    /// takes part.
    private mutating func dismiss(
        _ absent: [VerifyingKey], from round: SharedRandom, _ effects: inout [Effect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard !absent.isEmpty else { return }
        withholders = absent
        effects.append(.report(.withheld(epoch: round.epoch, absent)))
        guard round.participants.count - absent.count >= SharedRandomCore.enough else { return }
        try ClusterHistory.forget(absent, &store)
    }

    private mutating func count(since before: SharedRandom.Tally, _ now: SharedRandom.Tally) {
        counters.withheld += now.withheld - before.withheld
        counters.equivocations += now.equivocations - before.equivocations
        counters.refused += now.refused - before.refused
    }

    // MARK: Frames

    func ask(_ link: UInt64, _ now: Timestamp, _ effects: inout [Effect]) {
        guard let round, let kind = round.exchanged(now) else { return }
        var writer = Writer(capacity: 18)
        writer.uint8(SharedRandomCore.askKind)
        writer.uint64(round.epoch)
        writer.uint8(kind.rawValue)
        writer.uint64(round.checksum(kind))
        effects.append(.send(link: link, writer.bytes))
    }

    /// A message of the exchange, or a question for those that are missing.
    mutating func receive(
        _ bytes: [UInt8], _ link: UInt64, _ now: Timestamp, _ effects: inout [Effect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard var budget = links[link] else { return }
        defer { links[link] = budget }
        if bytes.first == SharedRandomCore.messageKind {
            guard budget.messages > 0 else {
                counters.flooded += 1
                return
            }
            budget.messages -= 1
            try play(.message(Array(bytes.dropFirst())), from: link, now, &effects, &store)
        } else if let question = try? SharedRandomCore.question(bytes) {
            guard budget.asks > 0 else {
                counters.flooded += 1
                return
            }
            budget.asks -= 1
            guard let round, round.epoch == question.epoch, round.checksum(question.kind) != question.checksum
            else { return }
            for version in round.messages(question.kind, now) {
                effects.append(.send(link: link, [SharedRandomCore.messageKind] + version.encode()))
            }
        } else {
            counters.refused += 1
        }
    }

    /// Kind 17 ‖ epoch 8 ‖ kind of message 1 ‖ checksum 8.
    private static func question(
        _ bytes: [UInt8]
    ) throws(WireError) -> (epoch: UInt64, kind: SharedRandom.Message.Kind, checksum: UInt64) {
        var reader = Reader(bytes)
        let first = try reader.uint8()
        guard first == askKind else { throw .unknownKind(first) }
        let epoch = try reader.uint64()
        guard let kind = SharedRandom.Message.Kind(rawValue: try reader.uint8()) else {
            throw .outOfRange(field: "kind")
        }
        let question = (epoch: epoch, kind: kind, checksum: try reader.uint64())
        try reader.finish()
        return question
    }
}
