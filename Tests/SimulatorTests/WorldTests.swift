import Testing
import Wire

@testable import Simulator

@Suite struct WorldTests {
    /// A short run with something of everything.
    static func busy() -> Scenario {
        var scenario = Scenario()
        scenario.servers = 8
        scenario.agents = 3
        scenario.seconds = 40
        scenario.settle = 20
        scenario.loss = 30
        scenario.duplicates = 100
        scenario.reordered = 100
        scenario.skew = 5000
        scenario.faults = [
            .init(.crash, at: 10, seconds: 5, count: 2), .init(.crashInside, at: 5, count: 2),
            .init(.kill, at: 3, seconds: 30, count: 2), .init(.partition, at: 12, seconds: 6, count: 3),
            .init(.oneWay, at: 1, seconds: 30, count: 2), .init(.full, at: 1, seconds: 20, count: 6),
            .init(.clock, at: 5, seconds: 10, count: 1, amount: 90), .init(.move, at: 8, count: 2),
            .init(.diskFull, at: 20, seconds: 5, count: 2),
        ]
        return scenario
    }

    static func number(_ report: ScenarioReport, _ name: String) -> Double {
        for row in report.rows where row.name == name {
            if case .number(let number, _) = row.value { return number }
        }
        return .nan
    }

    static func arrived(_ report: ScenarioReport) -> Proportion? {
        for row in report.rows where row.name == "messages that arrived" {
            if case .share(let share) = row.value { return share }
        }
        return nil
    }

    @Test("one seed gives the same run to the byte, another seed and another fault another one")
    func reproducible() throws {
        let scenario = WorldTests.busy()
        let first = try scenario.run(seed: 7)
        let again = try scenario.run(seed: 7)
        #expect(first == again)
        #expect(first.effects > 5000)
        #expect(first.violations.isEmpty, "\(first.violations)")
        #expect(try scenario.run(seed: 8).digest != first.digest)
        // The faults that were asked for happened.
        #expect(WorldTests.number(first, "server crashes") >= 2)
        #expect(WorldTests.number(first, "agents killed") >= 1)
        #expect(WorldTests.number(first, "transactions refused by a disk") >= 1)
        #expect(WorldTests.number(first, "network losses") >= 10)
        var other = scenario
        other.faults[0].at += 1
        #expect(try other.run(seed: 7).digest != first.digest)
    }

    @Test("a trace has a line for every effect and changes nothing")
    func trace() throws {
        var scenario = Scenario()
        scenario.seconds = 5
        scenario.settle = 0
        var lines = 0
        let traced = try scenario.run(seed: 3, trace: { _ in lines += 1 })
        #expect(UInt64(lines) == traced.effects)
        #expect(try scenario.run(seed: 3) == traced)
    }

    @Test("where nothing goes wrong every message arrives and every lookup is answered")
    func undisturbed() throws {
        var scenario = Scenario()
        scenario.seconds = 30
        scenario.settle = 60
        let report = try scenario.run(seed: 6)
        #expect(report.violations.isEmpty, "\(report.violations)")
        #expect(report.rows.first?.value == .share(Proportion(successes: 12, trials: 12)))
        #expect(WorldTests.number(report, "users registered") == 4)
        #expect(WorldTests.number(report, "lookups answered") == 8)
        #expect(WorldTests.number(report, "lookups failed") == 0)
        // Loops under way at the end are neither back nor given up.
        #expect(WorldTests.number(report, "own loops that came back") >= 60)
        #expect(WorldTests.number(report, "own loops given up") == 0)
        #expect(WorldTests.number(report, "alarms of directories") == 0)
        // Each user has changed his record once, and what was looked up was held against what was acknowledged, but for
        // lookups that joined one under way.
        #expect(WorldTests.number(report, "changes of records") == 4)
        #expect(WorldTests.number(report, "lookups held against what was acknowledged") >= 4)
        #expect(WorldTests.number(report, "of those, with an older record about") > 0)
        #expect(WorldTests.number(report, "records served in the place of older ones") > 0)
    }

    @Test("clusters of several servers work as those of one, and nobody is accused")
    func clusters() throws {
        var scenario = Scenario()
        scenario.servers = 12
        scenario.clusterSize = 2
        scenario.agents = 2
        scenario.seconds = 20
        scenario.settle = 30
        scenario.faults = [.init(.crash, at: 5, seconds: 5, count: 2)]
        let report = try scenario.run(seed: 4)
        #expect(report.violations.isEmpty, "\(report.violations)")
        #expect(WorldTests.number(report, "users registered") == 2)
        #expect(report.rows.first?.value == .share(Proportion(successes: 6, trials: 6)))
        #expect(WorldTests.number(report, "lookups answered") == 4)
    }

    @Test("the invariants hold with a liar of each kind", arguments: Conduct.allCases)
    func liars(_ conduct: Conduct) throws {
        var scenario = Scenario()
        scenario.servers = 8
        scenario.agents = 2
        scenario.seconds = 10
        // Relays that lose nearly everything have to be found before a path avoids them: half a minute in the median.
        scenario.settle = conduct == .boasting ? 120 : 5
        scenario.liars = [.init(conduct, count: 2)]
        let report = try scenario.run(seed: 11)
        #expect(report.violations.isEmpty, "\(report.violations)")
        #expect(WorldTests.number(report, "users registered") == 2)
    }

