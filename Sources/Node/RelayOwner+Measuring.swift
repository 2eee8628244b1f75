import Envelope
import NIOCore
import Primitives
import Records
import Relay
import Wire

/// Measuring other relays, on behalf of the map (specs/relay.md, "Measuring others").
extension RelayOwner {
    /// Begins to measure; what was being measured before is given up.
    func measure(_ targets: [NodeID], epoch: UInt64, until: Timestamp) {
        core.probe = CapacityProbe(epoch: epoch, targets: targets, from: .now(), until: until, entropy: &entropy)
        scheduleProbe()
    }

    private func wakeProbe() {
        guard var probe = core.probe else { return }
        let targets = probe.wake(now: .now(), entropy: &entropy)
        core.probe = probe
        for target in targets {
            guard let path = ports?.loopThrough(target) else { continue }
            perform(core.startProbe(path: path, entropy: &entropy))
        }
        if probe.isFinished {
            core.probe = nil
            ports?.measured(probe.epoch, probe.results)
        }
        scheduleProbe()
    }

    private func scheduleProbe() {
        probeTask?.cancel()
        guard let due = core.probe?.nextWake else { return }
        let delay = min(due.milliseconds(since: .now()), 60_000)
        probeTask = loop.scheduleTask(in: .milliseconds(Int64(max(1, delay)))) { self.wakeProbe() }
    }
}
