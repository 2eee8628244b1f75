import Primitives
import Wire

/// How clusters agree on an epoch's shared random value, by commit and reveal (specs/directory.md, "Shared random value").
///
/// Each participant commits to a secret by its hash, shows the secret when nobody can commit any more, and signs what
/// follows from all that were shown. A secret that is withheld is left out: so the last to reveal chooses between two
/// values, no more, and is named. Without agreement the value follows from the last one, and everybody is told.
public struct SharedRandom: Sendable {
    /// What a participant sends, and everybody passes on.
    public enum Message: Hashable, Sendable {
        case commit(participant: VerifyingKey, epoch: UInt64, commitment: Bytes32, signature: Signature)
        case reveal(participant: VerifyingKey, epoch: UInt64, secret: Bytes32)
        case vote(participant: VerifyingKey, epoch: UInt64, value: Bytes32, signature: Signature)
    }

    public enum Event: Sendable {
        case message([UInt8])
        case wake
    }

    public enum Effect: Hashable, Sendable {
        /// Send it to all participants.
        case broadcast([UInt8])
        /// Two thirds have signed the value.
        case agreed(value: Bytes32, votes: [Vote])
        /// No agreement: the value that follows from the last one holds, and the operator must know.
        case failed(value: Bytes32, Failure)
    }

    public struct Vote: Hashable, Sendable {
        public let participant: VerifyingKey
        public let signature: Signature
    }

    public enum Failure: Hashable, Sendable {
        /// Fewer than ``SharedRandom/least`` participants.
        case tooFew
        /// These have committed and not revealed, and fewer than two thirds have revealed.
        case withheld([VerifyingKey])
        /// Fewer than two thirds have signed one value.
        case disagreement
    }

    /// What was refused, and who misbehaved.
    public struct Counters: Equatable, Sendable {
        public var malformed: UInt64 = 0
        public var foreign: UInt64 = 0
        public var wrongSignature: UInt64 = 0
        public var wrongPhase: UInt64 = 0
        public var wrongSecret: UInt64 = 0
        public var equivocations: UInt64 = 0
        public var withheld: UInt64 = 0
        public init() {}
    }

    /// With fewer participants there is no value that one or two could not steer.
    public static let least = 4
    /// At most so many take part.
    public static let most = 32
    /// Epochs that a cluster must have been on the map.
    public static let age: UInt64 = 7
    /// Seconds into the epoch before the one that the value is for.
    static let commitEnd: UInt64 = 10 * 3600
    static let revealEnd: UInt64 = 15 * 3600
    static let voteEnd: UInt64 = 19 * 3600

    public let epoch: UInt64
    public let participants: [VerifyingKey]
    public private(set) var counters = Counters()
    /// Two signed commitments or votes of one participant: evidence.
    public private(set) var evidence: [VerifyingKey: [Message]] = [:]
    public private(set) var isOver = false

    private let previous: Bytes32
    private let own: VerifyingKey?
    private let sign: (@Sendable ([UInt8]) -> Signature)?
    private var commits: [VerifyingKey: Message] = [:]
    private var secrets: [VerifyingKey: Bytes32] = [:]
    private var votes: [VerifyingKey: Message] = [:]
    private var hasCommitted = false
    private var hasRevealed = false
    private var hasVoted = false

    /// - Parameters:
    ///   - epoch: the one that the value is for; the protocol runs during the epoch before it.
    ///   - participants: from ``participants(of:epoch:)``; everybody must have the same list.
    ///   - previous: the value of the epoch before.
    ///   - own: this server's participant, if it takes part.
    ///   - sign: signs with that participant's key.
    public init(
        epoch: UInt64, participants: [VerifyingKey], previous: Bytes32, own: VerifyingKey? = nil,
        sign: (@Sendable ([UInt8]) -> Signature)? = nil
    ) {
        self.epoch = epoch
        let all = Array(Set(participants).sorted().prefix(SharedRandom.most))
        self.participants = all
        self.previous = previous
        self.own = own.flatMap { all.contains($0) ? $0 : nil }
        self.sign = sign
    }

    /// A cluster that may take part.
    public struct Candidate: Hashable, Sendable {
        public var cluster: VerifyingKey
        /// The epoch in which it came onto the map.
        public var admitted: UInt64
        public var prefix: [UInt8]

