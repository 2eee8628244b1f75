import Envelope
import Federation
import NIOCore
import Primitives
import Records
import Relay
import Wire

/// Envelopes that come back to this server: its own cover, and what measures other relays.
extension NodeRuntime {
    /// Milliseconds of delay at a mix of an own loop, in the mean: that of agents (specs/correspondence.md).
    private static let meanDelay = 50.0

    /// Loops leave at the times of a Poisson process, and are delayed like agents' envelopes, so that no relay on their
    /// way can tell them by their rhythm or delays.
    func scheduleLoop(on loop: any EventLoop) {
        var entropy = Entropy.system()
        // None a minute may become some when the configuration is read again.
        let isNone = configuration.loopsPerMinute == 0
        let wait = isNone ? 60_000 : entropy.exponential(mean: 60_000 / Double(configuration.loopsPerMinute))
        loop.scheduleTask(in: .milliseconds(Int64(wait))) { [weak self] in
            if !isNone { self?.startLoop() }
            self?.scheduleLoop(on: loop)
        }
    }

    func startLoop() {
        guard let path = loopPath() else { return }
        relay.enqueue { $0.startLoop(path) }
    }

    /// Three other relays, and back to here; more where one is to be measured.
    func loopPath(measuring relay: NodeID? = nil) -> [Hop]? {
        let now = Timestamp.now()
        var entropy = Entropy.system()
        guard let ownKey = ledger.server(keys.nodeID)?.mixKey(epoch: now.epoch) else { return nil }
        let index = ledger.paths(epoch: now.epoch)
        let relays =
            if let relay {
                try? index.loop(measuring: relay, from: keys.nodeID, entropy: &entropy)
            } else {
                try? index.path(length: MixLayers.count, ends: [keys.nodeID], entropy: &entropy)
            }
        guard let relays else { return nil }
        var path: [Hop] = relays.compactMap { server in
            let delay = min(entropy.exponential(mean: NodeRuntime.meanDelay), Double(RoutingBlock.longestDelay))
            return server.mixKey(epoch: now.epoch).map {
                Hop(node: server.nodeID, key: $0, delayMilliseconds: UInt32(delay))
            }
        }
        path.append(Hop(node: keys.nodeID, key: ownKey))
        return path
    }
}
