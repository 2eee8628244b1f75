import Primitives
import Records
import Wire

/// One resolution of a network ID: waves of requests to the record's holders, then the iterative fallback
/// (specs/correspondence.md, "Lookup").
struct Lookup: Sendable {
    enum Stage: Sendable {
        case waves
        case fallback
    }

    /// What to ask next.
    enum Step: Sendable {
        case ask([NodeID])
        case askFallback([NodeID])
        case wait
        case found(DirectoryRecord, RecordBody)
        case failed(AgentError)
    }

    /// Servers that are asked to search on the agent's behalf when no holder has the record.
    static let fallbackServers = 2

    let id: NetworkID
    let epoch: UInt64
    let blindedKey: VerifyingKey
    let started: Timestamp
    var requests: [UInt64] = []
    private var waiting: [[NodeID]]
    private var fallbackCandidates: [NodeID]
    private(set) var stage = Stage.waves
    private(set) var asked: Set<NodeID> = []
    private(set) var answered = 0
    private(set) var missing = 0
    private(set) var waves = 0
    private var outstanding = 0
    private(set) var deadline: Timestamp
    private var best: (record: DirectoryRecord, body: RecordBody)?

    /// - Parameters:
    ///   - rings: the holders by ring; a wave asks one of each.
    ///   - directories: all directory servers, for the fallback.
    init(
        id: NetworkID, blindedKey: VerifyingKey, rings: [[NodeID]], directories: [NodeID], now: Timestamp,
        entropy: inout Entropy
    ) {
        self.id = id
        self.blindedKey = blindedKey
        epoch = now.epoch
        started = now
        deadline = now
        waiting = rings.map { ring in
            var order = ring
            entropy.shuffle(&order)
            return order
        }
        entropy.shuffle(&waiting)
        var candidates = directories
        entropy.shuffle(&candidates)
        fallbackCandidates = Array(candidates.prefix(Lookup.fallbackServers))
    }

    var usedFallback: Bool { stage == .fallback }

    /// An answer came.
    mutating func take(_ record: (record: DirectoryRecord, body: RecordBody)?, now: Timestamp, grace: UInt64) {
        answered += 1
        outstanding = max(0, outstanding - 1)
        guard let record else {
            missing += 1
            return
        }
        if let best, best.record.sequence >= record.record.sequence { return }
        best = record
        deadline = min(deadline, now.adding(milliseconds: grace))
    }

    /// - Parameter queueDelay: milliseconds until a request that is queued now leaves.
    mutating func step(_ configuration: AgentConfiguration, now: Timestamp, queueDelay: UInt64) -> Step {
        if outstanding > 0, now < deadline { return .wait }
        if let best { return .found(best.record, best.body) }
        switch stage {
        case .waves:
            let wave = nextWave()
            if !wave.isEmpty {
                waves += 1
                asked.formUnion(wave)
                outstanding = wave.count
                deadline = now.adding(milliseconds: configuration.waveTimeout + queueDelay)
                return .ask(wave)
            }
            stage = .fallback
            outstanding = fallbackCandidates.count
            deadline = now.adding(milliseconds: configuration.fallbackTimeout + queueDelay)
            guard !fallbackCandidates.isEmpty else { return .failed(failure) }
            return .askFallback(fallbackCandidates)
        case .fallback:
            return .failed(failure)
        }
    }

    /// A negative result is believed when half of those asked say so (ten of twenty).
    private var failure: AgentError {
        missing * 2 >= asked.count && missing > 0
            ? .notFound(asked: asked.count, missing: missing) : .noAnswer(asked: asked.count)
    }

    /// One holder of each ring that was not asked yet; where rings are empty, another of those that are not.
    private mutating func nextWave() -> [NodeID] {
        var wave: [NodeID] = []
        while wave.count < waiting.count, waiting.contains(where: { !$0.isEmpty }) {
            for index in waiting.indices where wave.count < waiting.count {
                if let holder = waiting[index].popLast() { wave.append(holder) }
            }
        }
        return wave
    }
}
