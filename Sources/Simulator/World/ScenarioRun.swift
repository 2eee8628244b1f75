import Correspondence
import Home
import Primitives
import Records
import Wire

/// What came of a scenario.
public struct ScenarioReport: Sendable {
    /// Broken invariants; empty when all held.
    public let violations: [String]
    /// A hash over every step: two runs of one seed are equal to the byte.
    public let digest: String
    /// Steps, and single facts that invariants were checked on.
    public let steps: Int
    public let checks: Int
    public let sent: Int
    public let delivered: Int
    public let virtualSeconds: Int
}

/// Runs a scenario: faults for a while, then none, then everything must have arrived.
public struct ScenarioRun {
    private enum Fault {
        case message(from: Int, to: Int, number: Int)
        case killServer(Int, Kill.Moment, after: Int)
        case killAgent(Int, Kill.Moment, after: Int)
        case outage(Int)
        case up(Int)
        case partition([Int: Int])
        case heal
        case full(Int, Bool)
        case jump(server: Int, Int64)
    }

    private let scenario: Scenario
    private let seed: UInt64
    private let trace: ((String) -> Void)?
    /// Breaks the world after it is made: tests show so that invariants notice.
    var sabotage: ((inout World) -> Void)?

    /// - Parameter trace: is told every step as a line.
    public init(_ scenario: Scenario, seed: UInt64, trace: ((String) -> Void)? = nil) {
        self.scenario = scenario
        self.seed = seed
        self.trace = trace
    }

    /// - Parameter progress: told shares of the virtual time, from 0 to 1.
    public func run(progress: (Double) -> Void = { _ in }) throws -> ScenarioReport {
        try scenario.validate()
        var world = try World(seed: seed, servers: scenario.servers)
        world.trace = trace
        try populate(&world)
        sabotage?(&world)
        let start = world.now
        let end = scenario.minutes * 60_000
        var faults = plan(&world, milliseconds: end)
        faults.sort { $0.at < $1.at }
        for fault in faults {
            try advance(&world, to: start.adding(milliseconds: UInt64(fault.at)))
            try apply(fault.fault, &world)
            progress(Double(fault.at) / Double(end + scenario.healing * 60_000))
        }
        try advance(&world, to: start.adding(milliseconds: UInt64(end)))
        try heal(&world)
        for minute in 0..<scenario.healing {
            // Whoever has a program that runs only for a command starts it again from time to time.
            if try world.run(seconds: 60, until: { try isSettled($0) }) { break }
            progress(Double(scenario.minutes + minute) / Double(scenario.minutes + scenario.healing))
        }
        try check(&world)
        let sent = try world.agents.reduce(0) { try $0 + $1.outbox().count }
        let delivered = try world.agents.reduce(0) { try $0 + $1.outbox().count { $0.state == .delivered } }
        return ScenarioReport(
            violations: world.watch.violations, digest: world.digest.hex, steps: world.effects,
            checks: world.watch.checks, sent: sent, delivered: delivered,
            virtualSeconds: Int(clamping: world.now.milliseconds(since: start) / 1000))
    }

    /// Agents that are registered, before anything goes wrong.
    private func populate(_ world: inout World) throws {
        if scenario.isWorldwide {
            let latency = RegionLatency()
            let places = world.servers.map { _ in latency.region(&world.dice.entropy) }
            world.network.distances = places.map { from in
                places.map { Int(latency.delay(from, $0, &world.dice.entropy)) }
            }
        }
        world.network.jitter = scenario.jitter
        let liars = scenario.byzantine.reduce(0) { $0 + $1.servers }
        // Homes are honest: what a home loses of its own users nobody can bring back.
        let honest = max(1, scenario.servers - liars)
        for number in 0..<scenario.agents {
            let agent = try world.addAgent()
            try world.run(seconds: 2)
            try world.register(agent, at: number % honest)
        }
        try world.run(seconds: 120) { world in world.agents.allSatisfy { !$0.registered.isEmpty } }
        var next = scenario.servers
        for entry in scenario.byzantine {
            guard let conduct = Conduct(name: entry.conduct) else { continue }
            for _ in 0..<entry.servers {
                next -= 1
                if world.servers.indices.contains(next) { world.servers[next].conduct = conduct }
            }
        }
        world.lossPercent = scenario.lossPercent
        world.duplicatePercent = scenario.duplicatePercent
        world.tamperPercent = scenario.tamperPercent
        let skew = scenario.skewSeconds * 500
        for index in world.servers.indices { world.servers[index].skew = Int64(world.random(2 * skew + 1) - skew) }
        for index in world.agents.indices { world.agents[index].skew = Int64(world.random(2 * skew + 1) - skew) }
        for _ in 0..<scenario.deafPairs {
            let from = world.random(scenario.servers)
            let to = world.random(scenario.servers)
            if from != to { world.network.deaf.insert([from, to]) }
        }
        try world.updateLinks()
    }