        public init(cluster: VerifyingKey, admitted: UInt64, prefix: [UInt8]) {
            self.cluster = cluster
            self.admitted = admitted
            self.prefix = prefix
        }
    }

    /// The clusters that take part: on the map for ``age`` epochs, one of each prefix, the longest admitted first.
    public static func participants(of candidates: [Candidate], epoch: UInt64) -> [VerifyingKey] {
        let eligible = candidates.filter { $0.admitted <= epoch && epoch - $0.admitted >= age }
            .sorted { ($0.admitted, $0.cluster) < ($1.admitted, $1.cluster) }
        var prefixes: Set<[UInt8]> = []
        var clusters: Set<VerifyingKey> = []
        for candidate in eligible where clusters.count < most && !clusters.contains(candidate.cluster) {
            guard prefixes.insert(candidate.prefix).inserted else { continue }
            clusters.insert(candidate.cluster)
        }
        return clusters.sorted()
    }

    /// The value when there was no agreement: `H("hulda/srv-fall", previous ‖ epoch)`.
    public static func fallback(previous: Bytes32, epoch: UInt64) -> Bytes32 {
        BLAKE2b.h(Domain("hulda/srv-fall"), previous, epoch)
    }

    /// Whether two thirds of `participants` have signed the value: what a newcomer checks.
    public static func isAgreed(
        _ value: Bytes32, epoch: UInt64, votes: [Vote], participants: [VerifyingKey]
    ) -> Bool {
        guard participants.count >= least, votes.count <= participants.count else { return false }
        let digest = Message.digest(3, epoch, value)
        let signers = Set(
            votes.filter { participants.contains($0.participant) && $0.participant.isValid($0.signature, for: digest) }
                .map(\.participant))
        return isEnough(signers.count, of: Set(participants).count)
    }

    static func isEnough(_ count: Int, of all: Int) -> Bool { count * 3 >= all * 2 }

    static func commitment(_ secret: Bytes32, of participant: VerifyingKey, epoch: UInt64) -> Bytes32 {
        var hash = BLAKE2b(outputCount: 32, domain: Domain("hulda/srv-commit"))
        hash.update(secret)
        hash.update(participant.bytes)
        hash.update(epoch)
        return hash.finalize()
    }

    /// `H("hulda/srv-value", previous ‖ epoch ‖ participant ‖ secret ‖ …)`, participants ascending.
    static func value(previous: Bytes32, epoch: UInt64, secrets: [VerifyingKey: Bytes32]) -> Bytes32 {
        var hash = BLAKE2b(outputCount: 32, domain: Domain("hulda/srv-value"))
        hash.update(previous)
        hash.update(epoch)
        for (participant, secret) in secrets.sorted(by: { $0.key < $1.key }) {
            hash.update(participant.bytes)
            hash.update(secret)
        }
        return hash.finalize()
    }

