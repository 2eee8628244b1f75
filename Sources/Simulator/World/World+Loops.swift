import Envelope
import Federation
import Primitives
import Records
import Relay
import Wire

/// Envelopes of relays that come back to them: their own cover, and what measures others, as in the node.
extension World {
    /// The node's habit, in milliseconds.
    private static let meanDelay = 50.0

    func planLoop(_ server: WorldServer) {
        let wait = server.entropy.exponential(mean: 60_000 / scenario.loops)
        schedule(UInt64(wait), .ownLoop(server.index, generation: server.generation))
    }

    func startLoop(_ server: WorldServer) throws {
        planLoop(server)
        guard let path = loopPath(server) else { return }
        let clock = server.clock(now)
        try perform(server.relay.startLoop(path: path, now: clock, entropy: &server.entropy), server)
    }

    /// Three other relays, and back; more where one is to be measured.
    private func loopPath(_ server: WorldServer, measuring relay: NodeID? = nil) -> [Hop]? {
        let index = server.pathIndex(now)
        let ends = [server.nodeID]
        let relays =
            if let relay {
                try? index.loop(measuring: relay, from: server.nodeID, entropy: &server.entropy)
            } else {
                try? index.path(length: MixLayers.count, ends: ends, entropy: &server.entropy)
            }
        guard let relays, let own = server.mixKey(at: now) else { return nil }
        var path: [Hop] = []
        for relay in relays {
            guard let key = relay.mixKey(epoch: index.epoch) else { return nil }
            let delay = min(
                server.entropy.exponential(mean: World.meanDelay), Double(RoutingBlock.longestDelay))
            path.append(Hop(node: relay.nodeID, key: key, delayMilliseconds: UInt32(delay)))
        }
        return path + [Hop(node: server.nodeID, key: own)]
    }

    /// Begins to measure other relays; what was being measured before is given up.
    func measure(_ server: WorldServer, _ targets: [NodeID], epoch: UInt64, until: Timestamp) {
        // Thousands of envelopes a day and server: worth their time only where capacities are looked at.
        guard scenario.measuring else { return }
        server.relay.probe = CapacityProbe(
            epoch: epoch, targets: targets, from: server.clock(now), until: until, entropy: &server.entropy)
        arm(server)
    }

    func wakeProbe(_ server: WorldServer) throws {
        guard var probe = server.relay.probe else { return }
        let targets = probe.wake(now: server.clock(now), entropy: &server.entropy)
        server.relay.probe = probe
        for target in targets {
            guard let path = loopPath(server, measuring: target) else { continue }
            try perform(server.relay.startProbe(path: path, entropy: &server.entropy), server)
        }
        guard let done = server.relay.probe, done.isFinished else { return }
        server.relay.probe = nil
        figures.relaysMeasured += done.results.count
        var results = done.results
        if server.liar.conduct == .boasting { results[server.nodeID] = UInt8(CapacityProbe.bursts.count) }
        handle(server, .measured(epoch: done.epoch, results))
    }

    /// Adds up what a server's cores counted, before it stops or at the end.
    func count(_ server: WorldServer) {
        let counters = server.relay.counters
        figures.loopsStarted += Int(clamping: counters.loopsStarted)
        figures.loopsReturned += Int(clamping: counters.loopsReturned)
        figures.loopsLost += Int(clamping: counters.loopsLost)
        figures.replays += Int(clamping: counters.replays)
        guard server.liar.conduct == .honest else { return }
        figures.refused.add(server)
        let turns = counters.clockTurns + server.map.counters.clockTurns + server.directory.counters.clockTurns
        figures.clockTurns += Int(clamping: turns + server.home.counters.clockTurns)
    }

    /// The same of an agent's.
    func count(_ agent: WorldAgent) {
        let turns = (agent.core?.counters.clockTurns ?? 0) + (agent.map?.counters.clockTurns ?? 0)
        figures.clockTurns += Int(clamping: turns)
    }
}
