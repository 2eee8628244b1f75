import Primitives
import Records
import Storage
import Wire

/// What a server's operator is told of the making of shared random values.
public enum SharedRandomReport: Hashable, Sendable {
    /// Two thirds of the participants have signed the value of an epoch.
    case agreed(epoch: UInt64, votes: Int, participants: Int)
    /// These have committed and are not in the value that was agreed on: they withheld their secrets, or committed twice.
    case withheld(epoch: UInt64, [VerifyingKey])
    /// No agreement: the value follows from the last one.
    case failed(epoch: UInt64, SharedRandom.Failure)
    /// A participant signed two commitments or votes, and the proof is kept: it has not been proven often before.
    case equivocated(SharedRandomEvidence)
}

/// What came of shared random values since the start.
public struct SharedRandomCounters: CounterSet {
    public static let family = "shared"

    public var agreed: UInt64 = 0
    public var fallbacks: UInt64 = 0
    /// Values and lists of participants taken from a sample of clusters.
    public var adopted: UInt64 = 0
    public var withheld: UInt64 = 0
    public var equivocations: UInt64 = 0
    /// Messages with a layout, participant, signature, secret or time that is wrong.
    public var refused: UInt64 = 0
    /// Messages dropped because the link's share was used up.
    public var flooded: UInt64 = 0

    public init() {}
}

/// A server's part in making and knowing the shared random value of each epoch: who takes part, the exchange among
/// servers, and what it learns from a sample of others when it was not there (specs/directory.md, "Shared random value").
///
/// ``DirectoryCore`` owns one. Without a ``signer`` it does nothing.
public struct SharedRandomCore: Sendable {
    package enum Event {
        /// A stream link to another server stands.
        case linkUp(UInt64)
        case linkDown(UInt64)
        case message(link: UInt64, [UInt8])
        case map([Placement.Node])
        case answer(NodeID, SharedAnswer)
        case failed(NodeID)
        case wake
    }

    package enum Effect {
        case send(link: UInt64, [UInt8])
        /// Ask a server what it knows of an epoch, and report the answer or the failure.
        case ask(NodeID, epoch: UInt64)
        case value(epoch: UInt64, SharedValue)
        case report(SharedRandomReport)
    }

    /// What a sample is asked for.
    enum Question: Hashable {
        case value(epoch: UInt64)
        case participants(epoch: UInt64)

        var epoch: UInt64 {
            switch self {
            case .value(let epoch), .participants(let epoch): epoch
            }
        }
    }

    enum Sampling: Sendable {
        case value(epoch: UInt64, SharedSample<SharedValue?>)
        case participants(epoch: UInt64, SharedSample<[Bytes16]?>)
    }

    struct LinkBudget: Sendable {
        var messages = SharedRandomCore.messageLimit
        var asks = 2
    }

    /// Of each link: messages looked at between two rounds of asking. So many versions there are of the messages of a phase:
    /// two contents of each participant, each with another number of signatures.
    static let messageLimit =
        SharedRandom.most * SharedRandom.contentLimit * (SharedRandom.Witnessed.limit + 1)
    /// Seconds between two rounds of asking.
    static let askInterval: UInt64 = 1200
    /// Seconds after an epoch's start until it is noted who is on the map, as snapshots are taken.
    static let settleTime: UInt64 = 600
    /// Seconds after an epoch's start until others are asked who takes part.
    static let listTime: UInt64 = 1200
    /// Seconds after the vote until others are asked for a value on which this server saw no agreement.
    static let lateTime: UInt64 = 600
    /// Questions of all servers are spread over so many seconds.
    static let spread = 1200
    /// Seconds until a question that nobody answered is asked again.
    static let retry: UInt64 = 60
    /// Whoever withholds loses its place for a week, while so many participants are left: fewer would leave a small network
    /// without a value when a few more are merely down.
    static let enough = 2 * SharedRandom.least
    /// The most epochs for which the value follows from an older one.
    static let chainLimit: UInt64 = 64

    let own: NodeID
    let started: Timestamp
    /// An epoch in which it signs nothing, since what it signed before may be lost: two votes would be a contradiction.
    public var silentEpoch: UInt64?
    /// With it the server takes part.
    public var signer: CertifiedSigner?
    public internal(set) var counters = SharedRandomCounters()
    /// `nil` while it does nothing.
    package private(set) var nextWake: Timestamp?
    /// By epoch, from the last to the next.
    public internal(set) var values: [UInt64: SharedValue] = [:]
    /// The exchange for the next epoch.
    public internal(set) var round: SharedRandom?

