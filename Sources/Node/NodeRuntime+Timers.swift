import NIOCore
import Primitives
import Records
import Relay
import Wire

/// What is due with time.
extension NodeRuntime {
    func startTimers(_ addresses: NodeAddresses) {
        let loop = group.next()
        let second = loop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { [weak self] _ in
            self?.everySecond(addresses)
        }
        state.withLockedValue { $0.timers.append(second) }
        loop.scheduleTask(in: .seconds(10)) { CodePages.release() }
        if configuration.loopsPerMinute > 0 { scheduleLoop(on: loop) }
    }

    func everySecond(_ addresses: NodeAddresses) {
        relay.enqueue { $0.tick() }
        openGossipLinks()
        let now = Timestamp.now()
        let second = now.seconds % Timestamp.secondsPerEpoch
        // The ring has the last epoch's key during the grace after midnight, and never that of a later one than the next.
        let epochs = ledger.ring.epochs
        let isRingOld = epochs.last.map { $0 <= now.epoch } ?? true
        let isGraceOver = second >= MixKeyRing.grace && epochs.first.map { $0 < now.epoch } ?? false
        let isDue = state.withLockedValue { $0.announced } != now.epoch && second >= renewalSecond
        guard isRingOld || isGraceOver || isDue else { return }
        do {
            var entropy = Entropy.system()
            ledger.ring = try mixKeys.load(now: now, entropy: &entropy)
            let first = ledger.ring.epochs.first ?? now.epoch
            relay.enqueue { $0.forget(before: first) }
            if isDue { try announce(addresses) }
        } catch {
            logger.error("cannot renew the descriptor: \(error)")
        }
    }
}
