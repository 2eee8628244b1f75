import Primitives
import Records
import Testing
import Wire

@testable import Directory

@Suite("Records put from addresses that are not proven")
struct UnprovenPutTests {
    private func holder(seed: UInt64) throws -> LoneServer {
        var configuration = DirectoryConfiguration()
        configuration.demandsPuzzles = false
        configuration.recordLimit = 20
        configuration.prefixRecordLimit = 4
        return try LoneServer(seed: seed, configuration)
    }

    /// The messages that effects carry to others.
    private func calls(_ effects: [DirectoryEffect]) -> [(id: UInt64, message: [UInt8])] {
        effects.compactMap { if case .call(let id, _, let message) = $0 { (id, message) } else { nil } }
    }

    @Test("count for nobody's prefix: a forger fills a share of its own, and is told to come again when that is full")
    func quota() throws {
        var server = try holder(seed: 420)
        for index in 0..<10 {
            // Of one prefix first, then of ever new ones.
            let from = index < 8 ? LoneServer.peer(index) : LoneServer.stranger(index)
            let answer = try server.ask(.put(record: server.record().encode()), from: from, isForged: true)
            #expect(answer == (index < 4 ? .stored(sequence: 1) : .refused(.busy)))
        }
        let prefix = RecordStore.Group(LoneServer.peer(1), isProven: true)
        #expect(try RecordStore.usage(prefix, server.store) == RecordStore.Usage())
        #expect(try RecordStore.usage(.unproven, server.store).records == 4)
        #expect(server.core.counters.overQuota == 6)
        for index in 0..<6 {
            let answer = try server.ask(.put(record: server.record().encode()), from: LoneServer.peer(index))
            #expect(answer == (index < 4 ? .stored(sequence: 1) : .refused(.full)))
        }
        #expect(try RecordStore.usage(prefix, server.store).records == 4)
    }

    @Test("come again over the session when a holder is busy, once; so nobody loses a record to a forger")
    func repetition() throws {
        var server = try holder(seed: 421)
        for index in 0..<4 {
            _ = try server.ask(
                .put(record: server.record().encode()), from: LoneServer.stranger(index), isForged: true)
        }
        let record = try server.record().encode()
        var honest = try LoneServer(seed: 422)
        let endpoint = LoneServer.stranger(9)
        var effects: [DirectoryEffect] = []
        honest.core.put(record, to: server.core.own, endpoint, honest.now, &effects)
        let first = try #require(calls(effects).first)
        #expect(calls(effects).count == 1 && first.message == DirectoryMessage.put(record: record).encode())
        let busy = try server.ask(DirectoryMessage(decoding: first.message), from: LoneServer.peer(3), isForged: true)
        #expect(busy == .refused(.busy))
        func answer(_ call: UInt64, _ message: DirectoryMessage, _ honest: inout LoneServer) throws -> [DirectoryEffect]
        {
            try honest.core.handle(
                .answer(call: call, message: message.encode()), now: honest.now, entropy: &honest.entropy,
                store: &honest.store)
        }
        let again = try calls(answer(first.id, .refused(.busy), &honest))
        #expect(again.map(\.message) == [first.message] && honest.core.counters.putsRepeated == 1)
        // The answer has established a session, over which its sender's address is proven.
        #expect(try server.ask(.put(record: record), from: LoneServer.peer(3)) == .stored(sequence: 1))
        // Who is busy again is left alone.
        let second = try #require(again.first)
        #expect(try calls(answer(second.id, .refused(.busy), &honest)).isEmpty)
        #expect(honest.core.calls.isEmpty && honest.core.counters.putsRepeated == 1)
        // Other refusals are final.
        for refusal in [DirectoryMessage.Refusal.full, .notNewer, .notResponsible] {
            effects = []
            honest.core.put(record, to: server.core.own, endpoint, honest.now, &effects)
            let call = try #require(calls(effects).first)
            #expect(try calls(answer(call.id, .refused(refusal), &honest)).isEmpty)
        }
    }

    @Test("wait for their check together: a forger fills neither the queue of a prefix nor that of agents")
    func queue() throws {
        var configuration = DirectoryConfiguration()
        configuration.checkRate = 1
        var server = try LoneServer(seed: 423, configuration)
        _ = try server.ask(.put(record: server.record().encode()))
        for index in 0..<40 {
            let from = LoneServer.stranger(index % 2)
            let answer = try server.ask(.put(record: server.record().encode()), from: from, isForged: true)
            #expect(answer == (index < FairQueue.peerLimit ? nil : .refused(.busy)))
        }
        #expect(try server.ask(.put(record: server.record().encode()), from: LoneServer.stranger(0)) == nil)
        #expect(try server.ask(.put(record: server.record().encode())) == nil)
    }
}