    // MARK: Events

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
        let start = (epoch - 1) &* Timestamp.secondsPerEpoch
        return [0, SharedRandom.commitEnd, SharedRandom.revealEnd, SharedRandom.voteEnd]
            .map { Timestamp(seconds: start &+ $0) }.first { $0 > now } ?? now
    }

    public mutating func handle(_ event: Event, now: Timestamp) -> [Effect] {
        guard !isOver else { return [] }
        var effects: [Effect] = []
        let phase = phase(now)
        if case .message(let bytes) = event { take(bytes, phase, &effects) }
        act(phase, &effects)
        conclude(phase, &effects)
        return effects
    }

    private mutating func take(_ bytes: [UInt8], _ phase: Phase, _ effects: inout [Effect]) {
        guard let message = try? Message(decoding: bytes) else {
            counters.malformed += 1
            return
        }
        guard participants.contains(message.participant), message.epoch == epoch else {
            counters.foreign += 1
            return
        }
        switch message {
        case .commit: takeSigned(message, during: .commit, phase, \.commits, bytes, &effects)
        case .vote: takeSigned(message, during: .vote, phase, \.votes, bytes, &effects)
        case .reveal(let participant, _, let secret):
            guard phase == .reveal else {
                counters.wrongPhase += 1
                return
            }
            guard case .commit(_, _, let commitment, _) = commits[participant],
                SharedRandom.commitment(secret, of: participant, epoch: epoch) == commitment
            else {
                counters.wrongSecret += 1
                return
            }
            guard secrets.updateValue(secret, forKey: participant) == nil else { return }
            effects.append(.broadcast(bytes))
        }
    }

    private mutating func takeSigned(
        _ message: Message, during right: Phase, _ phase: Phase,
        _ place: WritableKeyPath<SharedRandom, [VerifyingKey: Message]>, _ bytes: [UInt8], _ effects: inout [Effect]
    ) {
        let participant = message.participant
        guard phase == right else {
            counters.wrongPhase += 1
            return
        }
        let known = self[keyPath: place][participant]
        guard known != message else { return }
        guard message.isSigned else {
            counters.wrongSignature += 1
            return
        }
        // Two contents are evidence; a second signature of the same is not.
        if let known, known.content != message.content, evidence[participant] == nil {
            counters.equivocations += 1
            evidence[participant] = [known, message]
            effects.append(.broadcast(bytes))
        }
        guard known == nil else { return }
        self[keyPath: place][participant] = message
        effects.append(.broadcast(bytes))
    }

    /// What this participant does by itself in a phase.
    private mutating func act(_ phase: Phase, _ effects: inout [Effect]) {
        guard let own, let sign else { return }
        // From the signature of the epoch alone, which is the same after a restart: nothing need be stored.
        let seed = sign(BLAKE2b.h(Domain("hulda/srv-seed"), Bytes32(), epoch).bytes)
        let secret = BLAKE2b.h(Domain("hulda/srv-secret"), seed.bytes)
        if phase == .commit, !hasCommitted {
            hasCommitted = true
            let commitment = SharedRandom.commitment(secret, of: own, epoch: epoch)
            send(
                .commit(
                    participant: own, epoch: epoch, commitment: commitment,
                    signature: sign(Message.digest(1, epoch, commitment))), phase, &effects)
        }
        // After a restart the own commitment may have come back from others.
        if phase == .reveal, !hasRevealed, commits[own] != nil {
            hasRevealed = true
            send(.reveal(participant: own, epoch: epoch, secret: secret), phase, &effects)
        }
        if phase == .vote, !hasVoted, let value {
            hasVoted = true
            send(
                .vote(
                    participant: own, epoch: epoch, value: value, signature: sign(Message.digest(3, epoch, value))),
                phase, &effects)
        }
    }

    private mutating func send(_ message: Message, _ phase: Phase, _ effects: inout [Effect]) {
        take(message.encode(), phase, &effects)
    }

    /// What follows from the secrets shown; `nil` when too few were. Who committed twice is left out.
    private var value: Bytes32? {
        let shown = secrets.filter { evidence[$0.key] == nil }
        guard participants.count >= SharedRandom.least, SharedRandom.isEnough(shown.count, of: participants.count)
        else { return nil }
        return SharedRandom.value(previous: previous, epoch: epoch, secrets: shown)
    }

    private mutating func conclude(_ phase: Phase, _ effects: inout [Effect]) {
        guard phase >= .vote else { return }
        var tally: [Bytes32: [Vote]] = [:]
        for participant in votes.keys.sorted() {
            guard case .vote(_, _, let value, let signature) = votes[participant], evidence[participant] == nil else {
                continue
            }
            tally[value, default: []].append(Vote(participant: participant, signature: signature))
        }
        let withheld = commits.keys.filter { secrets[$0] == nil }.sorted()
        for value in tally.keys.sorted() {
            guard participants.count >= SharedRandom.least, let votes = tally[value],
                SharedRandom.isEnough(votes.count, of: participants.count)
            else { continue }
            isOver = true
            counters.withheld = UInt64(withheld.count)
            effects.append(.agreed(value: value, votes: votes))
            return
        }
        guard phase == .after else { return }
        isOver = true
        counters.withheld = UInt64(withheld.count)
        let failure: Failure =
            participants.count < SharedRandom.least
            ? .tooFew : value == nil ? .withheld(withheld) : .disagreement
        effects.append(.failed(value: SharedRandom.fallback(previous: previous, epoch: epoch), failure))
    }
}
