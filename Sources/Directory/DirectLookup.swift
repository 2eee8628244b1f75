import Primitives
import Records
import Wire

/// A lookup by somebody who needs no anonymity: all holders are asked at once, with nothing between, and the times that
/// answers take decide how many are enough (specs/directory.md, "Direct lookups").
///
/// Enter: answers, moments. Leave: ``Step``s. The judging is ``Lookup``'s. It is decided as soon as enough have answered; for
/// as long as an answer counts in ``AnswerTimes`` the others are listened to, so that the report says of each holder what it
/// sent, and later lookups know how long that took.
package struct DirectLookup: Sendable {
    /// What to do next.
    package enum Step: Sendable {
        /// Ask these holders for the record.
        case ask([NodeID])
        /// No holder has it: let these servers search.
        case search([NodeID])
        case wait
        /// The outcome is known; ``report(at:)`` has more later.
        case decided(Outcome)
        /// Nobody is listened to any more.
        case over
    }

    package enum Outcome: Sendable {
        case found(DirectoryRecord, RecordBody)
        case failed(LookupFailure)
    }

    private struct Heard: Sendable {
        var answer: LookupReport.Answer
        var milliseconds: UInt64
        /// A record as it came: of one that was no better than another only key, epoch and sequence were looked at.
        var record: [UInt8] = []
    }

    private let user: BlindedID
    private var lookup: Lookup<RecordBody>
    private let rings: [[NodeID]]
    private let isJudgedByTimes: Bool
    private var askedAt: Timestamp?
    /// The first answer of each holder.
    private var heard: [NodeID: Heard] = [:]
    private var outcome: Outcome?
    /// The encoding of the record that was found.
    private var believed: [UInt8] = []
    /// Milliseconds until the outcome was known.
    private var milliseconds: UInt64 = 0
    private var searchRounds = 0

    /// - Parameters:
    ///   - rings: the holders by ring.
    ///   - searchers: servers that can search when no holder has the record; of many, two are drawn.
    ///   - times: how long holders took to answer in earlier lookups.
    package init(
        user: BlindedID, rings: [[NodeID]], searchers: [NodeID], times: AnswerTimes, now: Timestamp,
        entropy: inout Entropy
    ) {
        let test = AnswerTest(times, holders: rings.reduce(0) { $0 + $1.count })
        self.user = user
        self.rings = rings
        isJudgedByTimes = test != nil
        lookup = Lookup(
            user: user, rings: rings, directories: searchers, test: test, now: now, entropy: &entropy)
    }

    package var blindedKey: VerifyingKey { lookup.blindedKey }
    package var epoch: UInt64 { lookup.epoch }
    package var waves: Int { lookup.waves }
    package var usedSearch: Bool { lookup.usedFallback }

    /// When to go on if no answer comes before.
    package var deadline: Timestamp { outcome == nil ? lookup.deadline : lastMoment }

    /// An answer that comes later is as good as none.
    private var lastMoment: Timestamp {
        (askedAt ?? lookup.started).adding(milliseconds: UInt64(AnswerTimes.longest))
    }

    /// The clock went back.
    mutating func turnBack(by amount: UInt64) {
        lookup.turnBack(by: amount)
        askedAt = askedAt?.earlier(by: amount)
    }

    package mutating func step(now: Timestamp) -> Step {
        guard outcome == nil else {
            return heard.count == lookup.asked.count || now >= lastMoment ? .over : .wait
        }
        switch lookup.step(.direct, now: now, queueDelay: 0) {
        case .ask(let holders):
            askedAt = askedAt ?? now
            return .ask(holders)
        case .askFallback(let servers): return .search(servers)
        case .wait: return .wait
        case .found(let record, let body): return decide(.found(record, body), now)
        case .failed(let failure): return decide(.failed(failure), now)
        }
    }

    private mutating func decide(_ outcome: Outcome, _ now: Timestamp) -> Step {
        self.outcome = outcome
        if case .found = outcome { believed = lookup.bestBytes }
        milliseconds = now.milliseconds(since: lookup.started)
        return .decided(outcome)
    }

    // MARK: Answers

    /// A holder has answered; with `nil` if that was no message at all.
    package mutating func take(_ answer: DirectoryMessage?, from holder: NodeID, now: Timestamp) {
        guard lookup.asked.contains(holder), heard[holder] == nil else { return }
        let holds = judge(answer, from: holder, now)
        var entry = Heard(answer: holds ? .unsigned : .invalid, milliseconds: now.milliseconds(since: askedAt ?? now))
        switch answer {
        case .record(let bytes)? where holds:
            entry.answer = .record
            entry.record = bytes
        case .absent? where holds: entry.answer = .missing
        case .refused?: entry.answer = .refused
        default: break
        }
        heard[holder] = entry
    }

    /// A search is over; so many round trips had to follow one another in it.
    package mutating func take(searched answer: DirectoryMessage, rounds: Int = 1, now: Timestamp) {
        searchRounds = max(searchRounds, rounds)
        _ = judge(answer, from: nil, now)
    }

    /// - Returns: whether it is what was asked for, and holds.
    private mutating func judge(_ answer: DirectoryMessage?, from holder: NodeID?, _ now: Timestamp) -> Bool {
        let reading = answer.map { lookup.read($0, from: holder, now: now) } ?? .malformed
        var found: (record: DirectoryRecord, body: RecordBody)?
        if case .record(let record, let body) = reading { found = (record, body) }
        lookup.take(found, from: holder, now: now, grace: LookupHabits.direct.waveGrace)
        switch reading {
        case .record, .missing: return true
        case .invalid, .malformed: return false
        }
    }

    // MARK: Afterwards

    /// What later lookups learn from this one: how long its holders took to send what was believed. One that did not find
    /// the record at holders teaches nothing, for there the honest had nothing to send.
    /// - Parameter own: the asker itself, which needs no time.
    func note(in times: inout AnswerTimes, except own: NodeID) {
        guard case .found? = outcome, !usedSearch else { return }
        for holder in lookup.asked.sorted() where holder != own {
            times.note(heard[holder].flatMap { $0.record == believed ? $0.milliseconds : nil })
        }
    }

    /// How it went, holder by holder.
    func report(at now: Timestamp) -> LookupReport {
        var known: [[UInt8]: LookupReport.Answer] = [believed: .record]
        var holders: [LookupReport.Holder] = []
        for (ring, nodes) in rings.enumerated() {
            for node in nodes { holders.append(holder(node, ring: ring, &known, now)) }
        }
        var report = LookupReport(
            id: user.id, epoch: epoch, milliseconds: milliseconds, isJudgedByTimes: isJudgedByTimes,
            searchRounds: usedSearch ? searchRounds : nil, holders: holders)
        switch outcome {
        case .found(let record, let body): report.ending = .found(record, body)
        case .failed(.notFound): report.ending = .missing
        case .failed(.noAnswer), nil: report.ending = .unanswered
        }
        return report
    }

    /// - Parameter known: what the records are worth that were checked already: most holders send the same.
    private func holder(
        _ node: NodeID, ring: Int, _ known: inout [[UInt8]: LookupReport.Answer], _ now: Timestamp
    ) -> LookupReport.Holder {
        guard let heard = heard[node] else {
            return LookupReport.Holder(node: node, ring: ring, answer: .silent, milliseconds: nil, sequence: nil)
        }
        guard heard.answer == .record else {
            return LookupReport.Holder(
                node: node, ring: ring, answer: heard.answer, milliseconds: heard.milliseconds, sequence: nil)
        }
        let answer = known[heard.record] ?? worth(heard.record, now)
        known[heard.record] = answer
        return LookupReport.Holder(
            node: node, ring: ring, answer: answer, milliseconds: heard.milliseconds,
            sequence: DirectoryRecord.dates(of: heard.record)?.sequence)
    }

    /// What a record is worth beside the one that was found.
    private func worth(_ bytes: [UInt8], _ now: Timestamp) -> LookupReport.Answer {
        do throws(RecordError) {
            let record = try DirectoryRecord(decoding: bytes)
            try record.verify(at: now)
            _ = try record.open(by: user, at: now)
            guard case .found(let best, _)? = outcome else { return .record }
            if record.sequence == best.sequence { return .record }
            return record.sequence < best.sequence ? .older : .newer
        } catch { return .invalid }
    }
}
