import Primitives
import Records
import Wire

/// How clusters agree on an epoch's shared random value, by commit and reveal (specs/directory.md, "Shared random value").
///
/// Each participant commits to a secret by its hash, shows the secret when nobody can commit any more, and signs what
/// follows from all that were shown. Who committed and who showed what is agreed on in rounds, so that nobody parts the
/// others by what comes in the last moment. A secret that is withheld is left out: so k who collude and reveal last choose
/// among 2^k values; they are named, and ``SharedRandomCore`` leaves them out for a week. Without agreement the value
/// follows from the last one, and everybody is told.
public struct SharedRandom: Sendable {
    public enum Event: Sendable {
        case message([UInt8])
        case wake
    }

    public enum Effect: Hashable, Sendable {
        /// Keep it, then pass it on.
        case broadcast(Witnessed)
        /// Two thirds have signed the value.
        case agreed(value: Bytes32, votes: [Statement])
        /// No agreement: the value that follows from the last one holds, and the operator must know.
        case failed(value: Bytes32, Failure)
    }

    public enum Failure: Hashable, Sendable {
        /// Fewer than ``SharedRandom/least`` participants.
        case tooFew
        /// These have committed and not revealed, or committed twice, and fewer than two thirds have revealed.
        case withheld([VerifyingKey])
        /// Fewer than two thirds have signed one value.
        case disagreement
    }

    /// What was refused in the epoch, and who misbehaved; the sums of all are ``SharedRandomCounters``.
    public struct Tally: Equatable, Sendable {
        public var malformed: UInt64 = 0
        public var foreign: UInt64 = 0
        public var wrongSignature: UInt64 = 0
        public var wrongPhase: UInt64 = 0
        public var wrongSecret: UInt64 = 0
        public var equivocations: UInt64 = 0
        public var withheld: UInt64 = 0
        public init() {}

        /// All messages that were not taken.
        var refused: UInt64 { malformed + foreign + wrongSignature + wrongPhase + wrongSecret }
    }

    /// With fewer participants there is no value that one or two could not steer.
    public static let least = 4
    /// At most so many take part.
    public static let most = 32
    /// Epochs that a cluster must have been on the map.
    public static let age: UInt64 = 7

    public let epoch: UInt64
    /// Names of the clusters that take part, ascending.
    public let participants: [Bytes16]
    public internal(set) var counters = Tally()
    /// Two signed commitments or votes of one participant: evidence.
    public internal(set) var evidence: [VerifyingKey: [Message]] = [:]
    public internal(set) var isOver = false

    let previous: Bytes32
    let own: CertifiedSigner?
    let delay: UInt64
    /// What was taken of each participant, by kind: at most two contents.
    var held: [Message.Kind: [VerifyingKey: [Held]]] = [:]
    /// Of what is held: questions are far more frequent than messages.
    var checksums: [Message.Kind: UInt64] = [:]

    /// - Parameters:
    ///   - epoch: the one that the value is for; the protocol runs during the epoch before it.
    ///   - participants: names; everybody should have the same.
    ///   - previous: the value of the epoch before.
    ///   - own: signs for this server's cluster, in case it takes part.
    ///   - rank: how many servers of the own cluster speak before this one.
    public init(
        epoch: UInt64, participants: [Bytes16], previous: Bytes32, own: CertifiedSigner? = nil, rank: UInt64 = 0
    ) {
        self.epoch = epoch
        let all = Array(Set(participants).sorted().prefix(SharedRandom.most))
        self.participants = all
        self.previous = previous
        self.own = own.flatMap { all.contains(SharedRandom.name(of: $0.certificate.clusterID)) ? $0 : nil }
        delay = min(rank, 6) * SharedRandom.rankDelay
    }

    /// A content, as it came with the most signatures.
    struct Held: Sendable {
        var version: Witnessed
        /// All others have it, or will take what this server has signed: a version with more signatures is of no use.
        var isSettled: Bool

        func isSurpassed(by other: Witnessed) -> Bool { !isSettled && other.signatures > version.signatures }
    }

    /// A cluster's identifier, as in the gossip of descriptors.
    public static func name(of cluster: VerifyingKey) -> Bytes16 {
        Bytes16(BLAKE2b.h(Domain("hulda/cluster-id"), cluster.bytes).bytes.prefix(16)) ?? Bytes16()
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
    public static func participants(of candidates: [Candidate], epoch: UInt64) -> [Bytes16] {
        let eligible = candidates.filter { $0.admitted <= epoch && epoch - $0.admitted >= age }
            .sorted { ($0.admitted, $0.cluster) < ($1.admitted, $1.cluster) }
        var prefixes: Set<[UInt8]> = []
        var clusters: Set<VerifyingKey> = []
        for candidate in eligible where clusters.count < most && !clusters.contains(candidate.cluster) {
            guard prefixes.insert(candidate.prefix).inserted else { continue }
            clusters.insert(candidate.cluster)
        }
        return clusters.map { name(of: $0) }.sorted()
    }

    /// The value when there was no agreement: `H("hulda/srv-fall", previous ‖ epoch)`.
    public static func fallback(previous: Bytes32, epoch: UInt64) -> Bytes32 {
        BLAKE2b.h(Domain("hulda/srv-fall"), previous, epoch)
    }

    package static func isEnough(_ count: Int, of all: Int) -> Bool { count * 3 >= all * 2 }

    package static func commitment(_ secret: Bytes32, of participant: VerifyingKey, epoch: UInt64) -> Bytes32 {
        var hash = BLAKE2b(outputCount: 32, domain: Domain("hulda/srv-commit"))
        hash.update(secret)
        hash.update(participant.bytes)
        hash.update(epoch)
        return hash.finalize()
    }

    /// `H("hulda/srv-value", previous ‖ epoch ‖ participant ‖ secret ‖ …)`, participants ascending.
    package static func value(previous: Bytes32, epoch: UInt64, secrets: [VerifyingKey: Bytes32]) -> Bytes32 {
        var hash = BLAKE2b(outputCount: 32, domain: Domain("hulda/srv-value"))
        hash.update(previous)
        hash.update(epoch)
        for (participant, secret) in secrets.sorted(by: { $0.key < $1.key }) {
            hash.update(participant.bytes)
            hash.update(secret)
        }
        return hash.finalize()
    }
}
