import Primitives
import Records
import Testing
import Wire

@testable import Directory

/// A direct lookup at twenty holders, asked and answered by hand (specs/directory.md, "Direct lookups").
@Suite("Direct lookups")
struct DirectLookupTests {
    private static let start = TwentyHolders.start

    /// A network in which everybody answered within 100 ms, evenly.
    private static var fast: AnswerTimes {
        var times = AnswerTimes()
        for number in 0..<1000 { times.note(UInt64(number % 100)) }
        return times
    }

    private static func ask(_ lookup: inout DirectLookup) throws -> [NodeID] {
        guard case .ask(let wave) = lookup.step(now: start) else {
            Issue.record("nobody is asked")
            return []
        }
        return wave
    }

    private static func count(_ report: LookupReport, _ answer: LookupReport.Answer) -> Int {
        report.holders.count { $0.answer == answer }
    }

    private static func isWaiting(_ step: DirectLookup.Step) -> Bool {
        if case .wait = step { return true }
        return false
    }

    @Test("all are asked at once, and it is decided when so many answers are enough; the highest sequence wins")
    func direct() throws {
        var fixture = try TwentyHolders(seed: 53)
        let test = try #require(AnswerTest(Self.fast, holders: 20))
        var lookup = fixture.direct(Self.fast)
        let start = Self.start
        let wave = try Self.ask(&lookup)
        #expect(Set(wave) == Set(fixture.nodes))
        let old = try fixture.record(age: 7200)
        let new = try fixture.record(age: 60)
        for holder in wave.prefix(3) { lookup.take(old, from: holder, now: start) }
        // What says that there is none is not evidence for the record.
        for holder in wave[3..<6] { lookup.take(.missing, from: holder, now: start) }
        let three = start.adding(milliseconds: try #require(test.due(3)))
        #expect(lookup.deadline == three)
        let early = lookup.step(now: start.adding(milliseconds: 60))
        #expect(Self.isWaiting(early))
        lookup.take(new, from: wave[6], now: start.adding(milliseconds: 60))
        let four = start.adding(milliseconds: try #require(test.due(4)))
        #expect(lookup.deadline == four && four <= three)
        guard case .decided(.found(let record, _)) = lookup.step(now: four) else {
            Issue.record("four answers are enough then")
            return
        }
        #expect(record.sequence == fixture.id.sequences.sequence(at: start.seconds - 60))
    }

    @Test("after it is decided the others are listened to, and the report says of each holder what it sent and when")
    func report() throws {
        var fixture = try TwentyHolders(seed: 54)
        var lookup = fixture.direct()
        let wave = try Self.ask(&lookup)
        let record = try fixture.record(age: 60)
        let older = try fixture.record(age: 7200)
        let newer = try fixture.record(age: 5)
        guard case .record(var forged) = try fixture.record(age: 9000) else { return }
        forged[forged.count - 1] ^= 1
        let soon = Self.start.adding(milliseconds: 20)
        for holder in wave[..<11] { lookup.take(record, from: holder, now: soon) }
        lookup.take(older, from: wave[11], now: soon)
        lookup.take(.record(forged), from: wave[12], now: soon)
        lookup.take(try fixture.absence(wave[13]), from: wave[13], now: soon)
        let waits = lookup.step(now: soon)
        #expect(Self.isWaiting(waits))
        // The fifteenth answer.
        lookup.take(.missing, from: wave[14], now: soon)
        guard case .decided(.found(let found, _)) = lookup.step(now: soon) else {
            Issue.record("fifteen answers are enough")
            return
        }
        #expect(found.sequence == fixture.id.sequences.sequence(at: Self.start.seconds - 60))
        let late = Self.start.adding(milliseconds: 700)
        lookup.take(newer, from: wave[15], now: late)
        lookup.take(.refused(.busy), from: wave[16], now: late)
        lookup.take(try fixture.absence(wave[0]), from: wave[17], now: late)
        lookup.take(nil, from: wave[18], now: late)
        // Whoever answers twice, or was not asked, changes nothing.
        lookup.take(.missing, from: wave[0], now: late)
        lookup.take(.missing, from: NodeID(), now: late)
        let listens = lookup.step(now: late)
        #expect(Self.isWaiting(listens))
        #expect(lookup.deadline == Self.start.adding(milliseconds: 1000))
        guard case .over = lookup.step(now: lookup.deadline) else {
            Issue.record("nobody is listened to for longer than a second")
            return
        }
        let report = lookup.report(at: late)
        let wanted: [LookupReport.Answer: Int] = [
            .record: 11, .older: 1, .newer: 1, .missing: 1, .unsigned: 1, .refused: 1, .invalid: 3, .silent: 1,
        ]
        for answer in LookupReport.Answer.allCases {
            #expect(Self.count(report, answer) == wanted[answer], "\(answer)")
        }
        #expect(report.holders.map(\.node) == fixture.nodes && report.holders.map(\.ring).max() == 3)
        #expect(report.holders.first { $0.node == wave[0] }?.milliseconds == 20)
        let past = fixture.id.sequences.sequence(at: Self.start.seconds - 7200)
        #expect(report.holders.first { $0.node == wave[11] }?.sequence == past)
        #expect(report.milliseconds == 20 && report.searchRounds == nil && !report.isJudgedByTimes)
    }

    @Test("it is over as soon as all have answered; later lookups know how long the right answers took")
    func times() throws {
        var fixture = try TwentyHolders(seed: 55)
        var lookup = fixture.direct()
        let wave = try Self.ask(&lookup)
        let record = try fixture.record(age: 60)
        let older = try fixture.record(age: 7200)
        for (number, holder) in wave.enumerated() {
            let now = Self.start.adding(milliseconds: UInt64(10 * number))
            lookup.take(number < 15 ? record : older, from: holder, now: now)
        }
        let end = Self.start.adding(milliseconds: 190)
        guard case .decided = lookup.step(now: end), case .over = lookup.step(now: end) else {
            Issue.record("all have answered")
            return
        }
        var times = AnswerTimes()
        // The asker itself needs no time.
        lookup.note(in: &times, except: wave[0])
        #expect(times.count == 19)
        #expect(times.milliseconds(until: [0.75, 14 / 19, 7 / 19]) == [nil, 141, 71])
    }

    @Test("when no holder has it, those that were silent are asked again, and then there is a search")
    func search() throws {
        var fixture = try TwentyHolders(seed: 56)
        var lookup = fixture.direct()
        let wave = try Self.ask(&lookup)
        for holder in wave.prefix(9) { lookup.take(try fixture.absence(holder), from: holder, now: Self.start) }
        let first = lookup.deadline
        #expect(first == Self.start.adding(milliseconds: 400))
        guard case .ask(let silent) = lookup.step(now: first) else {
            Issue.record("the silent ones are not asked again")
            return
        }
        #expect(Set(silent) == Set(wave.dropFirst(9)))
        let second = lookup.deadline
        guard case .search(let servers) = lookup.step(now: second) else {
            Issue.record("there is no search")
            return
        }
        #expect(servers == [fixture.nodes[0]])
        lookup.take(searched: try fixture.record(age: 60), rounds: 2, now: second)
        guard case .decided(.found) = lookup.step(now: second) else {
            Issue.record("what the search found is not taken")
            return
        }
        let report = lookup.report(at: second)
        #expect(report.searchRounds == 2 && Self.count(report, .missing) == 9 && Self.count(report, .silent) == 11)
        // The honest had nothing to send.
        var times = AnswerTimes()
        lookup.note(in: &times, except: NodeID())
        #expect(times.count == 0)
    }

    @Test("that there is no record is believed when ten have signed it, and no search found one", arguments: [9, 10])
    func missing(signed: Int) throws {
        var fixture = try TwentyHolders(seed: 57)
        var lookup = fixture.direct()
        for (number, holder) in try Self.ask(&lookup).enumerated() {
            lookup.take(number < signed ? try fixture.absence(holder) : .missing, from: holder, now: Self.start)
        }
        guard case .search = lookup.step(now: Self.start) else {
            Issue.record("there is no search")
            return
        }
        lookup.take(searched: .missing, now: Self.start)
        guard case .decided(.failed) = lookup.step(now: Self.start) else {
            Issue.record("something was found")
            return
        }
        switch lookup.report(at: Self.start).ending {
        case .missing: #expect(signed == 10)
        case .unanswered: #expect(signed == 9)
        case .found: Issue.record("something was found")
        }
    }
}
