import Primitives
import Wire

/// Measures how many envelopes a second other relays pass on, by loops through them (specs/relay.md, "Measuring others").
///
/// The relay that is measured, and those around it on the loops' paths, cannot tell a loop from a user's envelope, so
/// whoever wants to pass a step must serve everybody at that rate. One burst at a time, so that measuring is a bounded
/// load. A driver asks ``wake(now:)`` when ``nextWake`` has come and sends a loop through each relay that it names.
public struct CapacityProbe: Sendable {
    /// Envelopes in a burst of each step.
    public static let bursts = [4, 8, 16, 32, 64, 128]
    /// Milliseconds over which a burst's envelopes are spread, and in which, from its start, they must be back.
    static let spread = 1000
    static let patience: UInt64 = 10_000
    /// Of three envelopes of a burst two must come back: some of the other relays on the paths are dead.
    private static let needed = (2, 3)

    private struct Burst: Sendable {
        let target: Bytes32
        let end: Timestamp
        let size: Int
        /// When its envelopes leave, latest first.
        var sends: [Timestamp]
        var loops: Set<Bytes16> = []
        var returned = 0
    }

    public let epoch: UInt64
    /// When each relay's next step is tried, latest first.
    private var plan: [(due: Timestamp, target: Bytes32)]
    private var burst: Burst?
    private var failed: Set<Bytes32> = []
    /// The highest step that each relay has passed; 0 for none. Relays that no loop could be sent through are missing.
    public private(set) var results: [Bytes32: UInt8] = [:]

    /// - Parameters:
    ///   - from: the time in which to measure, so chosen that nobody foresees a burst.
    public init(epoch: UInt64, targets: [Bytes32], from: Timestamp, until: Timestamp, entropy: inout Entropy) {
        self.epoch = epoch
        let time = Int(clamping: until.milliseconds(since: from))
        var plan: [(due: Timestamp, target: Bytes32)] = []
        for target in targets {
            for _ in CapacityProbe.bursts {
                plan.append((from.adding(milliseconds: UInt64(entropy.below(max(time, 1)))), target))
            }
        }
        self.plan = plan.sorted { ($0.due, $0.target) > ($1.due, $1.target) }
    }

    public var isFinished: Bool { plan.isEmpty && burst == nil }

    /// When to call ``wake(now:entropy:)``.
    public var nextWake: Timestamp? {
        guard let burst else { return plan.last?.due }
        return burst.sends.last ?? burst.end
    }

    /// The relays through each of which a loop is to be sent now.
    public mutating func wake(now: Timestamp, entropy: inout Entropy) -> [Bytes32] {
        if let current = burst, now >= current.end { finish(current) }
        if burst == nil { start(now, &entropy) }
        var targets: [Bytes32] = []
        while let due = burst?.sends.last, due <= now, let target = burst?.target {
            burst?.sends.removeLast()
            targets.append(target)
        }
        return targets
    }

    /// A loop that ``wake(now:entropy:)`` asked for is under way.
    public mutating func sent(_ id: Bytes16) { burst?.loops.insert(id) }

    /// A loop came back.
    /// - Returns: whether it was one of these.
    public mutating func returned(_ id: Bytes16, now: Timestamp) -> Bool {
        guard burst?.loops.remove(id) != nil else { return false }
        if now < burst?.end ?? now { burst?.returned += 1 }
        return true
    }

    private mutating func start(_ now: Timestamp, _ entropy: inout Entropy) {
        while let next = plan.last, next.due <= now {
            plan.removeLast()
            let step = Int(results[next.target] ?? 0)
            guard !failed.contains(next.target), step < CapacityProbe.bursts.count else { continue }
            let size = CapacityProbe.bursts[step]
            let sends = (0..<size).map { _ in
                now.adding(milliseconds: UInt64(entropy.below(CapacityProbe.spread)))
            }
            burst = Burst(
                target: next.target, end: now.adding(milliseconds: CapacityProbe.patience), size: size,
                sends: sends.sorted(by: >))
            return
        }
    }

    private mutating func finish(_ current: Burst) {
        burst = nil
        let (part, whole) = CapacityProbe.needed
        // A burst of which nothing could be sent says nothing about the relay.
        guard current.returned + current.loops.count > 0 else {
            failed.insert(current.target)
            return
        }
        let passed = current.returned * whole >= current.size * part
        results[current.target, default: 0] += passed ? 1 : 0
        if !passed { failed.insert(current.target) }
    }
}
