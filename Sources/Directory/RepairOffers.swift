import Primitives
import Records
import Wire

/// Records of which the first repairer of a ring has to bring a copy to a new holder, kept until the others ask that
/// holder whether it has come (specs/directory.md, "Repair").
struct RepairOffers: Sendable {
    /// Keys kept; what exceeds them is handed on at once.
    static let limit = 16_384
    /// Milliseconds that an offer waits at least, and half of what it waits at most.
    static let wait: UInt64 = 60_000

    /// Keys for one holder that go in one request.
    struct Batch: Sendable {
        let node: NodeID
        let keys: [VerifyingKey]
    }

    private var young: [NodeID: [VerifyingKey]] = [:]
    private var old: [NodeID: [VerifyingKey]] = [:]
    private var ready: [Batch] = []
    private var count = 0
    private var nextTurn: Timestamp?

    var isFull: Bool { count >= RepairOffers.limit }
    /// What can wait leaves half of the room to what happens now.
    var isHalfFree: Bool { count <= RepairOffers.limit / 2 }

    /// - Parameter isSoon: whether nobody else is at work on it, so that less time has to pass.
    /// - Returns: false when there is no room.
    mutating func add(_ key: VerifyingKey, for node: NodeID, isSoon: Bool, _ now: Timestamp) -> Bool {
        guard !isFull else { return false }
        count += 1
        if isSoon { old[node, default: []].append(key) } else { young[node, default: []].append(key) }
        nextTurn = nextTurn ?? now.adding(milliseconds: RepairOffers.wait)
        return true
    }

    /// The next holder to ask, and for which records.
    mutating func next(_ now: Timestamp) -> Batch? {
        if ready.isEmpty, let due = nextTurn, now >= due { turn(now) }
        guard let batch = ready.popLast() else { return nil }
        count -= batch.keys.count
        return batch
    }

    /// The clock went back.
    mutating func turnBack(by amount: UInt64) { nextTurn = nextTurn?.earlier(by: amount) }

    /// When there is something to ask.
    func due(_ now: Timestamp) -> Timestamp? { ready.isEmpty ? nextTurn : now }

    private mutating func turn(_ now: Timestamp) {
        for node in old.keys.sorted(by: >) {
            let keys = old[node] ?? []
            for first in stride(from: 0, to: keys.count, by: DirectoryMessage.compareLimit) {
                let last = min(keys.count, first + DirectoryMessage.compareLimit)
                ready.append(Batch(node: node, keys: Array(keys[first..<last])))
            }
        }
        old = young
        young = [:]
        nextTurn = old.isEmpty ? nil : now.adding(milliseconds: RepairOffers.wait)
    }
}
