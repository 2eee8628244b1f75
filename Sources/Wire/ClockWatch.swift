/// Notices that the clock whose time a core is handed leapt ahead, or went back (specs/overview.md, "Clocks").
///
/// What a core plans by a clock that is a day ahead would wait for a day once the clock is right again, and what is kept for
/// some time would be over at once: so a core plans anew when the clock goes back, and forgets nothing for a while
/// after it leapt.
public struct ClockWatch: Sendable {
    /// Milliseconds that a clock may go back without more coming of it than that things happen so much later.
    public static let step: UInt64 = 60_000
    /// Milliseconds from one event to the next of which a running server has none.
    public static let leap: UInt64 = 7_200_000
    /// Milliseconds after a leap in which nothing is forgotten for being old.
    public static let trial: UInt64 = 900_000

    /// The latest time that was handed in, since the clock last went back.
    public private(set) var latest: Timestamp?
    private var leapt: Timestamp?

    /// - Parameter now: the time at the start; without it, that of the first event.
    public init(_ now: Timestamp? = nil) { latest = now }

    /// Whether a core has been handed a later time: it is to be woken then, although nothing is due.
    public func isAhead(of now: Timestamp) -> Bool { (latest ?? now).milliseconds(since: now) > ClockWatch.step }

    /// Looks at the time of an event.
    /// - Returns: by how much the clock went back, if it did.
    public mutating func turned(to now: Timestamp) -> UInt64? {
        let latest = latest ?? now
        let amount = latest.milliseconds(since: now)
        if now.milliseconds(since: latest) > ClockWatch.leap { leapt = now }
        guard amount > ClockWatch.step else {
            self.latest = max(latest, now)
            return nil
        }
        self.latest = now
        leapt = nil
        return amount
    }

    /// Whether the clock leapt a while ago, and may yet go back.
    public func isOnTrial(_ now: Timestamp) -> Bool {
        leapt.map { now.milliseconds(since: $0) < ClockWatch.trial } ?? false
    }
}

extension Timestamp {
    /// So much earlier, not before 1970.
    public func earlier(by amount: UInt64) -> Timestamp {
        Timestamp(milliseconds: milliseconds > amount ? milliseconds - amount : 0)
    }
}
