import Primitives
import Records
import Storage
import Wire

/// What a ``MapCore`` knows of who came lately, and whom it asks about that.
struct NewcomerState: Sendable {
    var tenure: Tenure
    var poll: NewcomerPoll?
    /// When a poll may begin, or its next questions are due.
    var nextPoll: Timestamp
}

/// Newcomers: since when servers are on the map, and what an agent that was not there asks (specs/map.md, "Newcomers").
extension MapCore {
    /// Milliseconds after the start of a map until it asks: it needs a map to draw a sample from.
    static let firstPoll: UInt64 = 15_000
    private static let pollInterval: UInt64 = 10_000
    /// Milliseconds until a poll that came to nothing is repeated.
    private static let pollAgain: UInt64 = 3_600_000

    /// The first epoch in which a server may hold records; 0 for one that always may.
    public func countsFrom(_ node: NodeID) -> UInt64 {
        Bytes16(node.bytes.prefix(16)).map { newcomers.tenure.countsFrom($0) } ?? 0
    }

    mutating func wakeNewcomers(
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        try advanceTenure(now, &store)
        guard configuration.isAgent, now >= newcomers.nextPoll else { return }
        newcomers.nextPoll = now.adding(milliseconds: MapCore.pollInterval)
        guard !newcomers.tenure.isComplete(at: now) else {
            newcomers.poll = nil
            return
        }
        if newcomers.poll?.epoch != now.epoch { newcomers.poll = nil }
        if newcomers.poll == nil {
            newcomers.poll = NewcomerPoll(
                epoch: now.epoch, clusters: usableNodes(of: admission.admitted, at: now), entropy: &entropy)
        }
        let questions = newcomers.poll?.questions(now, &entropy) ?? []
        if !questions.isEmpty { effects.append(.inquire(questions)) }
        try concludePoll(now, &effects, &store)
    }

    /// Follows the map while there is somebody from whom to hear of changes. A day that only a wrong clock has seen end
    /// ends nobody's time as a newcomer.
    mutating func advanceTenure(
        _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard !clock.isOnTrial(now) else { return }
        try newcomers.tenure.advance(isLinked: peers.values.contains { !$0.isAgent }, now, &store)
    }

    /// A page of an answer came.
    mutating func receiveNewcomers(
        _ tag: UInt64, _ page: NewcomerPage, _ now: Timestamp, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard newcomers.poll?.take(tag, page) == true else {
            counters.unknown += 1
            return
        }
        try concludePoll(now, &effects, &store)
    }

    private mutating func concludePoll(
        _ now: Timestamp, _ effects: inout [MapEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let poll = newcomers.poll else { return }
        if let verdict = poll.verdict {
            newcomers.poll = nil
            let ids = held.identifiers { $0.isServer }.filter { verdict[NewcomerPage.name($0)] != nil }
            try newcomers.tenure.learn(
                verdict,
                ids: Dictionary(ids.map { (NewcomerPage.name($0), $0) }, uniquingKeysWith: { first, _ in first }),
                now, &store)
            effects.append(.viewChanged)
        } else if poll.isOver {
            newcomers.poll = nil
            newcomers.nextPoll = now.adding(milliseconds: MapCore.pollAgain)
        }
    }
}
