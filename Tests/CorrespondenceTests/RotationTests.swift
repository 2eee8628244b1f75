import Home
import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Correspondence

/// Replacing the operational and sealing keys.
@Suite struct RotationTests {
    private static let records = Table("directory/records")

    private static func texts(_ world: World) throws -> [String] {
        try world.agents[1].inbox().map { String(decoding: $0, as: UTF8.self) }.sorted()
    }

    @Test("keys are replaced; what was sealed to the old key arrives, and the old key opens nothing at the home")
    func rotation() throws {
        var world = try DeliveryTests.pair(90)
        try world.send(0, to: 1, "before")
        #expect(try world.run(seconds: 60) { $0.agents[0].delivered.count == 1 })
        let old = try #require(world.agents[1].core?.identity)
        let incarnation = try #require(world.agents[1].core?.settings.homes.first?.incarnation)
        world.kill(agent: 1)
        try world.send(0, to: 1, "sealed to the old key")
        #expect(try world.run(seconds: 60) { $0.agents[0].accepted.count == 2 })
        try world.start(agent: 1)
        try world.rotate(1)
        #expect(try world.run(seconds: 60) { $0.agents[1].serials == [1] && $0.agents[1].core?.pendingTakeOvers == 0 })
        #expect(try world.run(seconds: 60) { $0.agents[0].delivered.count == 2 })

        // A thief has the old operational key and tries the account.
        let home = world.servers[1].nodeID
        let stolen = old.accountKey(home: home, incarnation: incarnation)
        let before = world.servers[1].home.counters
        let attach = HomeRequest.attach(
            home: home, counter: UInt64.max, isReturning: true, acknowledged: [1, 2, 3], blocks: [], key: stolen)
        let recovery = Account.commitment(to: SigningKey(&world.dice.entropy).publicKey)
        let register = HomeRequest.register(home: home, token: "", recovery: recovery, key: stolen)
        for request in [attach, register] {
            _ = try world.servers[1].handle(.request(body: request.encode(), replyBlocks: []), world.now)
        }
        #expect(world.servers[1].home.counters.wrongSignature == before.wrongSignature + 1)
        #expect(world.servers[1].home.counters.superseded == before.superseded + 1)

        // The sender's record is of before; his messages are still opened.
        try world.send(0, to: 1, "with the old record")
        #expect(try world.run(seconds: 60) { $0.agents[0].delivered.count == 3 })
        #expect(world.agents[1].core?.counters.forgedItems == 0)
        #expect(world.agents[1].core?.identity.retired.count == 1)
        try HomeChangeTests.outlast(&world)
        let isDestroyed = try world.run(seconds: 240) { world in
            try Identity.load(world.agents[1].store)?.retired.isEmpty == true
        }
        #expect(isDestroyed)
        try world.send(0, to: 1, "after")
        #expect(try world.run(seconds: 120) { $0.agents[0].delivered.count == 4 })
        #expect(try RotationTests.texts(world) == ["after", "before", "sealed to the old key", "with the old record"])
    }

    @Test("who has seen the new keys refuses a record with the old ones, from whichever holders, after a restart too")
    func floors() throws {
        var world = try DeliveryTests.pair(91)
        let id = world.agents[1].id
        let key = try BlindedID(id, epoch: world.now.epoch).key
        let held = try world.servers.compactMap { try $0.store.get(RotationTests.records, key.bytes.bytes) }.first
        let old = try #require(held)
        try world.rotate(1)
        #expect(try world.run(seconds: 60) { $0.agents[1].serials == [1] })
        // Who was not there meanwhile cannot know better.
        for (hasSeen, seed) in [(false, UInt64(92)), (true, 93)] {
            var fork = world.fork(seed)
            if hasSeen {
                try fork.resolve(0, id)
                #expect(try fork.run(seconds: 60) { $0.agents[0].resolved.last?.body.serial == 1 })
            }
            fork.kill(agent: 1)
            fork.kill(agent: 0)
            // What is under way arrives.
            try fork.run(seconds: 20)
            for index in fork.servers.indices {
                try fork.servers[index].store.put(RotationTests.records, key.bytes.bytes, old)
            }
            try fork.start(agent: 0)
            let request = try fork.resolve(0, id)
            let isOver = try fork.run(seconds: 90) { world in
                world.agents[0].failed[request] != nil || world.agents[0].resolved.last?.body.serial == 0
            }
            #expect(isOver)
            #expect((fork.agents[0].failed[request] != nil) == hasSeen)
            #expect((fork.agents[0].core?.counters.invalidRecords ?? 0 > 0) == hasSeen)
        }
    }

    @Test("who registers at his home again after a rotation keeps his account, and what waits in it")
    func registersAgain() throws {
        var world = try DeliveryTests.pair(98)
        let account = try #require(world.agents[1].core?.homes.first?.account)
        try world.rotate(1)
        #expect(try world.run(seconds: 60) { $0.agents[1].serials == [1] && $0.agents[1].core?.pendingTakeOvers == 0 })
        let before = world.agents[1].registered.count
        try world.move(1, to: 1)
        #expect(try world.run(seconds: 90) { $0.agents[1].registered.count == before + 1 })
        #expect(world.agents[1].core?.homes.map(\.account) == [account])
        #expect(try HomeCore.accounts(world.servers[1].store).count == 1)
    }

    @Test("a rotation that is killed anywhere is done or not begun, and no message is lost", arguments: 0..<4)
    func crashes(_ number: Int) throws {
        let seed = UInt64(94 + number)
        var world = try DeliveryTests.pair(seed, HomeChangeTests.calm)
        world.lossPercent = 5
        try world.send(0, to: 1, "0")
        let moment: SimulatedAgent.Kill.Moment = number % 2 == 0 ? .beforeCommit : .afterCommit
        let handles = world.agents[1].handles
        world.agents[1].kill = .init(handle: handles + 1 + number / 2 * (1 + world.random(40)), moment: moment)
        try world.rotate(1)
        try world.run(seconds: 4)
        try world.send(0, to: 1, "1")
        world.kill(1)
        try world.run(seconds: 5)
        try world.restart(1)
        try world.send(0, to: 1, "2")
        let isDone = try world.run(seconds: 400) { world in
            try world.agents[0].outbox().count { $0.state == .delivered } == 3
                && world.agents[1].core?.pendingTakeOvers == 0
        }
        #expect(isDone, "seed \(seed)")
        #expect(try RotationTests.texts(world) == ["0", "1", "2"], "seed \(seed)")
        let serial = try #require(try Identity.load(world.agents[1].store)?.serial)
        // Killed before anything of the rotation was on disk, it never was.
        #expect(serial == (number == 0 ? 0 : 1), "seed \(seed)")
    }
}
