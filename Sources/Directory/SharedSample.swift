import Primitives
import Records

/// One question put to a sample of the network's clusters, a server each, until enough of them say the same.
///
/// The sample is drawn by whoever asks, so that whoever passes on the answers can delay a decision and not choose it.
/// Answers are asked for until one leads the next by ``lead``: when three clusters in ten lie together, they are ahead
/// by so many once in 26,000 questions (the gambler's ruin, `(3/7)^12`), and among honest ones 12 answers suffice.
public struct SharedSample<Vote: Hashable & Sendable>: Sendable {
    /// The clusters asked at most.
    public static var limit: Int { 64 }
    /// By so many answers the first must be ahead of the second.
    public static var lead: Int { 12 }
    /// Without that lead no decision rests on fewer answers, unless there are fewer clusters.
    static var least: Int { 3 }

    /// What the answers so far have come to.
    public enum Verdict: Equatable, Sendable {
        case open
        case decided(Vote)
        /// All were asked, and no answer has more than half.
        case split
    }

    private var waiting: [NodeID]
    private var outstanding: Set<NodeID> = []
    private var votes: [Vote: Int] = [:]
    private let size: Int

    /// - Parameter clusters: of each cluster but the own the servers that can be asked.
    public init(clusters: [VerifyingKey: [NodeID]], entropy: inout Entropy) {
        var order = clusters.filter { !$0.value.isEmpty }.sorted { $0.key < $1.key }.map(\.value)
        entropy.shuffle(&order)
        waiting = order.prefix(SharedSample.limit).map { $0[entropy.below($0.count)] }
        size = waiting.count
    }

    /// Whom to ask now; their answers and failures are to be reported.
    public mutating func next() -> [NodeID] {
        guard verdict == .open else { return [] }
        let (first, second) = leaders
        let missing = SharedSample.lead - (first?.value ?? 0) + (second?.value ?? 0) - outstanding.count
        let asked = Array(waiting.prefix(max(0, missing)))
        waiting.removeFirst(asked.count)
        outstanding.formUnion(asked)
        return asked
    }

    public mutating func answered(_ node: NodeID, _ vote: Vote) {
        guard outstanding.remove(node) != nil else { return }
        votes[vote, default: 0] += 1
    }

    public mutating func failed(_ node: NodeID) { outstanding.remove(node) }

    /// Nobody else is waited for.
    public mutating func giveUp() { outstanding = [] }

    /// Whether others were asked and nobody has answered.
    public var isUnheard: Bool { size > 0 && votes.isEmpty }

    public var verdict: Verdict {
        let (first, second) = leaders
        if let first {
            let isAhead = first.value - (second?.value ?? 0) >= SharedSample.lead
            if isAhead || 2 * first.value > size { return .decided(first.key) }
        }
        guard waiting.isEmpty, outstanding.isEmpty else { return .open }
        guard let first, 2 * first.value > votes.values.reduce(0, +), first.value >= min(SharedSample.least, size)
        else { return .split }
        return .decided(first.key)
    }

    /// Of answers that are level either may come first: no decision rests on that.
    private var leaders: (first: (key: Vote, value: Int)?, second: (key: Vote, value: Int)?) {
        let order = votes.sorted { $0.value > $1.value }
        return (order.first, order.dropFirst().first)
    }
}
