import Primitives
import Records
import Wire

/// When each neighbour on the circle is asked whether it lives (specs/directory.md, "Repair").
///
/// Of two that are each other's neighbours one question is enough: whoever is heard needs not be asked. Who is silent is
/// asked more and more seldom, for it says itself that it is back, to those beside it.
struct NeighbourWatch: Sendable {
    typealias Neighbour = (id: NodeID, endpoint: Endpoint)

    /// A neighbour's turn.
    private struct Turn {
        /// When it was last heard or asked.
        var since: Timestamp
        /// Milliseconds from then on until it is asked.
        var wait: UInt64
        var questions = 0
    }

    /// Questions that whoever is new to a neighbour asks it without a wait: the first may be the first message of a
    /// session, which proves no address, and counts for nothing there.
    private static let greetings = 2
    /// Rounds of asking after which a silent neighbour is asked at the latest.
    private static let longestWait: UInt64 = 4

    private(set) var neighbours: [Neighbour] = []
    private(set) var ids: Set<NodeID> = []
    private var turns: [NodeID: Turn] = [:]
    private var nodes: [Endpoint: NodeID] = [:]

    /// Who the neighbours are now; those that stay keep their turns.
    mutating func replace(_ neighbours: [Neighbour]) {
        guard !neighbours.elementsEqual(self.neighbours, by: ==) else { return }
        let earlier = turns
        self.neighbours = neighbours
        ids = Set(neighbours.map(\.id))
        turns = [:]
        nodes = [:]
        for (id, endpoint) in neighbours {
            turns[id] = earlier[id]
            nodes[endpoint] = id
        }
    }

    func contains(_ node: NodeID) -> Bool { ids.contains(node) }

    /// The neighbour at an endpoint.
    func node(at endpoint: Endpoint) -> NodeID? { nodes[endpoint] }

    func isDue(_ node: NodeID, _ now: Timestamp) -> Bool {
        turns[node].map { now >= $0.since.adding(milliseconds: $0.wait) } ?? true
    }

    /// The clock went back.
    mutating func turnBack(by amount: UInt64) {
        turns = turns.mapValues { turn in
            var turn = turn
            turn.since = turn.since.earlier(by: amount)
            return turn
        }
    }

    /// A neighbour answers, or asks something itself.
    mutating func heard(_ node: NodeID, interval: UInt64, _ now: Timestamp) {
        guard var turn = turns[node] else { return }
        turn.since = now
        turn.wait = turn.questions < NeighbourWatch.greetings ? 0 : NeighbourWatch.usualWait(interval)
        turns[node] = turn
    }

    /// A neighbour is asked.
    /// - Parameter interval: milliseconds of a round, within which everybody who is not silent is heard.
    mutating func asked(_ node: NodeID, isSilent: Bool, interval: UInt64, _ now: Timestamp) {
        let usual = NeighbourWatch.usualWait(interval)
        var turn = turns[node] ?? Turn(since: now, wait: usual)
        turn.since = now
        turn.wait = isSilent ? min(2 * max(turn.wait, usual), NeighbourWatch.longestWait * interval) : usual
        turn.questions += 1
        turns[node] = turn
    }

    /// A little less than a round: who is looked at several times in a round is asked once in it.
    private static func usualWait(_ interval: UInt64) -> UInt64 { interval / 8 * 7 }
}
