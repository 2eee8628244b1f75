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
        guard !event.isInput || events.count < CoreOwner.eventLimit else {
            ledger.count("core.overload")
            return
        }
        if event.isWake, !wakesWaiting.insert(event.part).inserted { return }
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
        wakesWaiting = []
        retryDue = nil
        let now = Timestamp.now()
        var effects: [Effect] = []
        var handled = 0
        do throws(StorageError) {
            var store = BufferedStore(
                try environment.beginReading(), sealed: commits.sealed, open: commits.takeOpen())
            for event in batch {
                let operations = store.operations
                try handle(event, now, &effects, &store)
                if store.operations > operations { commits.noteWrite(of: event.part, isUrgent: event.part == .home) }
                handled += 1
                failures = 0
            }
            commits.giveBack(store.finish())
            effects.removeAll { !isDue($0) }
            perform(effects)
        } catch {
            abandon(batch[handled...], effects, now)
            if refusal.failed("\(error)", now) { logger.error("the store could not be read: \(error)") }
            ledger.count("core.storage.failed")
        }
        batch.removeAll(keepingCapacity: true)
        spareEvents = batch
        commit()
        scheduleWake()
    }

    /// A turn could not be ended. Nothing of it is on disk, so of its effects those happen that promise nothing: a call that
    /// a core believes to be under way has to be made.
    /// - Parameter rest: the event at which the turn failed, and those after it. Who asked something will ask again;
    ///   everything else comes once more.
    func abandon(_ rest: ArraySlice<Event>, _ effects: [Effect], _ now: Timestamp) {
        let lost = commits.discardOpen() + effects.filter(\.awaitsCommit)
        forget(lost)
        for case .directory(.request(_, _, let token, _)) in rest { answerers[token] = nil }
        failures += 1
        var again = rest.filter { !$0.isInput }
        if failures > CoreOwner.failureLimit, let first = rest.first {
            // It may be a damaged entry of the store that only this event reads: the others have to go on.
            failures = 0
            if !first.isInput { again.removeFirst() }
            ledger.count("core.event.failed")
        }
        for wake in again where wake.isWake { wakesWaiting.insert(wake.part) }
        events.insert(contentsOf: again, at: 0)
        if !events.isEmpty { retryDue = now.adding(milliseconds: CoreOwner.retryDelay) }
        perform(effects.filter { !$0.awaitsCommit })
        tellAgain(lost)
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
        note(retryDue)
        guard var due else { return }
        // The cores' events wait for the disk then, and its answer begins the next turn.
        if commits.isBehind, commits.isWriting { due = max(due, .now().adding(milliseconds: CoreOwner.behindDelay)) }
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
        if let due = retryDue, due <= now, !events.isEmpty, !isDraining {
            isDraining = true
            loop.execute { self.drain() }
        }
        publish()
        commit()
        if !isDraining { scheduleWake() }
    }
}
