import Directory
import Primitives
import Records
import Testing
import Wire

@testable import Correspondence

/// A second agent with the keys of the first: a thief's, or a copy of the user's own.
@Suite("A copy of an identity")
struct CopyTests {
    /// Somebody who writes, and his correspondent, whose folder is copied to the third.
    private static func copied(_ seed: UInt64, coverLookups seconds: UInt64 = 0) throws -> World {
        var configuration = AgentConfiguration()
        configuration.coverLookupInterval = seconds * 1000
        var world = try DeliveryTests.pair(seed, configuration)
        try world.run(seconds: 10)
        world.agents.append(SimulatedAgent(copyOf: world.agents[1]))
        return world
    }

    /// What the copy does while the owner is away.
    private static func run(_ world: inout World, _ act: (inout World) throws -> Void) throws {
        world.kill(agent: 1)
        try world.start(agent: 2)
        try act(&world)
        world.kill(agent: 2)
        try world.start(agent: 1)
    }

    @Test("that replaces the keys is noticed at once by the owner, who is heard again when he replaces them too")
    func rotated() throws {
        var world = try Self.copied(401)
        try Self.run(&world) { world in
            try world.rotate(2)
            #expect(
                try world.run(seconds: 60) { $0.agents[2].serials == [1] && $0.agents[2].core?.pendingTakeOvers == 0 })
        }
        #expect(try world.run(seconds: 60) { !$0.agents[1].foreign.isEmpty })
        let found = try #require(world.agents[1].foreign.first)
        #expect(found.serial == 1 && found.revokesOwn && !found.hasOwnKeys && !found.isContested)
        // It is said until something is done, also by later runs.
        world.kill(agent: 1)
        world.now = world.now.adding(seconds: 600)
        try world.start(agent: 1)
        #expect(world.agents[1].core?.foreignRecord(at: world.now)?.revokesOwn == true)

        try world.rotate(1)
        #expect(try world.run(seconds: 60) { $0.agents[1].serials == [2] && $0.agents[1].core?.pendingTakeOvers == 0 })
        #expect(world.agents[1].core?.foreignRecord(at: world.now) == nil)
        try world.send(0, to: 1, "to the owner")
        #expect(try world.run(seconds: 60) { $0.agents[0].delivered.count == 1 })
        #expect(world.agents[1].received.map(\.body) == [Array("to the owner".utf8)])
    }

    @Test("that publishes with the same keys is noticed by the look before the owner publishes, and is replaced")
    func republished() throws {
        var world = try Self.copied(402)
        try Self.run(&world) { world in
            world.agents[2].core?.settings.nextPublish = world.now.adding(seconds: 5)
            try world.run(seconds: 40)
        }
        try world.run(seconds: 20)
        #expect(world.agents[1].foreign.isEmpty, "nobody looks without an occasion")
        world.agents[1].core?.settings.nextPublish = world.now
        try world.handle(agent: 1, .wake)
        #expect(try world.run(seconds: 30) { !$0.agents[1].foreign.isEmpty })
        let found = try #require(world.agents[1].foreign.first)
        #expect(found.hasOwnKeys && !found.revokesOwn && found.sightings == 1)
        try world.run(seconds: 30)
        #expect(world.agents[1].foreign.count == 1, "one record is told of once")
        let own = try #require(world.agents[1].core?.ownRecords.own(world.now.epoch))
        #expect(own > found.published)
        try world.resolve(0, world.agents[1].id)
        #expect(try world.run(seconds: 30) { !$0.agents[0].resolved.isEmpty })
        let base = SequenceBase(user: world.agents[1].id.key, epoch: world.now.epoch)
        #expect(base.seconds(of: try #require(world.agents[0].resolved.last?.sequence)) == own)
    }

    @Test("that goes on publishing is not answered any more after the third time, and the user is told why")
    func contested() throws {
        var world = try Self.copied(403, coverLookups: 6)
        var published: [UInt64] = []
        for round in 1...4 {
            try Self.run(&world) { world in
                world.agents[2].core?.settings.nextPublish = world.now.adding(seconds: 3)
                try world.run(seconds: 30)
            }
            #expect(try world.run(seconds: 300) { $0.agents[1].foreign.count == round })
            try world.run(seconds: 30)
            published.append(world.agents[1].core?.settings.sequence ?? 0)
        }
        #expect(world.agents[1].foreign.map(\.isContested) == [false, false, true, true])
        #expect(published[0] < published[1] && published[1] == published[2] && published[2] == published[3])
        #expect(world.agents[1].core?.foreignRecord(at: world.now)?.sightings == 4)
        let later = world.now.adding(seconds: OwnRecordWatch.memory)
        #expect(world.agents[1].core?.foreignRecord(at: later) == nil)
    }

    @Test("is not believed in when a holder claims it: only the ID's key signs such a record")
    func liar() throws {
        let world = try Self.copied(404)
        let (epoch, id) = (world.now.epoch, world.agents[1].id)
        let own = try #require(world.agents[1].core?.ownRecords.own(epoch))
        let base = SequenceBase(user: id.key, epoch: epoch)
        let stranger = SigningKey(&world.dice.entropy)
        let body = RecordBody(
            home: Bytes32(), account: Bytes16(), sealing: X25519PublicKey(Bytes32()), operational: stranger.publicKey,
            operationalExpiry: .max, policy: 1, prekeys: Bytes32(), user: stranger)
        var forged = try DirectoryRecord.seal(
            body: body, user: stranger, epoch: epoch, sequence: base.sequence(at: own + 100),
            entropy: &world.dice.entropy
        ).encode()
        forged.replaceSubrange(17..<49, with: try BlindedID(id, epoch: epoch).key.bytes.bytes)
        var effects: [AgentEffect] = []
        var core = try #require(world.agents[1].core)
        var store = world.agents[1].store
        try core.auditAnswered(.record(forged), epoch, second: own, world.now, &effects, &store)
        #expect(effects.isEmpty && core.counters.invalidRecords == 1)
        #expect(core.foreignRecord(at: world.now) == nil)
    }
}
