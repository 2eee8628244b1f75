import Primitives
import Records
import Testing
import Wire

@testable import Directory

/// One lookup at twenty holders, asked and answered by hand.
@Suite("Lookups")
struct LookupTests {
    private static func answer(
        _ lookup: inout Lookup<RecordBody>, _ message: DirectoryMessage, from holder: NodeID, _ now: Timestamp
    ) {
        var found: (record: DirectoryRecord, body: RecordBody)?
        if case .record(let record, let body) = lookup.read(message, from: holder, now: now) { found = (record, body) }
        lookup.take(found, from: holder, now: now, grace: 1500)
    }

    @Test("holders whose answers were lost are asked once more before an ID counts as not found")
    func lost() throws {
        var fixture = try TwentyHolders(seed: 51)
        var lookup = fixture.lookup()
        var now = TwentyHolders.start
        var requests: [NodeID: Int] = [:]
        for _ in 0..<100 {
            switch lookup.step(LookupHabits(), now: now, queueDelay: 0) {
            case .ask(let holders):
                for holder in holders {
                    requests[holder, default: 0] += 1
                    // The first answer of every second holder is lost, and three holders never answer.
                    let index = try #require(fixture.nodes.firstIndex(of: holder))
                    guard index >= 3, index % 2 == 0 || requests[holder] == 2 else { continue }
                    LookupTests.answer(&lookup, try fixture.absence(holder), from: holder, now)
                }
            case .wait: now = max(lookup.deadline, now.adding(milliseconds: 1))
            case .askFallback: break
            case .found: Issue.record("there is no record")
            case .failed(let error):
                #expect(error == .notFound(asked: 20, missing: 17))
                #expect(requests.values.allSatisfy { $0 <= 2 })
                let all = requests.values.reduce(0, +)
                #expect(all == 20 + 3 + 9)
                return
            }
        }
        Issue.record("no end")
    }

    @Test("a holder that answers twice counts once")
    func twice() throws {
        var fixture = try TwentyHolders(seed: 52)
        var lookup = fixture.lookup()
        guard case .ask(let wave) = lookup.step(LookupHabits(), now: TwentyHolders.start, queueDelay: 0) else {
            Issue.record("no wave")
            return
        }
        for _ in 0..<8 { LookupTests.answer(&lookup, .missing, from: wave[0], TwentyHolders.start) }
        #expect(lookup.answered == 1)
        let record = try fixture.record(age: 60)
        LookupTests.answer(&lookup, record, from: wave[1], TwentyHolders.start)
        guard case .wait = lookup.step(LookupHabits(), now: TwentyHolders.start, queueDelay: 0) else {
            Issue.record("two holders are not enough")
            return
        }
    }
}
