import Directory
import Federation
import Home
import LMDB
import Storage
import Transport
import Wire

/// What arrives together is handled together, and stored before anybody is told of it.
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
        // Events wait in their bounded queue until the disk has caught up; the end of the commit begins the next turn.
        guard !commits.isBehind || !commits.isWriting else { return }
        var batch = spareEvents
        spareEvents = []
        swap(&batch, &events)
        let now = Timestamp.now()
        do throws(StorageError) {
            var store = BufferedStore(
                try environment.beginReading(), sealed: commits.sealed, open: commits.takeOpen())
            var effects: [Effect] = []
            for event in batch {
                let operations = store.operations
                try handle(event, now, &effects, &store)
                if store.operations > operations { commits.noteWrite(of: event.part, isUrgent: event.part == .home) }
            }
            commits.giveBack(store.finish())
            effects.removeAll { !isDue($0) }
            perform(effects)
        } catch {
            // Nothing of the turn is on disk, so none of its effects may happen; those who asked will ask again.
            forget(commits.discardOpen())
            for case .directory(.request(_, _, let token, _)) in batch { answerers[token] = nil }
            if refusal.failed("\(error)", now) { logger.error("the store could not be read: \(error)") }
            ledger.count("core.storage.failed")
        }
        batch.removeAll(keepingCapacity: true)
        spareEvents = batch
        commit()
        scheduleWake()
    }

    private func handle(
        _ event: Event, _ now: Timestamp, _ effects: inout [Effect], _ store: inout BufferedStore<LMDBTransaction>
    ) throws(StorageError) {
        switch event {
        case .map(let event):
            effects += try map.handle(event, now: now, entropy: &entropy, store: &store).map { .map($0) }
        case .publish(let bytes):
            do throws(MapError) {
                effects += try map.publish(bytes, now: now, store: &store).map { .map($0) }
                effects.append(.published(bytes))
            } catch {
                if case .storage(let reason) = error { throw reason }
                ledger.count("map.publish.refused")
                publications.settle(bytes)
            }
        case .directory(let event):
            for effect in try directory.handle(event, now: now, entropy: &entropy, store: &store) {
                effects.append(.directory(effect))
            }
        case .home(let event):
            effects += try home.handle(event, now: now, store: &store).map { .home($0) }
        }
    }

    /// A timer that is set for an earlier moment stays: it finds nothing to do and is set anew. Most requests move
    /// nothing forward, so most set no timer.
    func scheduleWake() {
        var due = commits.due
        func note(_ moment: Timestamp?) {
            if let moment { due = min(due ?? moment, moment) }
        }
        note(map.nextWake)
        note(directory.nextWake)
        note(home.nextWake)
        note(endpoint.nextWake)
        note(tellingDue)
        note(publications.due)
        guard let due else { return }
        if let wakeDue, wakeDue <= due { return }
        wakeDue = due
        loop.wake(in: max(1, min(due.milliseconds(since: .now()), 60_000))) { [unowned self] in wake() }
    }

    func wake() {
        wakeDue = nil
        let now = Timestamp.now()
        if endpoint.isDue(now) { perform(endpoint.wake(now: now, entropy: &entropy)) }
        // A core that has seen a later time plans anew: what it waits for may be a day ahead.
        if map.isAhead(of: now) { tellingDue = tellingDue.map { min($0, now) } }
        if map.isDue(now) { handle(.map(.wake)) }
        if directory.isDue(now) { handle(.directory(.wake)) }
        if home.isDue(now) { handle(.home(.wake)) }
        if let due = tellingDue, due <= now { tellOfMap() }
        publish()
        commit()
        if !isDraining { scheduleWake() }
    }
}
