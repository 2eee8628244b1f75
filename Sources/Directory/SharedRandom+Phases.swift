import Primitives
import Records
import Wire

/// What comes in when, and what follows from it.
extension SharedRandom {
    private enum Phase: Int, Comparable {
        case before, commit, reveal, vote, after
        static func < (left: Phase, right: Phase) -> Bool { left.rawValue < right.rawValue }
    }

    private func phase(_ now: Timestamp) -> Phase {
        if now.epoch >= epoch { return .after }
        guard now.epoch + 1 == epoch else { return .before }
        let seconds = now.seconds % Timestamp.secondsPerEpoch
        if seconds < SharedRandom.commitEnd { return .commit }
        if seconds < SharedRandom.revealEnd { return .reveal }
        return seconds < SharedRandom.voteEnd ? .vote : .after
    }

    /// When to be woken; `nil` when it is over.
    public func nextWake(after now: Timestamp) -> Timestamp? {
        guard !isOver, epoch > 0 else { return nil }
        let start = (epoch - 1) * Timestamp.secondsPerEpoch
        let acts = [0, SharedRandom.commitEnd, SharedRandom.revealEnd + SharedRandom.voteWait].map { $0 + delay }
        return (acts + [SharedRandom.voteEnd]).sorted().map { Timestamp(seconds: start + $0) }.first { $0 > now } ?? now
    }

    public mutating func handle(_ event: Event, now: Timestamp) -> [Effect] {
        guard !isOver else { return [] }
        var effects: [Effect] = []
        let phase = phase(now)
        if case .message(let bytes) = event { take(bytes, phase, &effects) }
        act(phase, now, &effects)
        conclude(phase, &effects)
        return effects
    }

    // MARK: Messages

    private mutating func take(_ bytes: [UInt8], _ phase: Phase, _ effects: inout [Effect]) {
        guard let message = try? Message(decoding: bytes) else {
            counters.malformed += 1
            return
        }
        take(message, phase, &effects)
    }

    private mutating func take(_ message: Message, _ phase: Phase, _ effects: inout [Effect]) {
        guard message.epoch == epoch, participants.contains(SharedRandom.name(of: message.participant)) else {
            counters.foreign += 1
            return
        }
        switch message {
        case .commit(let statement): take(statement, message, during: .commit, phase, \.commits, &effects)
        case .vote(let statement): take(statement, message, during: .vote, phase, \.votes, &effects)
        case .reveal(let participant, _, let secret):
            guard phase == .reveal else {
                counters.wrongPhase += 1
                return
            }
            guard let commit = commits[participant],
                SharedRandom.commitment(secret, of: participant, epoch: epoch) == commit.content
            else {
                counters.wrongSecret += 1
                return
            }
            guard secrets.updateValue(secret, forKey: participant) == nil else { return }
            effects.append(.broadcast(message))
        }
    }

    private mutating func take(
        _ statement: Statement, _ message: Message, during right: Phase, _ phase: Phase,
        _ place: WritableKeyPath<SharedRandom, [VerifyingKey: Statement]>, _ effects: inout [Effect]
    ) {
        let participant = statement.participant
        guard phase == right else {
            counters.wrongPhase += 1
            return
        }
        // Two contents are evidence, a second signature of the same is not; and two are enough.
        let known = self[keyPath: place][participant]
        guard known?.content != statement.content, known == nil || evidence[participant] == nil else { return }
        guard message.isSigned else {
            counters.wrongSignature += 1
            return
        }
        keep(statement, message, place)
        effects.append(.broadcast(message))
    }

    private mutating func keep(
        _ statement: Statement, _ message: Message, _ place: WritableKeyPath<SharedRandom, [VerifyingKey: Statement]>
    ) {
        let participant = statement.participant
        guard let known = self[keyPath: place][participant] else {
            self[keyPath: place][participant] = statement
            return
        }
        guard known.content != statement.content, evidence[participant] == nil else { return }
        counters.equivocations += 1
        evidence[participant] = [message.kind == .commit ? .commit(known) : .vote(known), message]
    }

    /// Takes back what an earlier run had checked, kept and maybe sent: so no restart makes a participant say two things.
    mutating func restore(_ messages: [Message]) {
        for message in messages where message.epoch == epoch {
            switch message {
            case .commit(let statement): keep(statement, message, \.commits)
            case .vote(let statement): keep(statement, message, \.votes)
            case .reveal(let participant, _, let secret): secrets[participant] = secret
            }
        }
    }

    /// What is exchanged now; `nil` when it is over.
    func exchanged(_ now: Timestamp) -> Message.Kind? {
        guard !isOver else { return nil }
        switch phase(now) {
        case .commit: return .commit
        case .reveal: return .reveal
        case .vote: return .vote
        case .before, .after: return nil
        }
    }

