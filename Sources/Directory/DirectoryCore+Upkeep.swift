import Primitives
import Records
import Storage
import Wire

/// What a directory server does by itself, with time.
extension DirectoryCore {
    mutating func wake(
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [DirectoryEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        if !stored.isEmpty {
            let endpoints = stored.map(\.endpoint)
            bootstrap += endpoints.prefix(DirectoryCore.rejoinLimit)
            stored = []
            trust.expect(endpoints, from: .anchors)
            anchorCheck = now.adding(milliseconds: DirectoryCore.anchorWait)
            for endpoint in endpoints { call(.ping, endpoint, .ping, now, &effects) }
        }
        for id in iterations.keys.sorted() { try advance(id, now, &effects, &store) }
        if now >= nextSweep, !clock.isOnTrial(now) {
            let expired = try RecordStore.sweep(now, limit: DirectoryCore.sweepLimit, &store)
            counters.expired += UInt64(expired)
            // When many expire together the rest follows in the next rounds.
            let isDone = expired < DirectoryCore.sweepLimit
            nextSweep = now.adding(
                milliseconds: isDone ? DirectoryCore.sweepInterval : configuration.roundInterval)
        }
        if now >= nextRefresh {
            nextRefresh = now.adding(milliseconds: configuration.refreshInterval)
            let target = table.target(inBucket: entropy.below(24), &entropy)
            if let id = start(.nodes, target: target, now, &effects) { try advance(id, now, &effects, &store) }
        }
        if table.count < RoutingTable.k, now >= nextJoin {
            joinWait = min(joinWait * 2, configuration.refreshInterval)
            nextJoin = now.adding(milliseconds: joinWait)
            if table.count == 0 {
                for endpoint in bootstrap { call(.ping, endpoint, .ping, now, &effects) }
            } else {
                startJoin(now, &entropy, &effects)
                let target = table.target(inBucket: entropy.below(4), &entropy)
                if let id = start(.nodes, target: target, now, &effects) { try advance(id, now, &effects, &store) }
            }
        }
        if let silent = table.stalest(configuration.livenessInterval, now: now) {
            call(.liveness(silent.nodeID), silent.endpoint, .ping, now, &effects)
        }
        try lookOut(now, &entropy, &effects, store)
        watchNeighbours(now, &effects)
        try audit(now, &effects, store)
        try repair(now, &effects, store)
        try settle(now, &effects, store)
        try compare(now, &effects, store)
        nextRound = nextRound(after: now)
        if let stalest = table.stalest {
            let due = stalest.lastSeen.adding(milliseconds: configuration.livenessInterval)
            nextRound = max(min(nextRound, due), now.adding(milliseconds: configuration.roundInterval))
        }
    }

    /// When housekeeping is due, not counting contacts that fall silent: an idle server sleeps for long.
    func nextRound(after now: Timestamp) -> Timestamp {
        let soon = now.adding(milliseconds: configuration.roundInterval)
        let isBusy =
            !iterations.isEmpty || !stored.isEmpty || isPassing || auditCursor != nil || settleCursor != nil
            || !around.isEmpty || (table.count == 0 && !bootstrap.isEmpty && now >= nextJoin)
        if isBusy { return soon }
        var due = min(nextSweep, nextRefresh, nextWatch)
        if table.count < RoutingTable.k { due = min(due, nextJoin) }
        if !nodes.isEmpty { due = min(due, nextNeighbours, settleLatest ?? nextSettle, settleDue ?? nextSettle) }
        if repairCursor != nil { due = min(due, nextPass) }
        for time in [auditDue, anchorCheck, offers.due(now)] { due = time.map { min(due, $0) } ?? due }
        return max(due, soon)
    }
}
