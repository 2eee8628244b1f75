import Directory
import Federation
import Home
import LMDB
import NIOCore
import Storage
import Transport
import Wire

/// What arrives together is stored together, and only then are its effects performed.
extension CoreOwner {
    func handle(_ event: Event) {
        guard events.count < CoreOwner.eventLimit else {
            ledger.count("core.overload")
            return
        }
        events.append(event)
        guard !isDraining else { return }
        isDraining = true
        loop.execute { self.drain() }
    }

    func drain() {
        isDraining = false
        let batch = events
        events.removeAll(keepingCapacity: true)
        let now = Timestamp.now()
        checkSpace()
        var mapEffects: [MapEffect] = []
        var directoryEffects: [DirectoryEffect] = []
        var homeEffects: [HomeEffect] = []
        do throws(StorageError) {
            isSpaceUnknown = try environment.update { (transaction: inout LMDBTransaction) throws(StorageError) in
                for event in batch {
                    switch event {
                    case .map(let event):
                        mapEffects += try map.handle(event, now: now, entropy: &entropy, store: &transaction)
                    case .publish(let bytes):
                        do throws(MapError) {
                            mapEffects += try map.publish(bytes, now: now, store: &transaction)
                        } catch {
                            if case .storage(let reason) = error { throw reason }
                            ledger.count("map.publish.refused")
                        }
                    case .directory(let event):
                        directoryEffects += try directory.handle(
                            event, now: now, entropy: &entropy, store: &transaction)
                    case .home(let event):
                        homeEffects += try home.handle(event, now: now, store: &transaction)
                    }
                }
            }
        } catch {
            // Nothing of the batch is on disk, so none of its effects may happen; those who asked will ask again.
            isSpaceUnknown = true
            logger.error("the store refused a transaction: \(error)")
            ledger.count("core.storage.failed")
            scheduleWake()
            return
        }
        perform(mapEffects)
        perform(directoryEffects)
        perform(homeEffects)
        scheduleWake()
    }

    /// Near the end of the store only what frees space is done; what needs it is refused with an answer.
    func checkSpace() {
        guard isSpaceUnknown else { return }
        isSpaceUnknown = false
        let isFull = environment.usedBytes > environment.mapSize / 10 * 9
        guard isFull != isNearlyFull else { return }
        isNearlyFull = isFull
        home.acceptsWrites = !isFull
        directory.acceptsWrites = !isFull
        if isFull { logger.warning("the store is nearly full: raise store_mib; new records and messages are refused") }
    }

    /// A timer that is set for an earlier moment stays: it finds nothing to do and is set anew. Most requests move
    /// nothing forward, so most set no timer.
    func scheduleWake() {
        let due = [map.nextWake, directory.nextWake, home.nextWake, endpoint.nextWake].compactMap(\.self).min()
        guard let due else { return }
        if let wakeDue, wakeDue <= due { return }
        wakeTask?.cancel()
        wakeDue = due
        let delay = min(due.milliseconds(since: .now()), 60_000)
        wakeTask = loop.scheduleTask(in: .milliseconds(Int64(max(1, delay)))) { self.wake() }
    }

    func wake() {
        wakeDue = nil
        let now = Timestamp.now()
        if let due = endpoint.nextWake, due <= now { perform(endpoint.wake(now: now, entropy: &entropy)) }
        if let due = map.nextWake, due <= now { handle(.map(.wake)) }
        if let due = directory.nextWake, due <= now { handle(.directory(.wake)) }
        if let due = home.nextWake, due <= now { handle(.home(.wake)) }
        if !isDraining { scheduleWake() }
    }
}
