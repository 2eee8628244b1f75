import Directory
import Primitives
import Records
import Storage
import Wire

/// The shared random values that an agent knows, and the sample of clusters that it asks for one
/// (specs/correspondence.md, "Shared random value").
///
/// Each question goes to a server of another cluster in its own envelope, so no gateway can tell it from any other
/// request, or answer it.
struct SharedKnowledge: Sendable {
    /// Seconds into an epoch after which the next one's value is asked for, before records of it are published.
    private static let nextDue: UInt64 = 20 * 3600 + 900
    /// Questions of all agents are spread over so many seconds.
    private static let spread = 1800
    /// Seconds until a question that came to nothing is asked again: for today, and for tomorrow.
    private static let retry: UInt64 = 60
    private static let nextRetry: UInt64 = 600
    private static let key = Array("shared".utf8)

    private(set) var values: [UInt64: SharedValue] = [:]
    /// Epochs of which nobody could tell a value: the stand-in serves until somebody can.
    private(set) var provisional: Set<UInt64> = []
    private var sample: (epoch: UInt64, clusters: SharedSample<SharedValue?>)?
    private var deadline: Timestamp
    /// When an epoch is asked for again.
    private var nextTry: [UInt64: Timestamp] = [:]
    private var jitter: (epoch: UInt64, seconds: UInt64)?

    init(_ now: Timestamp, _ store: borrowing some (KeyValueStore & ~Copyable)) throws(StorageError) {
        deadline = now
        guard let bytes = try store.get(AgentCore.state, SharedKnowledge.key) else { return }
        do throws(WireError) {
            var reader = Reader(bytes)
            while reader.remaining > 0 {
                let epoch = try reader.uint64()
                guard epoch < SharedRandom.epochLimit else { throw WireError.outOfRange(field: "epoch") }
                values[epoch] = try SharedValue(decoding: try reader.bytes(SharedValue.encodedSize))
            }
        } catch { throw .corrupt("the shared random values: \(error)") }
    }

    private func save(_ store: inout some (KeyValueStore & ~Copyable)) throws(StorageError) {
        var writer = Writer(capacity: 128)
        for (epoch, value) in values.sorted(by: { $0.key < $1.key }) {
            writer.uint64(epoch)
            writer.append(value.encode())
        }
        try store.put(AgentCore.state, SharedKnowledge.key, writer.bytes)
    }

    /// The clock went back.
    mutating func turnBack(to now: Timestamp) {
        deadline = min(deadline, now)
        nextTry = [:]
    }

    /// Whether records of an epoch can be placed.
    func isReady(_ epoch: UInt64) -> Bool { values[epoch] != nil || provisional.contains(epoch) }

    /// When there is something to do: an answer is late, or a question due.
    func nextWake(after now: Timestamp) -> Timestamp? {
        if sample != nil { return deadline }
        var due: [Timestamp] = []
        if values[now.epoch] == nil { due.append(nextTry[now.epoch] ?? now) }
        if values[now.epoch + 1] == nil, let next = nextDue(now) {
            due.append(max(next, nextTry[now.epoch + 1] ?? next))
        }
        return due.min()
    }

    /// When the next epoch's value is asked for; `nil` before the first ``step(clusters:wait:now:entropy:)`` of today.
    private func nextDue(_ now: Timestamp) -> Timestamp? {
        guard let jitter, jitter.epoch == now.epoch else { return nil }
        let start = Timestamp(seconds: now.epoch * Timestamp.secondsPerEpoch)
        return start.adding(seconds: SharedKnowledge.nextDue + jitter.seconds)
    }

    /// Begins a question that is due, and continues one.
    /// - Parameters:
    ///   - clusters: the directory servers of each cluster.
    ///   - wait: milliseconds until whoever is asked now should have answered.
    /// - Returns: whom to ask, and of which epoch.
    mutating func step(
        clusters: () -> [VerifyingKey: [NodeID]], wait: UInt64, now: Timestamp, entropy: inout Entropy
    ) -> (epoch: UInt64, servers: [NodeID])? {
        if jitter?.epoch != now.epoch {
            jitter = (now.epoch, UInt64(entropy.below(SharedKnowledge.spread)))
            provisional = provisional.filter { $0 >= now.epoch }
            nextTry = nextTry.filter { $0.key >= now.epoch }
        }
        if sample == nil, let epoch = wanted(now) {
            sample = (epoch, SharedSample(clusters: clusters(), entropy: &entropy))
            deadline = now
        }
        guard var current = sample else { return nil }
        if now >= deadline { current.clusters.giveUp() }
        let servers = current.clusters.next()
        if !servers.isEmpty { deadline = now.adding(milliseconds: wait) }
        sample = current
        return (current.epoch, servers)
    }

    private func wanted(_ now: Timestamp) -> UInt64? {
        let isDue = { (epoch: UInt64) in values[epoch] == nil && now >= nextTry[epoch] ?? now }
        if isDue(now.epoch) { return now.epoch }
        guard isDue(now.epoch + 1), let due = nextDue(now), now >= due else { return nil }
        return now.epoch + 1
    }

    /// - Parameter answer: `nil` for one that says nothing, as of a server that does not know this question.
    mutating func answered(_ epoch: UInt64, by server: NodeID, _ answer: SharedAnswer?) {
        guard sample?.epoch == epoch else { return }
        sample?.clusters.answered(server, answer?.epoch == epoch ? answer?.value : nil)
    }

    /// What became of an epoch's question.
    enum Outcome: Equatable {
        case none
        /// Its value is known.
        case known(epoch: UInt64, SharedValue)
        /// Its value is not known and the stand-in serves until it is.
        case unknown(epoch: UInt64)
    }

    /// Ends the question when the answers suffice, or nobody is left.
    mutating func conclude(
        _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Outcome {
        guard let current = sample else { return .none }
        switch current.clusters.verdict {
        case .open: return .none
        case .decided(let value?):
            sample = nil
            values = values.filter { $0.key + 1 >= now.epoch }
            values[current.epoch] = value
            try save(&store)
            return .known(epoch: current.epoch, value)
        case .decided(nil), .split:
            sample = nil
            let wait = current.epoch > now.epoch ? SharedKnowledge.nextRetry : SharedKnowledge.retry
            nextTry[current.epoch] = now.adding(seconds: wait)
            provisional.insert(current.epoch)
            return .unknown(epoch: current.epoch)
        }
    }
}