    @Test("bad input of every kind is refused and counted, and harms nobody")
    func badInput() throws {
        var scenario = Scenario()
        scenario.servers = 14
        scenario.agents = 3
        scenario.seconds = 40
        scenario.settle = 200
        scenario.liars = [
            .init(.forging, count: 1), .init(.stranger, count: 3), .init(.half, count: 1), .init(.itself, count: 1),
            .init(.future, count: 1), .init(.stalling, count: 1),
        ]
        scenario.faults = [.init(.agentClock, at: 1, seconds: 30, count: 1, amount: 86_400)]
        let report = try scenario.run(seed: 2)
        #expect(report.violations.isEmpty, "\(report.violations)")
        #expect(WorldTests.number(report, "users registered") == 3)
        #expect(WorldTests.arrived(report) == Proportion(successes: 9, trials: 9))
        #expect(WorldTests.number(report, "strangers on maps") == 0)
        for name in [
            "descriptors refused as forged", "descriptors refused as expired", "descriptors of clusters not admitted",
            "clusters not admitted that endorse each other", "answerers refused as contacts",
            "messages of the map refused as malformed", "messages of the directory refused as malformed",
            "contacts refused in answers", "records refused for their dates", "envelopes that did not open",
            "times that a clock was found to have gone back", "streams closed within a frame",
        ] { #expect(WorldTests.number(report, name) > 0, "\(name)") }
    }

    @Test("what each kind of bad input is counted under stays 0 without it")
    func badInputAlone() throws {
        let kinds: [(Conduct?, [String])] = [
            (nil, []), (.forging, ["descriptors refused as forged", "descriptors refused as expired"]),
            (.stranger, ["clusters not admitted that endorse each other"]),
            (
                .half,
                [
                    "messages of the map refused as malformed", "messages of the directory refused as malformed",
                    "envelopes that did not open",
                ]
            ), (.itself, ["messages of the directory refused as malformed", "answerers refused as contacts"]),
            (.future, ["records refused for their dates"]), (.stalling, ["streams closed within a frame"]),
        ]
        let names = Set(kinds.flatMap(\.1) + ["times that a clock was found to have gone back"])
        for (conduct, expected) in kinds {
            var scenario = Scenario()
            scenario.servers = 10
            scenario.agents = 2
            scenario.seconds = 25
            scenario.settle = 0
            if let conduct { scenario.liars = [.init(conduct, count: conduct == .stranger ? 3 : 1)] }
            let report = try scenario.run(seed: 2)
            for name in names {
                #expect(
                    (WorldTests.number(report, name) > 0) == expected.contains(name),
                    "\(name) with \(conduct.map { "\($0)" } ?? "nobody")")
            }
        }
    }

    /// Clocks are a day ahead for half a minute; afterwards every message arrives and nothing is missing.
    private func clocksBack(_ kind: Scenario.Fault.Kind, count: Int, seed: UInt64) throws {
        var scenario = Scenario()
        scenario.servers = 8
        scenario.agents = 3
        scenario.seconds = 40
        scenario.settle = 240
        scenario.faults = [.init(kind, at: 1, seconds: 30, count: count, amount: 86_400)]
        let report = try scenario.run(seed: seed)
        #expect(report.violations.isEmpty, "\(report.violations)")
        #expect(WorldTests.arrived(report) == Proportion(successes: 9, trials: 9), "seed \(seed)")
        #expect(WorldTests.number(report, "times that a clock was found to have gone back") >= Double(count))
    }

    @Test("a user whose clock was a day ahead for half a minute sends, is found and has every message afterwards")
    func clockBack() throws {
        for seed in UInt64(1)...3 { try clocksBack(.agentClock, count: 1, seed: seed) }
    }

    @Test("servers whose clocks were a day ahead for half a minute lose nothing, and serve as before afterwards")
    func serverClocksBack() throws { try clocksBack(.clock, count: 4, seed: 1) }

    @Test("servers of one address prefix, who fit into no routing table, do not join for ever")
    func onePrefix() throws {
        var scenario = Scenario()
        scenario.servers = 24
        scenario.agents = 0
        scenario.prefixes = 1
        scenario.seconds = 10
        scenario.settle = 0
        let report = try scenario.run(seed: 1)
        // They made 60,000 when each answer of somebody without a place was a reason to join again.
        #expect(WorldTests.number(report, "calls between directories") < 12_000)
    }

