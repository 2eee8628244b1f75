import Wire

/// How far the own clock is from those of the servers that an agent has links with (specs/map.md, "Version 2").
///
/// Nothing is decided by it: a server may lie. It tells the user why nothing works.
public struct ClockVoices: Sendable {
    /// Servers whose word is kept, the latest.
    static let limit = 8
    /// Seconds by which clocks may differ without harm (specs/overview.md, "Clocks").
    public static let tolerance: Int64 = 600

    private var ahead: [Int64] = []

    /// - Parameter clock: what the server's shows.
    mutating func note(_ clock: Timestamp, _ now: Timestamp) {
        if ahead.count >= ClockVoices.limit { ahead.removeFirst() }
        ahead.append(Int64(clamping: now.seconds) - Int64(clamping: clock.seconds))
    }

    /// Seconds by which the own clock is ahead of the servers', or behind where it is negative; `nil` while it is as near
    /// as clocks need be, as the middle one of them says.
    public var deviation: Int64? {
        guard !ahead.isEmpty else { return nil }
        let middle = ahead.sorted()[(ahead.count - 1) / 2]
        return abs(middle) > ClockVoices.tolerance ? middle : nil
    }
}
