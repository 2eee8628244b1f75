import NIOCore

/// How fast a link may send frames: the generic cell rate algorithm, a token bucket in two numbers (ITU-T I.371).
///
/// A link that is ahead of its pace is not read until it has fallen back to it, so the other end's socket fills and
/// nothing is lost. Map messages do not count: the map has budgets of its own.
public struct FramePace: Sendable {
    private let interval: TimeAmount
    private let tolerance: TimeAmount
    /// When the frames so far would have come, had they come at the pace.
    private var schedule: NIODeadline = .uptimeNanoseconds(0)

    /// - Parameters:
    ///   - perSecond: frames a second in the long run.
    ///   - burst: frames that may come at once after a pause.
    public init(perSecond: Double, burst: Int) {
        interval = .nanoseconds(Int64(1e9 / max(perSecond, 0.001)))
        tolerance = interval * max(burst, 1)
    }

    /// Notes a frame that has come.
    mutating func take(_ now: NIODeadline) { schedule = max(schedule, now) + interval }

    /// Until when the next frame is to wait; in the past when it need not.
    var next: NIODeadline { schedule + interval - tolerance }

    /// A good moment to read on, so that a fast link is woken for some frames at a time.
    var resume: NIODeadline { next + interval * 4 }
}
