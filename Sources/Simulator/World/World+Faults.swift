import Primitives
import Wire

/// What goes wrong, and that it ends.
extension World {
    /// Draws whom a fault hits, and lets it begin and end.
    func plan(_ fault: Scenario.Fault) {
        let places: [Int]
        switch fault.kind {
        case .kill, .move, .agentClock: places = pick(fault.count, of: agents.count)
        case .oneWay: places = (0..<fault.count).flatMap { _ in pick(2, of: servers.count) }
        case .standstill: places = []
        case .crash, .crashInside, .partition, .full, .diskFull, .clock: places = pick(fault.count, of: servers.count)
        }
        schedule(fault.at * 1000, .fault(fault, isEnd: false, victims: places))
        schedule((fault.at + fault.seconds) * 1000 + 1, .fault(fault, isEnd: true, victims: places))
    }

    private func pick(_ count: Int, of total: Int) -> [Int] {
        var all = Array(0..<total)
        entropy.shuffle(&all)
        return Array(all.prefix(max(0, count)))
    }

    func apply(_ fault: Scenario.Fault, _ isEnd: Bool, _ victims: [Int]) throws {
        record(.fault, from: victims.first ?? 0, victims.map { UInt8(truncatingIfNeeded: $0) })
        switch fault.kind {
        case .standstill:
            if !isEnd { now = now.adding(seconds: fault.seconds) }
        case .crash:
            // Servers start again by themselves.
            guard !isEnd else { return }
            for victim in victims {
                let kinds: [FaultyStore.Crash] = [.process, .power, .torn]
                crash(servers[victim], kinds[entropy.below(kinds.count)], for: fault.seconds)
            }
        case .crashInside:
            for victim in victims {
                guard !isEnd else {
                    servers[victim].doom = nil
                    continue
                }
                let events = entropy.below(40)
                let dooms: [WorldServer.Doom] = [.beforeCommit(events), .beforeSync(events), .atEffect(events)]
                servers[victim].doom = dooms[entropy.below(dooms.count)]
            }
        case .kill:
            for victim in victims {
                agents[victim].doom = isEnd ? nil : (entropy.below(40), entropy.below(2) == 0)
            }
        case .move:
            for victim in victims where !isEnd { try move(agents[victim]) }
        case .partition: partition(fault, isEnd, victims)
        case .oneWay:
            for pair in stride(from: 0, to: victims.count - 1, by: 2) {
                if isEnd {
                    network.mend(victims[pair], victims[pair + 1])
                } else {
                    network.cut(victims[pair], victims[pair + 1])
                }
            }
        case .full:
            for victim in victims {
                servers[victim].store.isFull = !isEnd
                // Half of the drivers notice before it is too late.
                let isNoticed = !isEnd && entropy.below(2) == 0
                servers[victim].home.acceptsWrites = !isNoticed
                servers[victim].directory.acceptsWrites = !isNoticed
            }
        case .diskFull:
            for victim in victims { servers[victim].store.isDiskFull = !isEnd }
        case .clock:
            for victim in victims {
                let server = servers[victim]
                server.skew += isEnd ? -fault.amount * 1000 : fault.amount * 1000
                server.clockSince = now
                server.armed = [:]
                arm(server)
            }
        case .agentClock:
            for victim in victims {
                agents[victim].skew += isEnd ? -fault.amount * 1000 : fault.amount * 1000
                agents[victim].clockSince = now
                agents[victim].armed = nil
                arm(agents[victim])
            }
        }
    }

    private func partition(_ fault: Scenario.Fault, _ isEnd: Bool, _ victims: [Int]) {
        // The agents are shared out as the servers are.
        let share = agents.count * victims.count / max(1, servers.count)
        let places = victims + (0..<share).map { place($0) }
        network.move(places, toGroup: isEnd ? 0 : 1)
        guard !isEnd else { return }
        // Links across the cut break.
        for agent in agents {
            for gateway in agent.links.sorted() {
                guard let index = byNode[gateway], !network.reaches(place(agent.index), index) else { continue }
                schedule(5000, .disconnect(agent.index, generation: agent.generation, gateway))
            }
        }
    }

    /// Everything is as it should be again.
    func heal() {
        network.quality = .perfect
        network.move(Array(0..<servers.count + agents.count), toGroup: 0)
        for server in servers { server.doom = nil }
        for agent in agents { agent.doom = nil }
    }
}
