import Primitives
import Records
import Wire

/// Which messages are taken, kept and passed on.
extension SharedRandom {
    /// The most contents of a participant that are kept, of each kind: two prove that it contradicts itself, and are as
    /// good as more.
    static let contentLimit = 2

    mutating func take(_ bytes: [UInt8], _ now: Timestamp, _ effects: inout [Effect]) {
        guard let version = try? Witnessed(decoding: bytes) else {
            counters.malformed += 1
            return
        }
        take(version, now, &effects)
    }

    mutating func take(_ version: Witnessed, _ now: Timestamp, _ effects: inout [Effect]) {
        guard version.message.epoch == epoch, isParticipant(version.message.participant),
            version.witnesses.allSatisfy({ isParticipant($0.participant) })
        else {
            counters.foreign += 1
            return
        }
        guard isTimely(version, now) else {
            counters.wrongPhase += 1
            return
        }
        // Before the signatures are looked at: most messages come over several links.
        guard isWanted(version), isProven(version) else { return }
        var version = version
        var isSettled = version.message.kind == .vote || isEarly(version, now)
        if !isSettled, let own {
            // With all signatures that can be asked for, one of an honest participant is among them, which sent it before.
            if version.signatures <= faults { version.sign(by: own) }
            isSettled = true
        }
        keep(Held(version: version, isSettled: isSettled))
        effects.append(.broadcast(version))
    }

    private func isParticipant(_ cluster: VerifyingKey) -> Bool {
        participants.contains(SharedRandom.name(of: cluster))
    }

    /// Whether a version says more than what is kept. Of three contents those two stay that have the most signatures: the
    /// others take them for longer.
    private func isWanted(_ version: Witnessed) -> Bool {
        let known = held(version.message.kind, of: version.message.participant)
        if let same = known.first(where: { $0.version.message.content == version.message.content }) {
            return same.isSurpassed(by: version)
        }
        return known.count < SharedRandom.contentLimit || known.contains { $0.isSurpassed(by: version) }
    }

    private mutating func isProven(_ version: Witnessed) -> Bool {
        if case .reveal(let participant, _, let secret) = version.message {
            let commitment = SharedRandom.commitment(secret, of: participant, epoch: epoch)
            guard held(.commit, of: participant).contains(where: { $0.version.message.content == commitment }) else {
                counters.wrongSecret += 1
                return false
            }
        } else if !version.message.isSigned {
            counters.wrongSignature += 1
            return false
        }
        guard version.isWitnessed else {
            counters.wrongSignature += 1
            return false
        }
        return true
    }

    private mutating func keep(_ taken: Held) {
        let message = taken.version.message
        var known = held(message.kind, of: message.participant)
        if let place = known.firstIndex(where: { $0.version.message.content == message.content }) {
            known[place] = taken
        } else if known.count < SharedRandom.contentLimit {
            if let first = known.first { prove(first.version.message, message) }
            known.append(taken)
        } else if let place = known.indices.filter({ known[$0].isSurpassed(by: taken.version) })
            .min(by: { known[$0].version.signatures < known[$1].version.signatures })
        {
            known[place] = taken
        }
        held[message.kind, default: [:]][message.participant] = known
        checksums[message.kind] = sum(message.kind)
    }

    private mutating func prove(_ one: Message, _ other: Message) {
        guard other.kind != .reveal, evidence[other.participant] == nil else { return }
        counters.equivocations += 1
        evidence[other.participant] = [one, other]
    }

    /// Takes back what an earlier run had checked, kept and maybe sent: so no restart makes a participant say two things.
    mutating func restore(_ versions: [Witnessed]) {
        for version in versions where version.message.epoch == epoch {
            // A participant has signed what came late. Others take a version with more signatures once more.
            let taken = Held(version: version, isSettled: version.message.kind == .vote || own != nil)
            if isWanted(version) { keep(taken) }
        }
    }

    // MARK: What is known

    func held(_ kind: Message.Kind, of participant: VerifyingKey) -> [Held] { held[kind]?[participant] ?? [] }

    /// What a participant said first.
    func first(_ kind: Message.Kind, of participant: VerifyingKey) -> Message? {
        held(kind, of: participant).first?.version.message
    }

    /// Those of whom something of a kind is known, ascending.
    func speakers(_ kind: Message.Kind) -> [VerifyingKey] { (held[kind] ?? [:]).keys.sorted() }

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

    /// All messages of a kind that others may still take.
    func messages(_ kind: Message.Kind, _ now: Timestamp) -> [Witnessed] {
        speakers(kind).flatMap { held(kind, of: $0) }.map(\.version).filter { isTimely($0, now) }
    }

    /// The first 8 bytes of BLAKE2b-128 of whose messages of a kind are known, and then of whose contradictions.
    func checksum(_ kind: Message.Kind) -> UInt64 { checksums[kind] ?? sum(kind) }

    private func sum(_ kind: Message.Kind) -> UInt64 {
        var hash = BLAKE2b(outputCount: 16, domain: Domain("hulda/srv-sum"))
        hash.update(epoch)
        hash.update([kind.rawValue])
        let speakers = speakers(kind)
        for speaker in speakers + speakers.filter({ held(kind, of: $0).count > 1 }) { hash.update(speaker.bytes) }
        let digest: Bytes16 = hash.finalize()
        return digest.bytes.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}
