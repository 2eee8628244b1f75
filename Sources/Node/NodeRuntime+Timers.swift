import Federation
import NIOCore
import Primitives
import Records
import Relay
import Wire

/// What is due with time.
extension NodeRuntime {
    /// Seconds between two looks at the clock, which may be set.
    private static let longestWait: UInt64 = 60
    /// Milliseconds between two looks whether the data files are there; each commit looks as well.
    private static let storeWatch: Int64 = 10_000

    func startTimers(_ addresses: NodeAddresses) {
        let loop = group.next()
        scheduleUpkeep(addresses, on: loop)
        scheduleWatch(on: loop)
        loop.scheduleTask(in: .seconds(10)) { CodePages.release() }
        scheduleLoop(on: loop)
        scheduleNews(on: loop)
    }

    /// Looks who came to the map and left it: soon in a small one, for which somebody waits, and seldom in a large one.
    private func scheduleNews(on loop: any EventLoop) {
        cores.enqueue { cores in
            cores.lookAtClusters()
            let wait: Int64 = cores.map.clusterTotal <= CoreOwner.fewClusters ? 5 : 60
            loop.scheduleTask(in: .seconds(wait)) { [weak self] in self?.scheduleNews(on: loop) }
        }
    }

    private func scheduleWatch(on loop: any EventLoop) {
        loop.scheduleTask(in: .milliseconds(NodeRuntime.storeWatch)) { [weak self] in
            guard let self, watchStores() else { return }
            scheduleWatch(on: loop)
        }
    }

    /// At the next moment of the day at which something is due, and each minute; soon again after a failure.
    private func scheduleUpkeep(_ addresses: NodeAddresses, after isDone: Bool = true, on loop: any EventLoop) {
        let second = Timestamp.now().seconds % Timestamp.secondsPerEpoch
        let moments = [MixKeyRing.grace, renewalSecond, Timestamp.secondsPerEpoch].filter { $0 > second }
        let wait = moments.map { $0 - second }.reduce(NodeRuntime.longestWait) { min($0, $1) }
        loop.scheduleTask(in: .milliseconds(Int64(isDone ? wait * 1000 : Publications.retry))) { [weak self] in
            guard let self else { return }
            scheduleUpkeep(addresses, after: renewKeys(addresses), on: loop)
        }
        guard !state.withLockedValue({ $0.clock.isOnTrial(.now()) }) else { return }
        relay.enqueue { $0.expireMailboxes() }
        // What was missing of the day of the start does not matter any more.
        if stores.isSilent, Timestamp.now().epoch > started.epoch { try? stores.acknowledge(\.environment) }
    }

    /// The ring of mix keys, and the descriptor that announces them, when their moment has come; and the end of old keys.
    /// - Returns: false when it is to be tried again.
    func renewKeys(_ addresses: NodeAddresses, now: Timestamp = .now()) -> Bool {
        let second = now.seconds % Timestamp.secondsPerEpoch
        let (announced, isOnTrial) = state.withLockedValue { state in
            _ = state.clock.turned(to: now)
            return (state.announced, state.clock.isOnTrial(now))
        }
        let standing = ledger.ring.standing(at: now, isOnTrial: isOnTrial)
        // Each time, and not with the ring alone: what could not be destroyed then is left.
        defer { if !isOnTrial { destroyOldKeys(now) } }
        // What is announced lacks the day's key when the clock was ahead for long and went back.
        let isDue = standing == .useless || (announced != now.epoch && second >= renewalSecond && !isOnTrial)
        guard isDue || standing == .outdated else { return true }
        do {
            var entropy = Entropy.system()
            ledger.ring = try mixKeys.load(now: now, entropy: &entropy)
            let first = ledger.ring.epochs.first ?? now.epoch
            relay.enqueue { $0.forget(before: first) }
            if isDue { try announce(addresses) }
            if let seconds = state.withLockedValue({ $0.keysRefusal.ended(now) }) {
                logger.notice("the mix keys are renewed", metadata: ["refused_for": "\(seconds) s"])
            }
            return true
        } catch {
            // The ring of before is used on: it has the day's key unless this goes on for a day.
            ledger.count("core.keys.refused")
            if state.withLockedValue({ $0.keysRefusal.failed("\(error)", now) }) {
                logger.error("cannot renew the mix keys, which is tried again until it can be done: \(error)")
            }
            return false
        }
    }

    /// Keys that nothing is opened with any more are to open nothing for whoever takes the disk.
    func destroyOldKeys(_ now: Timestamp) {
        for failure in mixKeys.destroyOld(now: now) {
            ledger.count("core.keys.kept")
            logger.error("a private mix key whose time is over may still be on the disk: \(failure)")
        }
    }
}
