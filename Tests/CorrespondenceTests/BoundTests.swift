import Primitives
import Records
import Testing
import Wire

@testable import Correspondence
@testable import Federation

/// What an agent keeps of others is bounded.
@Suite struct BoundTests {
    /// The first of four registered agents has these bounds.
    private func world(_ seed: UInt64, _ configuration: AgentConfiguration) throws -> World {
        var world = try World(seed: seed)
        for index in 0..<4 {
            try world.register(
                try world.addAgent(index == 0 ? configuration : AgentConfiguration()), at: index % 2)
        }
        #expect(try world.run(seconds: 60) { $0.agents.allSatisfy { $0.registered.count == 1 } })
        return world
    }

    @Test("of more contacts than are kept the one asked for longest ago gives way, and is written to all the same")
    func contacts() throws {
        var configuration = AgentConfiguration()
        configuration.contactLimit = 2
        var world = try world(120, configuration)
        for other in 1..<4 {
            try world.resolve(0, world.agents[other].id)
            try world.run(seconds: 20)
        }
        let contacts = try #require(world.agents[0].core?.contacts)
        #expect(contacts.count == 2 && contacts[world.agents[1].id] == nil)
        for other in 1..<4 { try world.send(0, to: other, "to \(other)") }
        #expect(try world.run(seconds: 120) { $0.agents[0].delivered.count == 3 })
        #expect(world.agents[0].core?.contacts.count == 2)
    }

    @Test("what finds no room in a full inbox stays at the home, and comes when messages are deleted")
    func inbox() throws {
        var configuration = AgentConfiguration()
        configuration.inboxLimit = 1
        var world = try world(122, configuration)
        try world.send(1, to: 0, "first")
        #expect(try world.run(seconds: 120) { $0.agents[1].delivered.count == 1 })
        #expect(world.agents[0].core?.isInboxFull == true)
        try world.send(1, to: 0, "second")
        try world.run(seconds: 120)
        #expect(world.agents[1].accepted.count == 2 && world.agents[1].delivered.count == 1)
        #expect(try world.agents[0].inbox() == [Array("first".utf8)])

        // What recognises a deleted message takes room too: here there is room for that and another message.
        world.kill(agent: 0)
        world.agents[0].configuration.inboxLimit = 3 * Inbox.rowSize
        try world.start(agent: 0)
        #expect(try world.deleteMessages(0, .from(world.agents[1].id)) == 1)
        #expect(try world.run(seconds: 300) { $0.agents[1].delivered.count == 2 })
        #expect(try world.agents[0].inbox() == [Array("second".utf8)])
    }

    @Test("receipts that cannot be delivered leave half of the outbox to what the user sends")
    func receipts() throws {
        var configuration = AgentConfiguration()
        configuration.outboxLimit = 2
        var world = try world(123, configuration)
        // Two messages wait at the home; then the home of their senders is gone, so that no receipt gets there.
        world.kill(agent: 0)
        for other in [1, 3] { try world.send(other, to: 0, "from \(other)") }
        #expect(try world.run(seconds: 120) { $0.agents[1].accepted.count + $0.agents[3].accepted.count == 2 })
        world.kill(1)
        try world.start(agent: 0)
        #expect(try world.run(seconds: 120) { $0.agents[0].received.count == 2 })
        #expect(world.agents[0].core?.outbox.open.values.map(\.kind) == [.receipt])
        let requests = try (0..<2).map { try world.send(0, to: 1, "answer \($0)") }
        #expect(world.agents[0].queued[requests[0]] != nil)
        #expect(world.agents[0].failed[requests[1]] == .outboxFull(limit: 2))
    }

    /// Agents that send one envelope a second and have settled.
    private func slowWorld(_ seed: UInt64, coverLookups interval: UInt64) throws -> World {
        var configuration = AgentConfiguration()
        configuration.rate = 1
        configuration.coverLookupInterval = interval
        var world = try world(seed, configuration)
        try world.run(seconds: 120)
        return world
    }

    @Test("the map's questions take the places of cover: they are bounded, and a lookup does not wait for them")
    func inquiries() throws {
        var world = try slowWorld(124, coverLookups: 0)
        let questions = (0..<200).map { number in
            MapQuestion(
                server: world.servers[number % world.servers.count].nodeID, inquiry: .ask(epoch: 0, clusters: []))
        }
        try world.handle(agent: 0, .inquire(questions))
        let core = try #require(world.agents[0].core)
        #expect(core.coverQueue.count == 48 && core.counters.coverQueueOverflow == 152)
        try world.resolve(0, world.agents[1].id)
        // Eight holders are asked, one a second.
        #expect(try world.run(seconds: 60) { !$0.agents[0].resolved.isEmpty })
        #expect(world.agents[0].core?.coverQueue.count ?? 0 > 16)
        #expect(try world.run(seconds: 120) { $0.agents[0].core?.coverQueue.isEmpty == true })
    }

    @Test("cover lookups take the places of cover: a user's lookup goes before them")
    func coverLookups() throws {
        var world = try slowWorld(125, coverLookups: 86_400_000)
        world.agents[0].core?.coverLookups.next = world.now
        try world.handle(agent: 0, .wake)
        let waiting = try #require(world.agents[0].core?.coverQueue.count)
        #expect(waiting >= 7)
        try world.resolve(0, world.agents[1].id)
        #expect(world.agents[0].core?.queue.isEmpty == false)
        #expect(try world.run(seconds: 60) { $0.agents[0].core?.queue.isEmpty == true })
        #expect(world.agents[0].core?.coverQueue.count == waiting)
    }

    @Test("more lookups than run at a time are refused, and messages that need one wait their turn")
    func lookups() throws {
        var configuration = AgentConfiguration()
        configuration.lookupLimit = 1
        var world = try world(121, configuration)
        let first = try world.resolve(0, world.agents[1].id)
        let second = try world.resolve(0, world.agents[2].id)
        #expect(world.agents[0].failed == [second: .tooManyLookups(limit: 1)])
        for other in 1..<4 { try world.send(0, to: other, "to \(other)") }
        #expect(try world.run(seconds: 300) { $0.agents[0].delivered.count == 3 })
        #expect(world.agents[0].failed[first] == nil)
    }
}
