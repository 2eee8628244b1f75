import Wire

/// Lines of one kind that the log takes: so many within a minute. Others decide how often a link breaks or a cluster
/// shows up, and they are not to fill the disk.
struct LogRation {
    /// Lines of one kind within a minute.
    static let limit = 30

    private struct Count {
        var minute: UInt64
        var lines = 0
        var omitted = 0
    }

    private var counts: [String: Count] = [:]

    /// - Parameter kind: one of few that the program names.
    /// - Returns: how many lines of the kind were left out since the last one; `nil` when this one is to be left out.
    mutating func take(_ kind: String, _ now: Timestamp) -> Int? {
        let minute = now.seconds / 60
        var count = counts[kind] ?? Count(minute: minute)
        defer { counts[kind] = count }
        if count.minute != minute { count = Count(minute: minute, omitted: count.omitted) }
        guard count.lines < LogRation.limit else {
            count.omitted += 1
            return nil
        }
        count.lines += 1
        defer { count.omitted = 0 }
        return count.omitted
    }
}