    @Test("after midnight all maps agree, though servers crash then, and no honest server is accused")
    func midnight() throws {
        var scenario = Scenario()
        scenario.servers = 7
        scenario.agents = 1
        scenario.rate = 0.05
        scenario.start = 86_400 - 180
        scenario.seconds = 1500
        scenario.settle = 60
        // While snapshots are signed and passed on.
        scenario.faults = (0..<3).map { .init(.crash, at: 720 + 2 * UInt64($0), seconds: 3, count: 1) }
        let report = try scenario.run(seed: 9)
        #expect(report.violations.isEmpty, "\(report.violations)")
        #expect(WorldTests.number(report, "maps found to agree") >= 5)
        #expect(WorldTests.number(report, "maps contested or refused") == 0)
    }

    @Test(
        "an old network agrees on two values, and through two midnights all messages arrive and all records are found")
    func sharedRandom() throws {
        var scenario = try ScenarioFileTests.scenario("random")
        // Users act at moments of the test's own.
        scenario.messages = 0
        scenario.lookups = 0
        scenario.changes = 0
        let world = try World(scenario, seed: 21)
        // Before the first midnight, after it, and after the second one.
        for hour in [17.70, 24 + 0.1, 48 + 0.1] {
            let delay = UInt64(hour * 3_600_000) - world.scenario.start * 1000
            for agent in 0..<2 {
                world.schedule(delay, .lookup(agent, of: 1 - agent))
                world.schedule(delay + 60_000, .send(agent, to: 1 - agent, number: 0))
            }
        }
        let report = try world.finish()
        #expect(report.violations.isEmpty, "\(report.violations)")
        #expect(WorldTests.number(report, "shared random values agreed on") == 14)
        #expect(WorldTests.number(report, "shared random values not agreed on") == 0)
        let values = (20_000...20_002).map { world.sharedValue($0) }
        // The first day has the stand-in, the others what was agreed on.
        #expect(values[0] == nil && values[1] != nil && values[2] != nil && values[1] != values[2])
        #expect(report.rows.first?.value == .share(Proportion(successes: 6, trials: 6)))
        #expect(WorldTests.number(report, "lookups for which holders were asked") == 6)
        #expect(WorldTests.number(report, "maps found to agree") > 0)
        #expect(WorldTests.number(report, "lookups failed") == 0)
        #expect(WorldTests.number(report, "alarms of directories") == 0)
    }

    @Test("what a full disk does not take goes on when it has room again, and no envelope is taken twice for it")
    func fullDisks() throws {
        var scenario = Scenario()
        scenario.servers = 7
        scenario.agents = 2
        scenario.seconds = 40
        scenario.settle = 120
        scenario.duplicates = 300
        scenario.faults = [
            .init(.diskFull, at: 5, seconds: 20, count: 7), .init(.crash, at: 15, seconds: 2, count: 3),
        ]
        let report = try scenario.run(seed: 6)
        #expect(report.violations.isEmpty, "\(report.violations)")
        // Journals try again each second, and that many servers had to.
        #expect(WorldTests.number(report, "transactions refused by a disk") >= 20)
        #expect(WorldTests.number(report, "replays refused") > 0)
        #expect(WorldTests.arrived(report) == Proportion(successes: 6, trials: 6))
    }

    @Test("servers whose disks are full at midnight have the day's mix keys on all maps soon after there is room again")
    func fullDisksAtMidnight() throws {
        var scenario = Scenario()
        scenario.servers = 7
        scenario.agents = 0
        // Midnight comes 30 s after the warm-up.
        scenario.start = Timestamp.secondsPerEpoch - 90
        scenario.seconds = 100
        scenario.settle = 30
        scenario.faults = [
            .init(.diskFull, at: 20, seconds: 60, count: 3), .init(.full, at: 20, seconds: 60, count: 3),
        ]
        let world = try World(scenario, seed: 7)
        let report = try world.finish()
        #expect(report.violations.isEmpty, "\(report.violations)")
        #expect(WorldTests.number(report, "transactions refused by a disk") >= 3)
        let next = world.now.epoch + 1
        for server in world.servers {
            let others = world.servers.map { server.map.server($0.nodeID)?.mixKeys.last?.epoch }
            #expect(others == [UInt64?](repeating: next, count: 7), "server \(server.index)")
            #expect(server.publications.count == 0)
        }
    }

    @Test("numbers out of range are refused")
    func invalid() throws {
        var few = Scenario()
        few.servers = 3
        #expect(throws: ScenarioError.self) { try few.run(seed: 1) }
        var dishonest = Scenario()
        dishonest.liars = [.init(.silent, count: 9)]
        #expect(throws: ScenarioError.self) { try dishonest.run(seed: 1) }
        var late = Scenario()
        late.faults = [.init(.crash, at: .max)]
        #expect(throws: ScenarioError.self) { try late.run(seed: 1) }
    }

    @Test("a swarm of fixed seeds finds nothing")
    func swarm() {
        var swarm = Swarm(firstSeed: 1)
        for _ in 0..<4 { swarm.runNext() }
        #expect(swarm.failures.isEmpty, "\(swarm.failures)")
        #expect(swarm.runs == 4 && swarm.effects > 20_000)
        // What found nothing could have found something.
        #expect(swarm.exercise.servedInPlace > 0 && swarm.exercise.lookupsWithOlder > 0, "\(swarm.exercise)")
    }
}
