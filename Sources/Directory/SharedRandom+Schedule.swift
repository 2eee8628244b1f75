import Wire

/// When what counts (specs/directory.md, "Rounds").
///
/// Commitments and secrets are agreed on by authenticated broadcast (D. Dolev, H. R. Strong, *Authenticated Algorithms
/// for Byzantine Agreement*, 1983): with s signatures one counts until the end of round s, and who takes one too late to be
/// sure that everybody else does adds its own. It deviates from the paper in that nobody signs what came early enough.
extension SharedRandom {
    /// Seconds of a round: twice what it takes until all honest servers have what one of them sends (450), and 300 by which
    /// their clocks may differ.
    package static let step: UInt64 = 1200
    /// The end of the first round of commitments, in seconds into the epoch before the one that the value is for.
    package static let commitTime: UInt64 = 22_800
    /// Secrets are shown when nobody can commit any more.
    package static let revealStart: UInt64 = 36_000
    /// The end of the first round of secrets.
    package static let revealTime: UInt64 = 50_400
    package static let voteStart: UInt64 = 63_600
    package static let voteEnd: UInt64 = 68_400
    /// Seconds by which each further server of a cluster waits for those before it to speak for the cluster.
    static let rankDelay: UInt64 = 600

    enum Phase: Int, Comparable {
        case before, commit, reveal, vote, after
        static func < (left: Phase, right: Phase) -> Bool { left.rawValue < right.rawValue }
    }

    func phase(_ now: Timestamp) -> Phase {
        if now.epoch >= epoch { return .after }
        guard now.epoch + 1 == epoch else { return .before }
        switch now.seconds % Timestamp.secondsPerEpoch {
        case ..<SharedRandom.revealStart: return .commit
        case ..<SharedRandom.voteStart: return .reveal
        case ..<SharedRandom.voteEnd: return .vote
        default: return .after
        }
    }

    /// So many participants may lie, be silent or be cut off.
    var faults: Int { max(0, participants.count - 1) / 3 }

    private func moment(_ seconds: UInt64) -> Timestamp {
        Timestamp(seconds: (max(1, epoch) - 1) * Timestamp.secondsPerEpoch + seconds)
    }

    /// Until when a message counts that so many participants have signed; `nil` for more than there are rounds.
    func deadline(_ kind: Message.Kind, signatures: Int) -> Timestamp? {
        guard signatures > 0, signatures <= faults + 1 else { return nil }
        let later = UInt64(signatures - 1) * SharedRandom.step
        switch kind {
        case .commit: return moment(SharedRandom.commitTime + later)
        case .reveal: return moment(SharedRandom.revealTime + later)
        case .vote: return signatures == 1 ? moment(SharedRandom.voteEnd) : nil
        }
    }

    /// Whether a message counts now. What clocks that go ahead send before its time is taken.
    func isTimely(_ version: Witnessed, _ now: Timestamp) -> Bool {
        guard let deadline = deadline(version.message.kind, signatures: version.signatures) else { return false }
        let start: UInt64 =
            switch version.message.kind {
            case .commit: 0
            case .reveal: SharedRandom.revealStart - SharedRandom.step
            case .vote: SharedRandom.voteStart - SharedRandom.step
            }
        return now >= moment(start) && now <= deadline
    }

    /// Whether a message that is taken now is with all others before it stops to count, without a further signature.
    func isEarly(_ version: Witnessed, _ now: Timestamp) -> Bool {
        guard let deadline = deadline(version.message.kind, signatures: version.signatures) else { return false }
        return now.adding(seconds: SharedRandom.step) <= deadline
    }

    /// When to be woken; `nil` when it is over.
    public func nextWake(after now: Timestamp) -> Timestamp? {
        guard !isOver, epoch > 0 else { return nil }
        let acts = [0, SharedRandom.revealStart, SharedRandom.voteStart].map { $0 + delay }
        return (acts + [SharedRandom.voteEnd]).sorted().map { moment($0) }.first { $0 > now } ?? now
    }
}
