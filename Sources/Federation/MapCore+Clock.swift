import Primitives
import Records
import Storage
import Wire

/// A clock that was ahead and goes back (specs/map.md, "Clocks").
extension MapCore {
    /// The sequence for a new descriptor of a server: higher than that of the last, which may have been signed by a clock
    /// that was ahead.
    public func nextSequence(ofServer node: NodeID, from least: UInt64) -> UInt64 {
        nextSequence(MapCore.name(node), from: least)
    }

    /// The same of a cluster.
    public func nextSequence(ofCluster cluster: VerifyingKey, from least: UInt64) -> UInt64 {
        nextSequence(MapCore.name(cluster), from: least)
    }

    private func nextSequence(_ id: Bytes16, from least: UInt64) -> UInt64 {
        newest(id).map { max(least, $0.sequence == .max ? .max : $0.sequence + 1) } ?? least
    }

    /// Plans anew, as after a restart, and gives up what belongs to epochs that have not begun.
    mutating func turnBack(
        by amount: UInt64, to now: Timestamp, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        counters.clockTurns += 1
        nextWake = now
        nextExchange = now
        nextPrune = now.adding(milliseconds: MapCore.pruneInterval)
        agentSalt = nil
        versions.forget()
        for link in peers.keys { peers[link]?.turnBack() }
        for digest in snapshots.turnBack(to: now) { sketches.toggleRoot(digest) }
        agreement.turnBack(to: now)
        capacity.turnBack(to: now)
        newcomers.nextPoll = now
        try newcomers.tenure.turnBack(by: amount, to: now, &store)
        effects.append(.viewChanged)
    }
}

extension MapPeer {
    /// Comparisons that seem to be under way are not, and what had expired by a wrong clock is asked for again.
    mutating func turnBack() {
        begunAt = nil
        calledAt = nil
        forgive()
    }
}

extension SnapshotState {
    /// Roots of later epochs are taken again when those begin; the store keeps the own one, so that none is signed twice.
    /// - Returns: what is compared no longer.
    mutating func turnBack(to now: Timestamp) -> [MapDigest] {
        nextAsk = now
        speakers = [:]
        if let own, own.epoch > now.epoch {
            // Its place is that of a map that was started within the epoch.
            self.own = nil
            started = now
        }
        if let comparison, comparison.epoch > now.epoch {
            self.comparison = nil
            verdict = nil
        }
        return book.forget(after: now)
    }
}

extension MapAgreement {
    mutating func turnBack(to now: Timestamp) {
        nextLook = now
        nextQuestions = now
        earlier = nil
        asked = asked.filter { $0.key <= now.epoch }
        if let refused, refused > now.epoch { self.refused = nil }
    }
}

extension CapacityState {
    mutating func turnBack(to now: Timestamp) {
        asked = [:]
        nextWeighing = now
        nextNews = now
        isDirty = true
        if measured > now.epoch { measured = 0 }
    }
}