    var today: UInt64 = 0
    var nodes: [Placement.Node] = []
    var history = ClusterHistory()
    /// Of whom evidence is in the store.
    var ledger = EvidenceLedger()
    /// Names of the clusters that make the next value, as far as this server's own history tells.
    var ownList: [Bytes16]?
    /// The same as the network has it.
    var list: [Bytes16]?
    var links: [UInt64: LinkBudget] = [:]
    var sampling: Sampling?
    var nextSample: Timestamp
    var nextAsk: Timestamp
    var jitter: UInt64 = 0
    var failure: (value: Bytes32, reason: SharedRandom.Failure)?
    /// Those who committed to a secret for the next value and are not in it, as far as this server knows.
    public internal(set) var withholders: [VerifyingKey] = []

    package init(own: NodeID, now: Timestamp, store: borrowing some (KeyValueStore & ~Copyable)) throws(StorageError) {
        self.own = own
        started = now
        nextSample = now
        nextAsk = now
        values = try SharedRandomStore.values(store)
        history = try ClusterHistory(store)
        ledger = try SharedRandomStore.ledger(store)
    }

    /// What this server says when it is asked about an epoch.
    package func answer(_ epoch: UInt64) -> SharedAnswer {
        let asksNext = signer != nil && epoch == today + 1
        return SharedAnswer(epoch: epoch, value: values[epoch], participants: asksNext ? list ?? ownList : nil)
    }

    package mutating func handle(
        _ event: Event, now: Timestamp, entropy: inout Entropy, store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [Effect] {
        guard signer != nil else { return [] }
        var effects: [Effect] = []
        switch event {
        case .linkUp(let link):
            links[link] = LinkBudget()
            ask(link, now, &effects)
        case .linkDown(let link): links[link] = nil
        case .message(let link, let bytes): try receive(bytes, link, now, &effects, &store)
        case .map(let nodes): self.nodes = nodes
        case .answer(let node, let answer): heard(node, answer)
        case .failed(let node): sampling = sampling.map { SharedRandomCore.without(node, $0) }
        case .wake: break
        }
        try advance(now, &entropy, &effects, &store)
        nextWake = nextWake(after: now)
        return effects
    }

    /// Does whatever is due.
    private mutating func advance(
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [Effect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard !nodes.isEmpty else { return }
        if now.epoch != today { try begin(now, &entropy, &store) }
        try noteHistory(now, &store)
        if let question = question(now), now >= nextSample, sampling == nil {
            sampling = sample(question, &entropy)
        }
        try advanceSample(now, &effects, &store)
        if round == nil { try startRound(now, &effects, &store) }
        try play(.wake, now, &effects, &store)
        guard round != nil, now >= nextAsk else { return }
        nextAsk = now.adding(seconds: SharedRandomCore.askInterval)
        for link in links.keys.sorted() {
            links[link] = LinkBudget()
            ask(link, now, &effects)
        }
    }

    /// An epoch has begun.
    private mutating func begin(
        _ now: Timestamp, _ entropy: inout Entropy, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        today = now.epoch
        jitter = UInt64(entropy.below(SharedRandomCore.spread))
        (round, ownList, list, failure, sampling, withholders) = (nil, nil, nil, nil, nil, [])
        nextSample = now
        list = try SharedRandomStore.list(today + 1, store)
        try SharedRandomStore.forget(before: today, &store)
        // What is older is in the store, for a value that follows from it.
        values = values.filter { $0.key + 1 >= today }
    }

    /// The clock went back. The day begins again, as after a restart; what was decided of days that nobody has seen is
    /// taken back, and what was signed for them stays in the store, so that nothing is signed twice.
    mutating func turnBack(
        to now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        try SharedRandomStore.forget(after: now.epoch, &store)
        values = try SharedRandomStore.values(store)
        today = 0
        nextAsk = now
        if signer != nil { nextWake = now }
    }

    func isExchanging(_ now: Timestamp) -> Bool { now.seconds % Timestamp.secondsPerEpoch < SharedRandom.voteEnd }

    private func nextWake(after now: Timestamp) -> Timestamp? {
        guard !nodes.isEmpty else { return nil }
        let start = Timestamp(seconds: now.epoch * Timestamp.secondsPerEpoch)
        var due = [start.adding(seconds: Timestamp.secondsPerEpoch)]
        due += [SharedRandomCore.settleTime, listDue, lateDue].map { start.adding(seconds: $0) }.filter { $0 > now }
        if question(now) != nil, sampling == nil { due.append(nextSample) }
        if let wake = round?.nextWake(after: now) { due.append(wake) }
        if round?.exchanged(now) != nil { due.append(nextAsk) }
        return due.min().map { max($0, now.adding(milliseconds: 1)) }
    }
}