    /// All messages of a kind that are known, with what contradicts them.
    func messages(_ kind: Message.Kind) -> [Message] {
        switch kind {
        case .commit:
            commits.sorted { $0.key < $1.key }.map { .commit($0.value) } + contradictions(kind)
        case .reveal:
            secrets.sorted { $0.key < $1.key }.map { .reveal(participant: $0.key, epoch: epoch, secret: $0.value) }
        case .vote: votes.sorted { $0.key < $1.key }.map { .vote($0.value) } + contradictions(kind)
        }
    }

    private func contradictions(_ kind: Message.Kind) -> [Message] {
        evidence.sorted { $0.key < $1.key }.compactMap(\.value.last).filter { $0.kind == kind }
    }

    /// The first 8 bytes of BLAKE2b-128 of whose messages of a kind are known.
    func checksum(_ kind: Message.Kind) -> UInt64 {
        var hash = BLAKE2b(outputCount: 16, domain: Domain("hulda/srv-sum"))
        hash.update(epoch)
        hash.update([kind.rawValue])
        for message in messages(kind) { hash.update(message.participant.bytes) }
        let digest: Bytes16 = hash.finalize()
        return digest.bytes.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    // MARK: The own part

    /// What this participant does by itself in a phase.
    private mutating func act(_ phase: Phase, _ now: Timestamp, _ effects: inout [Effect]) {
        guard let own else { return }
        let seconds = now.seconds % Timestamp.secondsPerEpoch
        let cluster = own.certificate.clusterID
        switch phase {
        case .commit where commits[cluster] == nil && seconds >= delay:
            let commitment = SharedRandom.commitment(secret(of: own), of: cluster, epoch: epoch)
            take(.commit(Statement(.commit, epoch: epoch, content: commitment, by: own)), phase, &effects)
        case .reveal where secrets[cluster] == nil:
            // Another server of the cluster may have committed; or the own commitment has come back from others.
            guard commits[cluster]?.certificate.serverID == own.certificate.serverID else { return }
            take(.reveal(participant: cluster, epoch: epoch, secret: secret(of: own)), phase, &effects)
        case .vote where votes[cluster] == nil && seconds >= SharedRandom.revealEnd + SharedRandom.voteWait + delay:
            guard let value else { return }
            take(.vote(Statement(.vote, epoch: epoch, content: value, by: own)), phase, &effects)
        default: break
        }
    }

    /// From the signature of the epoch alone, which is the same after a restart: nothing need be stored.
    private func secret(of own: CertifiedSigner) -> Bytes32 {
        let seed = own.sign(BLAKE2b.h(Domain("hulda/srv-seed"), Bytes32(), epoch).bytes)
        return BLAKE2b.h(Domain("hulda/srv-secret"), seed.bytes)
    }

    // MARK: The end

    /// Secrets that count: who committed twice is left out. Two votes change nothing here, for whoever signs them in the
    /// last moment would otherwise part those who have heard both from those who have not.
    private var shown: [VerifyingKey: Bytes32] { secrets.filter { evidence[$0.key]?.last?.kind != .commit } }

    /// Those who committed and whose secrets are not in a value; nobody, when this participant saw another one.
    func absent(from agreed: Bytes32) -> [VerifyingKey] {
        guard agreed == value else { return [] }
        let shown = shown
        return commits.keys.filter { shown[$0] == nil }.sorted()
    }

    /// What follows from the secrets shown; `nil` when too few were.
    private var value: Bytes32? {
        let shown = shown
        guard participants.count >= SharedRandom.least, SharedRandom.isEnough(shown.count, of: participants.count)
        else { return nil }
        return SharedRandom.value(previous: previous, epoch: epoch, secrets: shown)
    }

    private mutating func conclude(_ phase: Phase, _ effects: inout [Effect]) {
        guard phase >= .vote else { return }
        var tally: [Bytes32: [Statement]] = [:]
        for (participant, vote) in votes.sorted(by: { $0.key < $1.key }) where evidence[participant] == nil {
            tally[vote.content, default: []].append(vote)
        }
        let withheld = commits.keys.filter { secrets[$0] == nil }.sorted()
        let winner = tally.first {
            participants.count >= SharedRandom.least && SharedRandom.isEnough($0.value.count, of: participants.count)
        }
        guard winner != nil || phase == .after else { return }
        isOver = true
        counters.withheld = UInt64(withheld.count)
        if let winner { return effects.append(.agreed(value: winner.key, votes: winner.value)) }
        let failure: Failure =
            participants.count < SharedRandom.least
            ? .tooFew : value == nil ? .withheld(withheld) : .disagreement
        effects.append(.failed(value: SharedRandom.fallback(previous: previous, epoch: epoch), failure))
    }
}
