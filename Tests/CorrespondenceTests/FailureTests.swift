import Correspondence
import Primitives
import Records
import Testing
import Wire

/// Servers that die, agents that are away, a network that loses, repeats and changes.
@Suite struct FailureTests {
    static func isDelivered(_ world: World) -> Bool {
        world.agents[0].delivered.count == 1 && world.agents[1].core?.isIdle == true
    }

    @Test("a message for a user who is offline survives the restart of the home and arrives when the user is back")
    func offline() throws {
        var world = try DeliveryTests.pair(10)
        world.kill(agent: 1)
        try world.run(seconds: 2)
        try world.send(0, to: 1, "while you were out")
        #expect(try world.run(seconds: 60) { $0.agents[0].accepted.count == 1 })
        world.kill(1)
        try world.run(seconds: 5)
        try world.restart(1)
        try world.run(seconds: 5)
        #expect(try world.agents[1].inbox().isEmpty)
        try world.start(agent: 1)
        #expect(try world.run(seconds: 90, until: FailureTests.isDelivered))
        #expect(try world.agents[1].inbox() == [Array("while you were out".utf8)])
    }

    @Test("a message is sent while the recipient's home is down and arrives after its restart")
    func homeDown() throws {
        var world = try DeliveryTests.pair(11)
        world.kill(1)
        try world.send(0, to: 1, "patience")
        try world.run(seconds: 40)
        #expect(world.agents[0].accepted.isEmpty)
        try world.restart(1)
        #expect(try world.run(seconds: 240, until: FailureTests.isDelivered))
        #expect(try world.agents[1].inbox() == [Array("patience".utf8)])
        #expect((world.agents[0].core?.counters.retransmissions ?? 0) > 0)
    }

    @Test("a message arrives although any one server is dead for good", arguments: 2..<7)
    func serverDead(_ index: Int) throws {
        var world = try DeliveryTests.pair(12)
        world.kill(index)
        try world.send(0, to: 1, "around it")
        #expect(try world.run(seconds: 300, until: FailureTests.isDelivered), "\(world.undelivered)")
        #expect(try world.agents[1].inbox() == [Array("around it".utf8)])
    }

    @Test("a relay that was found dead is passed over from the start by the next run of the agent")
    func suspectsAreKept() throws {
        var world = try DeliveryTests.pair(18)
        world.kill(agent: 1)
        let gateways = try #require(world.agents[0].core?.wantedGateways)
        let dead = try #require((2..<7).first { !gateways.contains(world.servers[$0].nodeID) })
        world.kill(dead)
        world.undelivered = 0
        try world.run(seconds: 5)
        let atFirst = world.undelivered
        #expect(atFirst > 10)
        try world.run(seconds: 60)
        world.kill(agent: 0)
        try world.run(seconds: 5)
        try world.start(agent: 0)
        world.undelivered = 0
        try world.run(seconds: 5)
        // What is left are loops that ask whether it is back, and cover that ends there.
        #expect(world.undelivered * 2 < atFirst, "\(world.undelivered) after \(atFirst)")
    }

    @Test("messages arrive exactly once over a network that loses a tenth of all envelopes and repeats a third")
    func lossAndReplay() throws {
        var world = try DeliveryTests.pair(13)
        world.lossPercent = 10
        world.duplicatePercent = 33
        var wanted: Set<[UInt8]> = []
        for index in 0..<8 as Range<UInt8> {
            try world.send(Int(index % 2), to: Int(1 - index % 2), "message \(index)")
            wanted.insert(Array("message \(index)".utf8))
        }
        let isDone = try world.run(seconds: 600) { world in
            world.agents.allSatisfy { $0.delivered.count == 4 }
        }
        #expect(isDone)
        world.lossPercent = 0
        try world.run(seconds: 70)
        for agent in 0..<2 {
            let inbox = try world.agents[agent].inbox()
            #expect(inbox.count == 4)
            #expect(wanted.isSuperset(of: inbox) && Set(inbox).count == 4)
        }
        #expect(world.servers.contains { $0.relay.counters.replays > 0 })
    }

