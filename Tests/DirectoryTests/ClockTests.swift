import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Directory

@Suite("A directory server whose clock is a day ahead for ten minutes")
struct ClockTests {
    private static let day: UInt64 = 86_400

    /// Ten minutes by a clock that is a day ahead, with what a driver does each minute; then the clock is right again.
    private func stray(_ server: inout LoneServer) throws {
        let start = server.now
        for minute in 0..<10 {
            server.now = start.adding(seconds: ClockTests.day + UInt64(minute) * 60)
            _ = try server.wake()
        }
        server.now = start.adding(seconds: 600)
    }

    @Test("still has the records that were not over, and serves them")
    func records() throws {
        var server = try LoneServer(seed: 340)
        let record = try server.record()
        #expect(try server.ask(.put(record: record.encode())) == .stored(sequence: 1))
        _ = try server.wake()
        let question = DirectoryMessage.findValue(key: record.blindedKey, epoch: server.now.epoch, place: 0)
        try stray(&server)
        #expect(try server.ask(question) == .record(record.encode()))
        #expect(server.core.counters.clockTurns == 1)
        #expect(server.core.counters.expired == 0)
        // When it is over it is forgotten as ever.
        for _ in 0..<20 {
            server.now = server.now.adding(seconds: 3600)
            _ = try server.wake()
        }
        #expect(try server.store.count(RecordStore.table) == 0)
    }

    @Test("forgets what is over when the clock stays where it leapt to")
    func leap() throws {
        var server = try LoneServer(seed: 341)
        _ = try server.ask(.put(record: server.record().encode()))
        _ = try server.wake()
        server.now = server.now.adding(seconds: ClockTests.day)
        _ = try server.wake()
        #expect(try server.store.count(RecordStore.table) == 1)
        server.now = server.now.adding(seconds: 901)
        _ = try server.wake()
        #expect(try server.store.count(RecordStore.table) == 0)
    }

    @Test("has whole budgets, no alarm of tomorrow, and does at once what is due")
    func timers() throws {
        var configuration = DirectoryConfiguration()
        configuration.sealedRate = 2
        var server = try LoneServer(seed: 342, configuration)
        _ = try server.wake()
        let right = server.now
        server.now = right.adding(seconds: ClockTests.day)
        let ping = DirectoryMessage.findNode(target: Bytes32())
        for _ in 0..<3 { _ = try server.ask(ping) }
        #expect(server.core.counters.overRate == 1)
        #expect(server.core.watch.density(nodes: 20, mean: 0.01, now: server.now) != nil)
        server.now = right.adding(seconds: 600)
        #expect(try server.ask(ping) != nil)
        #expect(server.core.counters.overRate == 1)
        server.now = right.adding(seconds: 4201)
        #expect(!server.core.isAlarmed(at: server.now))
        _ = try server.wake()
        let wait = try #require(server.core.nextWake).milliseconds(since: server.now)
        #expect(wait <= DirectoryCore.sweepInterval)
    }

    @Test("asks contacts that have been silent since")
    func contacts() throws {
        var network = try DirectoryNetwork.joined(seed: 343, 4)
        network.members[1].core.configuration.livenessInterval = 60_000
        network.ahead[1] = ClockTests.day
        try network.run(milliseconds: 60_000)
        network.ahead[1] = nil
        try network.run(milliseconds: 150_000)
        let core = network.members[1].core
        #expect(core.calls.isEmpty)
        let stalest = try #require(core.table.stalest)
        #expect(network.now.milliseconds(since: stalest.lastSeen) < 75_000)
        #expect(stalest.lastSeen <= network.now)
    }

    @Test("agrees with the others on the shared random values of that day and the next, and contradicts nobody")
    func sharedRandom() throws {
        for (number, hour) in [0.3, 1.5, 6.25, 9.9, 12, 17.6, 19.5].enumerated() {
            let network = try SharedNetwork(5, seed: 344 + UInt64(number))
            try network.run(toHour: hour)
            try network.setClock(2, ahead: ClockTests.day)
            try network.run(toHour: hour + 1.0 / 6)
            try network.setClock(2, ahead: 0)
            try network.run(toHour: 20)
            #expect(network.isAgreed(1), "at hour \(hour)")
            try network.run(toHour: 44)
            #expect(network.isAgreed(2), "at hour \(hour), a day later")
            try network.run(toHour: 68)
            #expect(network.isAgreed(3), "at hour \(hour), two days later")
            #expect(network.members.allSatisfy { $0.core.counters.equivocations == 0 })
            #expect(network.members[2].core.list == network.members[1].core.list)
        }
    }

    @Test(
        "learns the value of a day that it has seen too early and was away from, and still knows since when others are there"
    )
    func awayAfterwards() throws {
        let network = try SharedNetwork(5, seed: 360)
        try network.run(toHour: 24 + 19.5)
        try network.setClock(2, ahead: ClockTests.day)
        try network.run(toHour: 24 + 19.7)
        try network.setClock(2, ahead: 0)
        try network.run(toHour: 48 + 9)
        #expect(network.members[2].core.ownList == network.members[1].core.ownList)
        try network.stop(2)
        try network.run(toHour: 48 + 22)
        try network.start(2)
        try network.run(toHour: 48 + 23)
        #expect(network.isAgreed(3))
    }
}
