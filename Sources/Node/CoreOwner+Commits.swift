import Directory
import Federation
import Home
import Storage
import Wire

/// What waits for the disk.
extension CoreOwner {
    /// Whether an effect need not wait for a commit; else it is remembered.
    func isDue(_ effect: Effect) -> Bool {
        guard effect.awaitsCommit else { return true }
        return commits.admit(effect, of: effect.part)
    }

    func perform(_ effects: [Effect]) {
        var ofMap: [MapEffect] = []
        var ofDirectory: [DirectoryEffect] = []
        var ofHome: [HomeEffect] = []
        for effect in effects {
            switch effect {
            case .map(let effect): ofMap.append(effect)
            case .directory(let effect): ofDirectory.append(effect)
            case .home(let effect): ofHome.append(effect)
            case .published(let descriptor): publications.settle(descriptor)
            }
        }
        if !ofMap.isEmpty { perform(ofMap) }
        if !ofDirectory.isEmpty { perform(ofDirectory) }
        if !ofHome.isEmpty { perform(ofHome) }
    }

    /// Hands the gathered writes to the writer, if it is time.
    func commit() {
        guard let writes = commits.seal(.now()) else { return }
        writer.commit(writes) { result in self.loop.execute { self.committed(result) } }
    }

    private func committed(_ result: Result<Int, StorageError>) {
        switch result {
        case .success(let usedBytes):
            if let seconds = refusal.ended(.now()) {
                logger.notice("the store takes what is written again", metadata: ["refused_for": "\(seconds) s"])
            }
            checkSpace(usedBytes)
            perform(commits.committed())
        case .failure(let error):
            let dropped = commits.failed()
            forget(dropped)
            checkSpace(environment.usedBytes)
            if !environment.isInPlace { refuseAll() }
            // Once, and not with every batch of what may be days.
            if refusal.failed("\(error)", .now()) { logger.error("the store refused a transaction: \(error)") }
            ledger.count("core.storage.failed")
            tellAgain(dropped)
        }
        endFlushes()
        commit()
        if !events.isEmpty, !isDraining {
            isDraining = true
            loop.execute { self.drain() }
        }
        scheduleWake()
    }

    /// Nobody will answer these requests, so their senders need not be remembered.
    func forget(_ effects: [Effect]) {
        for case .directory(.answer(let token, _)) in effects { answerers[token] = nil }
    }

    /// What a core knows although the disk does not: others of this node learn of it all the same, since no core says
    /// it twice.
    func tellAgain(_ dropped: [Effect]) {
        var isChanged = false
        for effect in dropped {
            switch effect {
            case .map(.learned), .map(.lost), .map(.viewChanged): isChanged = true
            case .directory(.sharedValue(let epoch, let value)): handle(.map(.sharedRandom(epoch: epoch, value)))
            default: break
            }
        }
        if isChanged { mapChanged() }
    }

    /// Waits until all that was written so far is on disk.
    func flush() async {
        await withCheckedContinuation { continuation in
            loop.execute {
                self.flushes.append(continuation)
                self.endFlushes()
                self.commit()
            }
        }
    }

    private func endFlushes() {
        guard !flushes.isEmpty else { return }
        guard commits.isEmpty else { return commits.hurry() }
        for flush in flushes { flush.resume() }
        flushes = []
    }

    /// The data file is gone: what is asked for is refused with an answer, since nothing of it would last.
    func refuseAll() {
        isStoreRemoved = true
        home.acceptsWrites = false
        directory.acceptsWrites = false
    }

    /// Near the end of the store only what frees space is done; what needs it is refused with an answer.
    func checkSpace(_ usedBytes: Int) {
        guard !isStoreRemoved else { return }
        let isFull = usedBytes > environment.mapSize / 10 * 9
        guard isFull != isNearlyFull else { return }
        isNearlyFull = isFull
        home.acceptsWrites = !isFull
        directory.acceptsWrites = !isFull
        if isFull { logger.warning("the store is nearly full: raise store_mib; new records and messages are refused") }
    }
}