    private func plan(_ world: inout World, milliseconds end: Int) -> [(at: Int, fault: Fault)] {
        var faults: [(at: Int, fault: Fault)] = []
        for number in 0..<scenario.messages {
            let from = world.random(scenario.agents)
            let to = (from + 1 + world.random(scenario.agents - 1)) % scenario.agents
            faults.append((world.random(end), .message(from: from, to: to, number: number)))
        }
        for number in 0..<scenario.kills {
            let moment = Kill.Moment.allCases[world.random(Kill.Moment.allCases.count)]
            let fault: Fault =
                number % 2 == 0
                ? .killServer(world.random(scenario.servers), moment, after: 1 + world.random(20))
                : .killAgent(world.random(scenario.agents), moment, after: 1 + world.random(20))
            faults.append((world.random(end), fault))
        }
        for _ in 0..<scenario.outages {
            let server = world.random(scenario.servers)
            let at = world.random(end)
            faults.append((at, .outage(server)))
            faults.append((min(end, at + 60_000 + world.random(120_000)), .up(server)))
        }
        for _ in 0..<scenario.partitions {
            var sides: [Int: Int] = [:]
            for server in 0..<scenario.servers { sides[server] = world.random(2) }
            let at = world.random(end)
            faults.append((at, .partition(sides)))
            faults.append((min(end, at + 60_000), .heal))
        }
        for _ in 0..<scenario.fullDisks {
            let server = world.random(scenario.servers)
            let at = world.random(end)
            faults.append((at, .full(server, true)))
            faults.append((min(end, at + 30_000), .full(server, false)))
        }
        if scenario.skewSeconds > 0 {
            let jump = scenario.skewSeconds * 500
            faults.append(
                (
                    world.random(end),
                    .jump(server: world.random(scenario.servers), Int64(world.random(2 * jump + 1) - jump))
                ))
        }
        return faults
    }

    private func advance(_ world: inout World, to time: Timestamp) throws {
        try world.run(milliseconds: time.milliseconds(since: world.now))
    }

    private func apply(_ fault: Fault, _ world: inout World) throws {
        switch fault {
        case .message(let from, let to, let number):
            guard world.agents[from].core != nil else { return }
            try world.send(from, to: to, "message \(number) from \(from) to \(to)")
        case .killServer(let index, let moment, let after):
            world.servers[index].kill = Kill(handle: world.servers[index].handles + after, moment: moment)
        case .killAgent(let index, let moment, let after):
            world.agents[index].kill = Kill(handle: world.agents[index].handles + after, moment: moment)
        case .outage(let index): world.kill(index)
        case .up(let index): try world.restart(index)
        case .partition(let sides):
            world.network.sides = sides
            try world.updateLinks()
        case .heal:
            world.network.sides = [:]
            try world.updateLinks()
        case .full(let index, let isFull): world.servers[index].store.isFull = isFull
        case .jump(let index, let milliseconds):
            world.servers[index].skew += milliseconds
            world.arm(index)
        }
    }

    /// Nothing goes wrong any more; liars stay.
    private func heal(_ world: inout World) throws {
        world.lossPercent = 0
        world.duplicatePercent = 0
        world.tamperPercent = 0
        world.network.sides = [:]
        world.network.deaf = []
        for index in world.servers.indices {
            world.servers[index].store.isFull = false
            world.servers[index].kill = nil
            try world.restart(index)
        }
        for index in world.agents.indices {
            world.agents[index].kill = nil
            try world.start(agent: index)
        }
        try world.updateLinks()
    }

    private func isSettled(_ world: World) throws -> Bool {
        try world.agents.allSatisfy { agent in try agent.outbox().allSatisfy { $0.state == .delivered } }
    }

    /// What must hold in the end, whatever has happened.
    private func check(_ world: inout World) throws {
        var arrived: [Int: [[UInt8]]] = [:]
        for (number, agent) in world.agents.enumerated() {
            let inbox = try agent.inbox()
            arrived[number] = inbox
            if Set(inbox).count != inbox.count { world.watch.violation("agent \(number) has a message twice") }
        }
        for (number, agent) in world.agents.enumerated() {
            for message in try agent.outbox() {
                let to = world.agents.firstIndex { $0.id == message.recipient }
                let isThere = to.map { arrived[$0]?.contains(message.body) == true } ?? false
                if message.state == .delivered, !isThere {
                    world.watch.violation("a message of agent \(number) counts as delivered and is not there")
                } else if message.state != .delivered {
                    world.watch.violation(
                        "a message of agent \(number) for \(to.map(String.init) ?? "nobody") is \(message.state) after the "
                            + "healing")
                }
            }
        }
        if world.largestDirectoryMessage > Limits.datagramSize {
            world.watch.violation("a directory message of \(world.largestDirectoryMessage) bytes")
        }
    }
}
