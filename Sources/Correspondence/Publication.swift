import Directory
import Primitives
import Records
import Wire

/// The publishing of one epoch's record to its holders (specs/correspondence.md, "Publishing").
package struct Publication: Sendable {
    /// Tries with one holder.
    static let attemptLimit = 4
    /// Puzzles that one holder may demand.
    static let demandLimit = 3
    /// Milliseconds between two steps at puzzles.
    static let solvingPause: UInt64 = 1
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
    /// Work that holders demand, what came of it, and who is to be asked with it.
    private var solvers: [NodeID: PuzzleSolver] = [:]
    private var solutions: [NodeID: UInt64] = [:]
    private var solved: [NodeID] = []
    private var demands: [NodeID: Int] = [:]
    private let holders: [NodeID]
    private var nextTry: Timestamp
    private var nextSolving: Timestamp?
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

    /// When there is something to do.
    package var nextStep: Timestamp { nextSolving.map { min($0, nextTry) } ?? nextTry }

    /// A holder wants work before it looks at the record.
    package mutating func demand(from holder: NodeID, level: Int, _ now: Timestamp) {
        guard holders.contains(holder), !stored.contains(holder), solvers[holder] == nil else { return }
        demands[holder, default: 0] += 1
        guard demands[holder, default: 0] <= Publication.demandLimit,
            let record = try? DirectoryRecord(decoding: record),
            let solver = PuzzleSolver(PutPuzzle(record, holder: holder), level: level)
        else { return answer(from: holder, stored: false) }
        solvers[holder] = solver
        nextSolving = now
    }

    /// What to send to a holder.
    package func request(to holder: NodeID) -> DirectoryMessage {
        guard let solution = solutions[holder] else { return .put(record: record) }
        return .solvedPut(record: record, solution: solution)
    }

    /// One step at the first puzzle: an agent goes on with everything else meanwhile.
    private mutating func solve(_ now: Timestamp) {
        guard let due = nextSolving, due <= now else { return }
        if let holder = holders.first(where: { solvers[$0] != nil }) {
            solvers[holder]?.step()
            if let solver = solvers[holder], solver.isOver {
                solvers[holder] = nil
                solutions[holder] = solver.solution
                if solver.solution != nil { solved.append(holder) } else { answer(from: holder, stored: false) }
            }
        }
        nextSolving = solvers.isEmpty ? nil : now.adding(milliseconds: Publication.solvingPause)
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
        solve(now)
        let ready = solved
        solved = []
        guard now >= nextTry else { return ready }
        nextTry = now.adding(milliseconds: Publication.retry + queueDelay)
        if holders.contains(where: { attempts[$0, default: 0] >= Publication.attemptLimit }) { isOver = true }
        let open = holders.filter {
            !stored.contains($0) && !refused.contains($0) && solvers[$0] == nil && !ready.contains($0)
                && attempts[$0, default: 0] < Publication.attemptLimit
        }
        for holder in open { attempts[holder, default: 0] += 1 }
        return ready + open
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
