/// A protocol core that is handed the time with each event, and says when it wants to be woken (specs/overview.md, "Clocks").
public protocol TimedCore: ~Copyable {
    /// What the core makes of the times that it was handed.
    var clock: ClockWatch { get }

    /// When there is something to do; `nil` when nothing waits for a moment.
    var nextWake: Timestamp? { get }
}

extension TimedCore where Self: ~Copyable {
    /// Whether the core has been handed a later time: it is to be woken then, although nothing is due.
    public func isAhead(of now: Timestamp) -> Bool { clock.isAhead(of: now) }

    /// Whether the core is to be woken: something is due, or the clock went back.
    public func isDue(_ now: Timestamp) -> Bool { isAhead(of: now) || nextWake.map { $0 <= now } ?? false }
}
