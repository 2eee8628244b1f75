import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Correspondence

/// What is undelivered neither slows down what is new, nor is sent again before its time.
@Suite struct OutboxTests {
    @Test("what a home has taken is not sent again by the next runs, but after six hours, once")
    func accepted() throws {
        var world = try DeliveryTests.pair(140)
        world.kill(agent: 1)
        for number in 0..<12 { try world.send(0, to: 1, "\(number)") }
        #expect(try world.run(seconds: 60) { $0.agents[0].accepted.count == 12 })
        for _ in 0..<3 {
            world.kill(agent: 0)
            try world.start(agent: 0)
            try world.run(seconds: 60)
            #expect(world.agents[0].core?.counters.retransmissions == 0)
            #expect(world.agents[0].core?.isIdle == true)
        }
        world.kill(agent: 0)
        try world.run(seconds: 6 * 3600)
        for expected in [12, 0] {
            try world.start(agent: 0)
            try world.run(seconds: 120)
            #expect(world.agents[0].core?.counters.retransmissions == UInt64(expected))
            world.kill(agent: 0)
        }
        try world.start(agent: 0)
        try world.start(agent: 1)
        #expect(try world.run(seconds: 120) { $0.agents[0].delivered.count == 12 })
        #expect(try world.agents[1].inbox().count == 12)
    }

    @Test("a message to somebody goes at once, though hundreds to another wait whose home does not answer")
    func undelivered() throws {
        var world = try World(seed: 141)
        for home in 0..<3 { try world.register(try world.addAgent(), at: home) }
        #expect(try world.run(seconds: 60) { $0.agents.allSatisfy { $0.registered.count == 1 } })
        world.kill(1)
        for number in 0..<400 { try world.send(0, to: 1, "\(number)") }
        try world.run(seconds: 60)
        for round in 0..<2 {
            let count = world.agents[0].accepted.count
            try world.send(0, to: 2, "something else")
            #expect(try world.run(seconds: 6) { $0.agents[0].accepted.count == count + 1 })
            // A run does not wait for what earlier ones left, if that is much. The next run does no worse.
            if round > 0 { #expect(try world.run(seconds: 4) { $0.agents[0].core?.isIdle == true }) }
            world.kill(agent: 0)
            try world.start(agent: 0)
        }
        #expect(world.agents[0].core?.counters.queueOverflow == 0)
        #expect(world.agents[0].core?.queuedMessages == 400)
    }

    @Test("a message to somebody goes at once, though hundreds to another were never tried")
    func backlog() throws {
        var world = try World(seed: 146)
        for home in 0..<3 { try world.register(try world.addAgent(), at: home) }
        #expect(try world.run(seconds: 60) { $0.agents.allSatisfy { $0.registered.count == 1 } })
        world.kill(agent: 1)
        for number in 0..<300 { try world.send(0, to: 1, "\(number)") }
        world.kill(agent: 0)
        try world.start(agent: 0)
        try world.run(seconds: 2)
        let request = try world.send(0, to: 2, "something else")
        let message = try #require(world.agents[0].queued[request])
        #expect(try world.run(seconds: 6) { $0.agents[0].accepted.contains(message) })
        #expect(world.agents[0].core?.isIdle == true && world.agents[0].core?.counters.queueOverflow == 0)
        #expect(try world.run(seconds: 90) { $0.agents[0].accepted.count == 301 })
    }

    @Test("messages to a home that is full wait for its word with one message a time, and go when it has room")
    func full() throws {
        var world = try DeliveryTests.pair(142)
        world.kill(agent: 1)
        world.servers[1].home.acceptsWrites = false
        for number in 0..<40 { try world.send(0, to: 1, "\(number)") }
        try world.run(seconds: 300)
        let core = try #require(world.agents[0].core)
        #expect(core.queuedMessages == 40 && core.counters.retransmissions < 60)
        world.servers[1].home.acceptsWrites = true
        #expect(try world.run(seconds: 120) { $0.agents[0].accepted.count == 40 })
    }

    @Test("many messages are read three for each envelope, and receipts speak for many")
    func reading() throws {
        var world = try DeliveryTests.pair(143)
        world.kill(agent: 1)
        for number in 0..<150 { try world.send(0, to: 1, "\(number)") }
        #expect(try world.run(seconds: 120) { $0.agents[0].accepted.count == 150 })
        try world.start(agent: 1)
        #expect(try world.run(seconds: 15) { $0.agents[1].received.count == 150 })
        #expect(try world.run(seconds: 10) { $0.agents[0].delivered.count == 150 })
        #expect(try world.agents[0].outbox().allSatisfy { $0.state == .delivered })
        // Receipts came as a few messages of 64 IDs at most.
        let items = world.servers[0].home.counters.accepted
        #expect(items < 25, "\(items) receipts")
    }

    @Test("turns go to what is new, then to receipts, and seldom to repetitions while anything else waits")
    func turns() {
        var queue = PartQueue()
        var entropy = Entropy(seed: 144)
        let (old, new, receipt): (Bytes16, Bytes16, Bytes16) = (entropy.bytes(), entropy.bytes(), entropy.bytes())
        let people = (0..<2).map { _ in NetworkID(key: VerifyingKey(entropy.bytes())) }
        queue.add((0..<8).map { UInt8($0) }, of: old, to: people[0], .repetition)
        #expect(!queue.hasRoom(.repetition, for: people[0]) && queue.hasRoom(.repetition, for: people[1]))
        queue.add((8..<64).map { UInt8($0) }, of: old, to: people[0], .repetition)
        #expect(!queue.hasRoom(.repetition, for: people[1]) && queue.hasRoom(.fresh, for: people[0]))
        queue.add([0, 1, 2, 3], of: new, to: people[1], .fresh)
        queue.add([0], of: receipt, to: people[0], .receipt)
        var order: [Bytes16?] = []
        for _ in 0..<16 { order.append(queue.next(requestsWait: true)?.message) }
        #expect(order.compactMap(\.self).filter { $0 != old } == [new, new, new, new, receipt])
        #expect(order.count { $0 == old } == 2)
        #expect(!queue.holds(new) && queue.holds(old))
        #expect(queue.next(requestsWait: false)?.message == old)
    }

    @Test("an accepted message's next attempt and the count of attempts survive, bounded by the longest wait")
    func rows() throws {
        var store = MemoryStore()
        var entropy = Entropy(seed: 145)
        let now = World.noon
        var outbox = try Outbox(now, receiptRetry: 3_600_000, store)
        let to = NetworkID(key: SigningKey(&entropy).publicKey)
        let ids: [Bytes16] = (0..<3).map { _ in entropy.bytes() }
        for id in ids { try outbox.add(id, to: to, .text, [1, 2], now: now, &store) }
        try outbox.update(ids[0], &store) {
            $0.state = .accepted
            $0.attempts = 7
            $0.nextAttempt = now.adding(milliseconds: 500)
        }
        try outbox.update(ids[1], &store) {
            $0.state = .accepted
            $0.nextAttempt = now.adding(seconds: 100 * 3600)
        }
        try outbox.update(ids[2], &store) { $0.nextAttempt = now.adding(seconds: 5000) }
        outbox = try Outbox(now, receiptRetry: 3_600_000, store)
        #expect(outbox.open[ids[0]]?.attempts == 7)
        #expect(outbox.open[ids[0]]?.nextAttempt == now.adding(milliseconds: 500))
        #expect(outbox.open[ids[1]]?.nextAttempt == now.adding(seconds: 3600))
        #expect(outbox.open[ids[2]]?.nextAttempt == now)
        #expect(outbox.due(now).map(\.messageID) == [ids[2]])
    }
}
