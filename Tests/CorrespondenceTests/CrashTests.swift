import Correspondence
import Primitives
import Records
import Testing
import Wire

/// An agent that is killed while it handles an event, at every event of a delivery.
@Suite struct CrashTests {
    static let text = Array("whatever happens".utf8)

    /// Sends one message; the user types it again when the agent died before it was on disk.
    static func deliver(_ base: World, seed: UInt64, victim: Int, _ kill: SimulatedAgent.Kill?) throws -> World {
        var world = base.fork(seed)
        world.agents[0].handles = 0
        world.agents[1].handles = 0
        world.agents[victim].kill = kill
        try world.send(0, to: world.agents[1].id, text)
        if try world.agents[0].outbox().isEmpty {
            #expect(try world.run(seconds: 10) { $0.agents[0].core != nil })
            try world.send(0, to: world.agents[1].id, text)
        }
        // Effects may be lost with the agent; the stores tell the truth.
        let isDone = try world.run(seconds: 300) { world in
            guard !world.agents[1].received.isEmpty || world.agents.contains(where: { $0.core == nil }) || kill != nil
            else { return false }
            return try world.agents[0].outbox().first?.state == .delivered
                && world.agents[1].core?.isIdle == true
        }
        #expect(isDone, "seed \(seed), kill \(String(describing: kill))")
        #expect(try world.agents[1].inbox() == [text], "seed \(seed), kill \(String(describing: kill))")
        #expect(try world.agents[0].outbox().count == 1)
        return world
    }

    @Test(
        "a message arrives exactly once whenever an agent is killed",
        arguments: [0, 1], SimulatedAgent.Kill.Moment.allCases)
    func killedAnywhere(_ victim: Int, _ moment: SimulatedAgent.Kill.Moment) throws {
        let base = try DeliveryTests.pair(20, HomeChangeTests.calm)
        let undisturbed = try CrashTests.deliver(base, seed: 21, victim: victim, nil)
        let events = undisturbed.agents[victim].handles
        #expect(events > 10)
        for handle in 1...events {
            let world = try CrashTests.deliver(
                base, seed: 21, victim: victim, .init(handle: handle, moment: moment))
            #expect(world.agents[victim].generation > 0)
        }
    }

    @Test("an agent that is killed again and again delivers in the end")
    func killedOften() throws {
        var world = try DeliveryTests.pair(22)
        for index in 0..<4 { try world.send(index % 2, to: 1 - index % 2, "\(index)") }
        for round in 0..<30 {
            let victim = round % 2
            let later = world.agents[victim].handles + 5 + world.random(60)
            world.agents[victim].kill = .init(handle: later, moment: round % 4 < 2 ? .beforeCommit : .afterCommit)
            try world.run(seconds: 10) { $0.agents[victim].core == nil }
        }
        for agent in 0..<2 { world.agents[agent].kill = nil }
        let isDone = try world.run(seconds: 300) { world in
            try world.agents.allSatisfy {
                try $0.outbox().count == 2 && $0.outbox().allSatisfy { $0.state == .delivered }
            }
        }
        #expect(isDone)
        for agent in 0..<2 {
            #expect(Set(try world.agents[agent].inbox()).count == 2)
            #expect(try world.agents[agent].inbox().count == 2)
        }
    }
}