    @Test("a relay that is killed and restarted recognises the envelopes that it had before")
    func replayAfterRestart() throws {
        var world = try DeliveryTests.pair(14)
        world.duplicatePercent = 100
        try world.send(0, to: 1, "once")
        #expect(try world.run(seconds: 60, until: FailureTests.isDelivered))
        world.duplicatePercent = 0
        for index in world.servers.indices {
            world.kill(index)
            try world.restart(index)
        }
        let accepted = world.servers[1].home.counters.accepted
        try world.run(seconds: 70)
        // Late copies of envelopes from before the restart were all recognised; new traffic is cover and attachments.
        #expect(world.servers.contains { $0.relay.counters.replays > 0 })
        #expect(world.servers[1].home.counters.accepted == accepted)
        #expect(try world.agents[1].inbox() == [Array("once".utf8)])
    }

    @Test("replies that were changed on the way are counted and what they carried arrives all the same")
    func tampered() throws {
        var world = try DeliveryTests.pair(15)
        world.tamperPercent = 30
        try world.send(0, to: 1, "unharmed")
        #expect(try world.run(seconds: 400, until: FailureTests.isDelivered))
        #expect(try world.agents[1].inbox() == [Array("unharmed".utf8)])
        #expect((world.agents[0].core?.counters.tamperedReplies ?? 0) > 0)
    }

    @Test("replies of an unknown identifier are counted and change nothing")
    func stray() throws {
        var world = try DeliveryTests.pair(16)
        let before = world.agents[0].core?.counters.strayReplies ?? 0
        for _ in 0..<20 {
            let id: Bytes16 = world.dice.entropy.bytes()
            try world.handle(agent: 0, .reply(id: id, payload: world.dice.entropy.array(2048)))
        }
        #expect(world.agents[0].core?.counters.strayReplies == before + 20)
        try world.send(0, to: 1, "still there")
        #expect(try world.run(seconds: 60, until: FailureTests.isDelivered))
    }

    @Test("a message that is under way at the change of the epoch arrives")
    func epochChange() throws {
        let eve = Timestamp(seconds: 20_001 * 86_400 - 90)
        var world = try World(seed: 17, start: eve)
        for home in 0..<2 { try world.register(try world.addAgent(), at: home) }
        #expect(try world.run(seconds: 60) { $0.agents.allSatisfy { $0.registered.count == 1 } })
        while world.now.seconds % 86_400 != 86_399 { try world.run(seconds: 1) }
        for index in 0..<5 { try world.send(0, to: 1, "\(index)") }
        #expect(try world.run(seconds: 180) { $0.agents[0].delivered.count == 5 })
        #expect(try Set(world.agents[1].inbox()).count == 5)
        try world.send(1, to: 0, "in the new epoch")
        #expect(try world.run(seconds: 60) { $0.agents[1].delivered.count == 1 })
    }

    @Test("a gateway that keeps its links and passes nothing on is given up, and the message arrives")
    func deafGateway() throws {
        var tried = 0
        for seed in UInt64(60)..<64 {
            var world = try DeliveryTests.pair(seed)
            let gateway = try #require(world.agents[1].core?.wantedGateways.first)
            let index = try #require(world.index(of: gateway))
            // A home that is deaf is another matter: nothing can stand in for it.
            guard index > 1 else { continue }
            tried += 1
            world.servers[index].isDeaf = true
            try world.send(0, to: 1, "is anybody there?")
            let isDone = try world.run(seconds: 1200) { world in
                FailureTests.isDelivered(world) && world.agents[1].core?.wantedGateways.contains(gateway) == false
            }
            #expect(isDone, "seed \(seed)")
            #expect(world.agents[1].core?.wantedGateways.count == 2)
        }
        #expect(tried > 1)
    }
}
