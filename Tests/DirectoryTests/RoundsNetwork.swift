import Primitives
import Records
import Wire

@testable import Directory

/// Honest participants and servers that only pass on, on a graph whose links take as long as a test says, and colluders
/// for whom the test speaks.
struct RoundsNetwork {
    typealias Cluster = RandomCircle.Cluster

    /// Those who take part: first the honest ones, whose machines have the same numbers, then the colluders.
    let clusters: [Cluster]
    let honest: Int
    /// Of the honest participants, then of those who only pass on.
    var machines: [SharedRandom]
    var neighbours: [[Int]]
    /// Milliseconds from one to another.
    var delay: (Int, Int) -> UInt64 = { _, _ in 100 }
    /// What each has kept on disk, as ``SharedRandomStore`` does.
    private(set) var kept: [[SharedRandom.Witnessed]]
    private(set) var ended: [Int: SharedRandom.Effect] = [:]
    private(set) var sent = 0
    private(set) var now: UInt64 = 0
    private var queue: [(due: UInt64, to: Int, bytes: [UInt8])] = []

    /// - Parameter passing: servers that do not take part.
    init(honest: Int, colluders: Int, passing: Int = 0, seed: UInt64) {
        var entropy = Entropy(seed: seed)
        clusters = (0..<honest + colluders).map { _ in Cluster(&entropy) }
        self.honest = honest
        let names = clusters.map { SharedRandom.name(of: $0.id) }
        let count = honest + passing
        machines = []
        for index in 0..<count {
            machines.append(
                SharedRandom(
                    epoch: RandomCircle.epoch, participants: names, previous: Bytes32(),
                    own: index < honest ? clusters[index].signer : nil))
        }
        neighbours = (0..<count).map { index in (0..<count).filter { $0 != index } }
        kept = Array(repeating: [], count: count)
    }

    var colluders: ArraySlice<Cluster> { clusters[honest...] }

    /// Milliseconds of the last moment at which so many signatures suffice.
    static func end(_ kind: SharedRandom.Message.Kind, _ signatures: Int) -> UInt64 {
        let first = kind == .commit ? SharedRandom.commitTime : SharedRandom.revealTime
        return (first + UInt64(signatures - 1) * SharedRandom.step) * 1000
    }

    static let step = SharedRandom.step * 1000

    /// Lets a message come to a server at a moment, in milliseconds of the day.
    mutating func tell(_ version: SharedRandom.Witnessed, to index: Int, at due: UInt64) {
        queue.append((due, index, version.encode()))
    }

    /// Lets a server begin anew from what it has kept.
    mutating func restart(_ index: Int) {
        let old = machines[index]
        machines[index] = SharedRandom(
            epoch: old.epoch, participants: old.participants, previous: old.previous, own: old.own)
        machines[index].restore(kept[index])
    }

    /// Lets time pass, and wakes all at its end.
    mutating func run(to end: UInt64) {
        while let next = queue.indices.min(by: { queue[$0].due < queue[$1].due }), queue[next].due <= end {
            let (due, to, bytes) = queue.remove(at: next)
            now = max(now, due)
            handle(to, .message(bytes))
        }
        now = end
        for index in machines.indices { handle(index, .wake) }
    }

    private mutating func handle(_ index: Int, _ event: SharedRandom.Event) {
        for effect in machines[index].handle(event, now: RandomCircle.start.adding(milliseconds: now)) {
            switch effect {
            case .broadcast(let version):
                kept[index].append(version)
                for other in neighbours[index] {
                    sent += 1
                    queue.append((now + delay(index, other), other, version.encode()))
                }
            case .agreed, .failed: ended[index] = effect
            }
        }
    }

    /// Lets honest participants do what they do until the votes are counted, from wherever time stands.
    mutating func finish() {
        for seconds in [SharedRandom.revealStart, SharedRandom.voteStart, SharedRandom.voteEnd] {
            if now <= seconds * 1000 { run(to: seconds * 1000) }
        }
    }

    /// What the honest participants hold a colluder to: its commitment or secret, nothing, or that it said two things.
    func decisions(_ kind: SharedRandom.Message.Kind, of participant: VerifyingKey) -> Set<[Bytes32]> {
        Set(
            machines.prefix(honest).map { machine in
                let contents = machine.held(kind, of: participant).map(\.version.message.content)
                return contents.count > 1 ? [Bytes32(), Bytes32()] : contents
            })
    }

    /// The values that honest participants saw agreed on; `nil` for none.
    var values: Set<Bytes32?> {
        Set(
            (0..<honest).map { index in
                guard case .agreed(let value, _)? = ended[index] else { return nil }
                return value
            })
    }
}
