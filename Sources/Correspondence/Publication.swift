import Primitives
import Records
import Wire

/// The publishing of one epoch's record to its holders (specs/correspondence.md, "Publishing").
package struct Publication: Sendable {
    /// Tries with one holder.
    static let attemptLimit = 4
    /// Milliseconds between two tries.
    package static let retry: UInt64 = 5000

    let epoch: UInt64
    let record: [UInt8]
    let sequence: UInt64
    /// The homes that the record names.
    let homes: [NodeID]
    package private(set) var stored: Set<NodeID> = []
    package private(set) var refused: Set<NodeID> = []
    private var attempts: [NodeID: Int] = [:]
    private let holders: [NodeID]
    private(set) var nextTry: Timestamp
    /// The last tries have had their time.
    private var isOver = false

    package init(
        epoch: UInt64, record: [UInt8], sequence: UInt64 = 0, homes: [NodeID] = [], holders: [NodeID], now: Timestamp
    ) {
        self.epoch = epoch
        self.record = record
        self.sequence = sequence
        self.homes = homes
        self.holders = holders
        nextTry = now
    }

    var asked: Int { holders.count }

    /// Enough for lookups to find it: half of the holders.
    package var isSufficient: Bool { !holders.isEmpty && stored.count * 2 >= holders.count }

    package var isFinished: Bool {
        isOver || holders.allSatisfy { stored.contains($0) || refused.contains($0) }
    }

    package mutating func answer(from holder: NodeID, stored isStored: Bool) {
        if isStored {
            stored.insert(holder)
            refused.remove(holder)
        } else if !stored.contains(holder) {
            refused.insert(holder)
        }
    }

    /// The holders to ask now.
    /// - Parameter queueDelay: milliseconds until the requests leave.
    package mutating func due(_ now: Timestamp, queueDelay: UInt64) -> [NodeID] {
        guard now >= nextTry else { return [] }
        nextTry = now.adding(milliseconds: Publication.retry + queueDelay)
        if holders.contains(where: { attempts[$0, default: 0] >= Publication.attemptLimit }) { isOver = true }
        let open = holders.filter {
            !stored.contains($0) && !refused.contains($0) && attempts[$0, default: 0] < Publication.attemptLimit
        }
        for holder in open { attempts[holder, default: 0] += 1 }
        return open
    }
}

/// A request that is answered when enough holders have a record that shows the change.
struct AwaitedRecord: Sendable {
    enum Change: Sendable {
        case opened(NodeID)
        case removed(NodeID)
        /// Keys were replaced when this was the last sequence.
        case rotated(after: UInt64)
    }

    let request: UInt64
    let started: Timestamp
    let change: Change

    func isMet(by publication: Publication) -> Bool {
        switch change {
        case .opened(let home): publication.homes.contains(home)
        case .removed(let home): !publication.homes.contains(home)
        case .rotated(let sequence): publication.sequence > sequence
        }
    }
}
