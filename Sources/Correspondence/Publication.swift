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
    /// Counts the agent's publications: the records of two epochs that are made together have one.
    let number: UInt64
    /// The homes that the record names.
    let homes: [NodeID]
    package private(set) var stored: Set<NodeID> = []
    package private(set) var refused: Set<NodeID> = []
    private var attempts: [NodeID: Int] = [:]
    /// Work that holders demand, what came of it, and who is to be asked with it.
    private var solvers: [NodeID: PuzzleSolver] = [:]
    private var efforts: [NodeID: PutEffort] = [:]
    private var ready: [NodeID] = []
    private var demands: [NodeID: Int] = [:]
    private let holders: [NodeID]
    private var nextTry: Timestamp
    /// When somebody is ready to be asked, or the next step at a puzzle is due.
    private var nextTurn: Timestamp?
    /// The last tries have had their time.
    private var isOver = false

    package init(
        epoch: UInt64, record: [UInt8], sequence: UInt64 = 0, number: UInt64 = 0, homes: [NodeID] = [],
        holders: [NodeID], now: Timestamp
    ) {
        self.epoch = epoch
        self.record = record
        self.sequence = sequence
        self.number = number
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
    package var nextStep: Timestamp { nextTurn.map { min($0, nextTry) } ?? nextTry }

    /// A holder has answered the request.
    /// - Returns: false when no put is answered so.
    package mutating func take(_ answer: DirectoryMessage, from holder: NodeID, _ now: Timestamp) -> Bool {
        switch answer {
        // An answer to the record before this one says nothing of this one.
        case .stored(let sequence) where sequence < self.sequence: break
        case .stored: self.answer(from: holder, stored: true)
        case .refused(.unsupported): ignored(by: holder, now)
        case .refused: self.answer(from: holder, stored: false)
        case .puzzle(let level): demand(from: holder, level: level, challenge: nil, now)
        case .challenge(let level, let challenge): demand(from: holder, level: level, challenge: challenge, now)
        default: return false
        }
        return true
    }

    /// A holder of an earlier version is asked in its own way.
    private mutating func ignored(by holder: NodeID, _ now: Timestamp) {
        guard holders.contains(holder), !stored.contains(holder) else { return }
        switch effort(for: holder) {
        case .challenged:
            efforts[holder] = PutEffort.none
            ready.append(holder)
            nextTurn = now
        // The second answer to what was sent twice.
        case .none: break
        case .unchallenged: answer(from: holder, stored: false)
        }
    }

    /// A holder wants work before it looks at the record; one of an earlier version has no challenge for it.
    private mutating func demand(from holder: NodeID, level: Int, challenge: Bytes16?, _ now: Timestamp) {
        guard holders.contains(holder), !stored.contains(holder), solvers[holder] == nil else { return }
        demands[holder, default: 0] += 1
        guard demands[holder, default: 0] <= Publication.demandLimit,
            let record = try? DirectoryRecord(decoding: record),
            let solver = PuzzleSolver(PutPuzzle(record, holder: holder, challenge: challenge), level: level)
        else { return answer(from: holder, stored: false) }
        solvers[holder] = solver
        nextTurn = now
    }

    private func effort(for holder: NodeID) -> PutEffort { efforts[holder] ?? .challenged(nil) }

    /// What to send to a holder.
    package func request(to holder: NodeID) -> DirectoryMessage { effort(for: holder).put(record) }

    /// One step at the first puzzle: an agent goes on with everything else meanwhile.
    private mutating func solve(_ now: Timestamp) {
        guard let due = nextTurn, due <= now else { return }
        if let holder = holders.first(where: { solvers[$0] != nil }) {
            solvers[holder]?.step()
            if let solver = solvers[holder], solver.isOver {
                solvers[holder] = nil
                if let effort = solver.effort {
                    efforts[holder] = effort
                    ready.append(holder)
                } else {
                    answer(from: holder, stored: false)
                }
            }
        }
        nextTurn = solvers.isEmpty ? nil : now.adding(milliseconds: Publication.solvingPause)
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
        let ready = ready
        self.ready = []
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
        /// Keys were replaced when this was the last publication's number.
        case rotated(after: UInt64)
    }

    let request: UInt64
    let started: Timestamp
    let change: Change

    func isMet(by publication: Publication) -> Bool {
        switch change {
        case .opened(let home): publication.homes.contains(home)
        case .removed(let home): !publication.homes.contains(home)
        case .rotated(let number): publication.number > number
        }
    }
}
