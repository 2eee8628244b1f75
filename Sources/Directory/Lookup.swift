import Primitives
import Records
import Wire

/// One resolution of a network ID, or of a name: waves of requests to the record's holders, then the iterative fallback
/// (specs/correspondence.md, "Lookup"). `Content` is what a record says to those who can open it.
///
/// Freshness: of all valid answers the highest sequence wins, but not before ``LookupHabits/freshAnswers`` holders
/// have answered, or an ``AnswerTest`` says that it is enough; and while the best record is so old that its publisher
/// should have replaced it, all holders are asked. Holders from whom nothing came are asked once more before an ID counts
/// as not found.
package struct Lookup<Content: Sendable>: Sendable {
    package enum Stage: Sendable {
        case waves
        case fallback
    }

    /// What to ask next.
    package enum Step: Sendable {
        case ask([NodeID])
        case askFallback([NodeID])
        case wait
        case found(DirectoryRecord, Content)
        case failed(LookupFailure)
    }

    /// What an answer is worth.
    package enum Reading: Sendable {
        case record(DirectoryRecord, Content)
        case missing
        /// A record that is not the one asked for, not of its time, not signed, or with keys that were revoked.
        case invalid
        /// No answer to this request at all.
        case malformed
    }

    /// Servers that are asked to search on the agent's behalf when no holder has the record.
    private static var fallbackServers: Int { 2 }

    /// From where the sequences of the records count.
    private let sequences: SequenceBase
    /// Decrypts a record whose signature is right, and checks what is in it.
    private let open: @Sendable (DirectoryRecord, Timestamp) throws(RecordError) -> Content
    package let epoch: UInt64
    package let blindedKey: VerifyingKey
    package let started: Timestamp
    /// Who waits for it.
    package var requests: [UInt64] = []
    private var waiting: [[NodeID]]
    /// Holders that there are.
    private let holderCount: Int
    private var fallbackCandidates: [NodeID]
    package private(set) var stage = Stage.waves
    package private(set) var asked: Set<NodeID> = []
    package private(set) var answered = 0
    package private(set) var missing = 0
    package private(set) var waves = 0
    private var absence: AbsenceQuorum
    /// Holders of the current wave that have not answered.
    private var awaited: Set<NodeID> = []
    /// Holders that have answered, some of them twice.
    private var heard: Set<NodeID> = []
    /// Servers that search on the agent's behalf and have not answered.
    private var searching = 0
    /// When the current wave is over.
    private var waveEnd: Timestamp
    /// Whether the silent holders were asked once more.
    private var hasRepeated = false
    /// When all were asked, if answers are judged by the time that they take.
    private let test: AnswerTest?
    private var askedAt: Timestamp
    /// Holders that sent a record which holds.
    private var records = 0
    private var best: (record: DirectoryRecord, body: Content)?
    /// The encoding of the best record: most holders send the same, which needs no second check.
    private(set) var bestBytes: [UInt8] = []

    /// - Parameters:
    ///   - rings: the holders by ring; a wave asks as many of each.
    ///   - directories: all directory servers, for the fallback.
    ///   - sequences: tells how old a record is.
    ///   - test: for a direct lookup: all holders are asked at once, and this says when the answers are enough.
    package init(
        blindedKey: VerifyingKey, sequences: SequenceBase, rings: [[NodeID]], directories: [NodeID],
        test: AnswerTest? = nil, now: Timestamp, entropy: inout Entropy,
        open: @escaping @Sendable (DirectoryRecord, Timestamp) throws(RecordError) -> Content
    ) {
        self.open = open
        self.sequences = sequences
        self.blindedKey = blindedKey
        epoch = now.epoch
        started = now
        waveEnd = now
        askedAt = now
        self.test = test
        waiting = rings.map { ring in
            var order = ring
            entropy.shuffle(&order)
            return order
        }
        entropy.shuffle(&waiting)
        absence = AbsenceQuorum(rings: rings)
        holderCount = rings.reduce(0) { $0 + $1.count }
        // A few draws instead of a shuffle: a map may have a hundred thousand servers.
        var candidates: [NodeID] = []
        for _ in 0..<8 * Lookup.fallbackServers
        where candidates.count < Lookup.fallbackServers && !directories.isEmpty {
            let choice = directories[entropy.below(directories.count)]
            if !candidates.contains(choice) { candidates.append(choice) }
        }
        fallbackCandidates = candidates
    }

    /// The clock went back.
    package mutating func turnBack(by amount: UInt64) {
        waveEnd = waveEnd.earlier(by: amount)
        askedAt = askedAt.earlier(by: amount)
    }

    package var usedFallback: Bool { stage == .fallback }

    /// When to go on if no answer comes before.
    package var deadline: Timestamp { enoughAt.map { min($0, waveEnd) } ?? waveEnd }

    /// From when on what has come is enough, by the test.
    private var enoughAt: Timestamp? {
        test?.due(records).map { askedAt.adding(milliseconds: $0) }
    }

    /// Judges an answer, as ``take(_:from:now:grace:)`` wants it.
    /// - Parameter holder: whom the request was sealed to; `nil` for a server that searched on the agent's behalf.
    package mutating func read(_ answer: DirectoryMessage, from holder: NodeID?, now: Timestamp) -> Reading {
        switch answer {
        case .record(let bytes):
            if let best, bytes == bestBytes { return .record(best.record, best.body) }
            do throws(RecordError) {
                let record = try DirectoryRecord(decoding: bytes)
                guard record.blindedKey == blindedKey, record.epoch == epoch else { return .invalid }
                // Not better than what is known already: the costly checks can be left out.
                if let best, record.sequence <= best.record.sequence { return .record(best.record, best.body) }
                try record.verify(at: now)
                let body = try open(record, now)
                bestBytes = bytes
                return .record(record, body)
            } catch {
                return .invalid
            }
        case .missing: return .missing
        case .absent(let statement):
            // A server's word that it found nothing elsewhere is nobody's evidence.
            guard let holder else { return .missing }
            let server = statement.serverID
            guard Node.id(of: server) == holder,
                statement.isValid(from: server, key: blindedKey, epoch: epoch, at: now)
            else { return .invalid }
            absence.take(holder)
            return .missing
        default: return .malformed
        }
    }

    /// An answer came.
    /// - Parameter holder: as for ``read(_:from:now:)``. A holder that was asked twice counts once.
    package mutating func take(
        _ record: (record: DirectoryRecord, body: Content)?, from holder: NodeID?, now: Timestamp, grace: UInt64
    ) {
        if let holder {
            awaited.remove(holder)
            guard heard.insert(holder).inserted else { return }
        } else {
            searching = max(0, searching - 1)
        }
        answered += 1
        guard let record else {
            missing += 1
            return
        }
        records += holder == nil ? 0 : 1
        if let best, best.record.sequence >= record.record.sequence { return }
        best = record
        waveEnd = min(waveEnd, now.adding(milliseconds: grace))
    }

    /// - Parameter queueDelay: milliseconds until a request that is queued now leaves.
    package mutating func step(_ habits: LookupHabits, now: Timestamp, queueDelay: UInt64) -> Step {
        let isOld = looksOld(habits, now)
        let wanted = wantedAnswers(habits)
        let isEnough = test == nil ? answered >= wanted : enoughAt.map { now >= $0 } ?? false
        if let best, !isOld, isEnough { return .found(best.record, best.body) }
        let asksRest = isOld && stage == .waves && waiting.contains { !$0.isEmpty }
        let isWaiting = stage == .waves ? !awaited.isEmpty : searching > 0
        if isWaiting, now < waveEnd, !asksRest { return .wait }
        switch stage {
        case .waves:
            let spare = waves == 0 ? habits.spareRequests : 0
            let takesAll = isOld || test != nil
            var wave = nextWave(takesAll ? .max : max(waiting.count, wanted - answered) + spare)
            if wave.isEmpty { wave = silentHolders() }
            if !wave.isEmpty {
                if waves == 0 { askedAt = now }
                waves += 1
                // Who was too late in the last wave is not waited for any more.
                awaited = now >= waveEnd ? Set(wave) : awaited.union(wave)
                asked.formUnion(wave)
                waveEnd = now.adding(milliseconds: habits.waveTimeout + queueDelay)
                return .ask(wave)
            }
            if let best { return .found(best.record, best.body) }
            stage = .fallback
            searching = fallbackCandidates.count
            waveEnd = now.adding(milliseconds: habits.fallbackTimeout + queueDelay)
            guard !fallbackCandidates.isEmpty else { return .failed(failure) }
            return .askFallback(fallbackCandidates)
        case .fallback:
            if let best { return .found(best.record, best.body) }
            return .failed(failure)
        }
    }

    /// Answers after which a young record is believed. In a small network half of the holders are enough, which leaves some
    /// for another try, unless a greater share is awaited in a large one.
    private func wantedAnswers(_ habits: LookupHabits) -> Int {
        let share = habits.freshAnswers * holderCount / (Placement.rings * Placement.holdersPerRing)
        return min(habits.freshAnswers, max((holderCount + 1) / 2, share))
    }

    /// The holders that have not answered at all, once, unless there is a record or enough have signed that there is none:
    /// an envelope that was lost says nothing.
    private mutating func silentHolders() -> [NodeID] {
        guard best == nil, !hasRepeated, !absence.isReached else { return [] }
        hasRepeated = true
        return asked.subtracting(heard).sorted()
    }

    /// Whether the publisher, who refreshes every 8 to 12 hours, should have published again since.
    private func looksOld(_ habits: LookupHabits, _ now: Timestamp) -> Bool {
        guard let best else { return false }
        let published = sequences.seconds(of: best.record.sequence)
        return now.seconds > published && now.seconds - published >= habits.staleAge
    }

    /// A negative result is believed when enough holders have signed it.
    private var failure: LookupFailure {
        absence.isReached
            ? .notFound(asked: asked.count, missing: absence.count) : .noAnswer(asked: asked.count)
    }

    /// Holders that were not asked yet, one of each ring in turn while rings have some.
    private mutating func nextWave(_ size: Int) -> [NodeID] {
        var wave: [NodeID] = []
        while wave.count < size, waiting.contains(where: { !$0.isEmpty }) {
            for index in waiting.indices where wave.count < size {
                if let holder = waiting[index].popLast() { wave.append(holder) }
            }
        }
        return wave
    }
}

extension Lookup where Content == RecordBody {
    /// - Parameter serialFloor: records with keys of a lower serial are revoked.
    package init(
        user: BlindedID, serialFloor: UInt64 = 0, rings: [[NodeID]], directories: [NodeID], test: AnswerTest? = nil,
        now: Timestamp, entropy: inout Entropy
    ) {
        self.init(
            blindedKey: user.key, sequences: user.sequences, rings: rings, directories: directories, test: test,
            now: now, entropy: &entropy
        ) { record, now throws(RecordError) in
            let body = try record.open(by: user, at: now)
            guard body.serial >= serialFloor else { throw .revoked(serial: body.serial) }
            return body
        }
    }
}
