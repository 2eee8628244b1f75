import Storage
import Wire

/// A clock that was ahead and goes back (specs/directory.md, "Clocks").
extension DirectoryCore {
    /// Whatever waits for a moment waits as long as it would have, and budgets are whole again.
    mutating func turnBack(
        by amount: UInt64, to now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        counters.clockTurns += 1
        budget = RequestBudget()
        gate = PuzzleGate()
        challenges = PuzzleChallenges()
        strangers = KnownStrangers()
        watch.turnBack(by: amount)
        offers.turnBack(by: amount)
        table.turnBack(by: amount, to: now)
        for id in iterations.keys { iterations[id]?.turnBack(by: amount) }
        for id in lookups.keys { lookups[id]?.turnBack(by: amount) }
        calls = calls.mapValues {
            Pending(
                call: $0.call, endpoint: $0.endpoint, started: $0.started.earlier(by: amount),
                deadline: $0.deadline.earlier(by: amount), isNamed: $0.isNamed)
        }
        nextDeadline = nextDeadline?.earlier(by: amount)
        nextOverdue = nextOverdue?.earlier(by: amount)
        checkDue = checkDue?.earlier(by: amount)
        anchorCheck = anchorCheck?.earlier(by: amount)
        settleDue = settleDue?.earlier(by: amount)
        settleLatest = settleLatest?.earlier(by: amount)
        auditDue = auditDue?.earlier(by: amount)
        fallenSilent = fallenSilent.map { $0.earlier(by: amount) }
        nearby.turnBack(by: amount)
        for time in [
            \DirectoryCore.nextRound, \.nextWatch, \.nextRefresh, \.nextSweep, \.nextSettle, \.nextPass,
            \.nextNeighbours, \.neighboursTurned,
        ] { self[keyPath: time] = self[keyPath: time].earlier(by: amount) }
        // Nobody may have answered a server whose time was wrong.
        joinWait = DirectoryCore.firstJoinWait
        nextJoin = now
        try random.turnBack(to: now, &store)
        // What was placed by values that are taken back is placed anew.
        placements = placements.filter { $0.key <= now.epoch }
        placementVersion += 1
    }
}
