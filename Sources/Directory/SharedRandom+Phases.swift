import Primitives
import Records
import Wire

/// What a participant does by itself, and what follows from all that was said.
extension SharedRandom {
    public mutating func handle(_ event: Event, now: Timestamp) -> [Effect] {
        guard !isOver else { return [] }
        var effects: [Effect] = []
        if case .message(let bytes) = event { take(bytes, now, &effects) }
        let phase = phase(now)
        act(phase, now, &effects)
        conclude(phase, &effects)
        return effects
    }

    // MARK: The own part

    private mutating func act(_ phase: Phase, _ now: Timestamp, _ effects: inout [Effect]) {
        guard let own, let message = due(own, phase, now) else { return }
        let version = Witnessed(message)
        // Sent later it might be with some in time and with others not, and who does that counts as a liar.
        guard message.kind == .vote || isEarly(version, now) else { return }
        take(version, now, &effects)
    }

    /// What this participant has to say and has not said.
    private func due(_ own: CertifiedSigner, _ phase: Phase, _ now: Timestamp) -> Message? {
        let seconds = now.seconds % Timestamp.secondsPerEpoch
        let cluster = own.certificate.clusterID
        switch phase {
        case .commit where first(.commit, of: cluster) == nil && seconds >= delay:
            let commitment = SharedRandom.commitment(secret(of: own), of: cluster, epoch: epoch)
            return .commit(Statement(.commit, epoch: epoch, content: commitment, by: own))
        case .reveal where first(.reveal, of: cluster) == nil:
            // Another server of the cluster may have committed; or the own commitment has come back from others.
            guard case .commit(let statement)? = first(.commit, of: cluster),
                statement.certificate.serverID == own.certificate.serverID
            else { return nil }
            return .reveal(participant: cluster, epoch: epoch, secret: secret(of: own))
        case .vote where first(.vote, of: cluster) == nil && seconds >= SharedRandom.voteStart + delay:
            return value.map { .vote(Statement(.vote, epoch: epoch, content: $0, by: own)) }
        default: return nil
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
    var shown: [VerifyingKey: Bytes32] {
        var shown: [VerifyingKey: Bytes32] = [:]
        for participant in speakers(.reveal) where held(.commit, of: participant).count == 1 {
            shown[participant] = first(.reveal, of: participant)?.content
        }
        return shown
    }

    /// Those who committed and whose secrets do not count, ascending.
    private var missing: [VerifyingKey] {
        let shown = shown
        return speakers(.commit).filter { shown[$0] == nil }
    }

    /// Those who committed and are not in a value; nobody, when this participant saw another one.
    func absent(from agreed: Bytes32) -> [VerifyingKey] { agreed == value ? missing : [] }

    /// What follows from the secrets shown; `nil` when too few were.
    private var value: Bytes32? {
        let shown = shown
        guard participants.count >= SharedRandom.least, SharedRandom.isEnough(shown.count, of: participants.count)
        else { return nil }
        return SharedRandom.value(previous: previous, epoch: epoch, secrets: shown)
    }

    /// The votes of those who have not contradicted themselves, by value.
    private var tally: [Bytes32: [Statement]] {
        var tally: [Bytes32: [Statement]] = [:]
        for participant in speakers(.vote) where evidence[participant] == nil {
            guard case .vote(let vote)? = first(.vote, of: participant) else { continue }
            tally[vote.content, default: []].append(vote)
        }
        return tally
    }

    private mutating func conclude(_ phase: Phase, _ effects: inout [Effect]) {
        guard phase >= .vote else { return }
        let winner = tally.first {
            participants.count >= SharedRandom.least && SharedRandom.isEnough($0.value.count, of: participants.count)
        }
        guard winner != nil || phase == .after else { return }
        isOver = true
        let missing = missing
        counters.withheld = UInt64(missing.count)
        if let winner { return effects.append(.agreed(value: winner.key, votes: winner.value)) }
        let failure: Failure =
            participants.count < SharedRandom.least
            ? .tooFew : value == nil ? .withheld(missing) : .disagreement
        effects.append(.failed(value: SharedRandom.fallback(previous: previous, epoch: epoch), failure))
    }
}
