import Wire

/// Failures of one kind that follow each other, told of once: since when, and why the last one was.
struct FailureRun: Sendable {
    private(set) var since: Timestamp?
    private(set) var reason = ""

    /// - Returns: whether it is the first of them.
    mutating func failed(_ reason: String, _ now: Timestamp) -> Bool {
        self.reason = reason
        guard since == nil else { return false }
        since = now
        return true
    }

    /// It went well.
    /// - Returns: for how many seconds it had not, if so.
    mutating func ended(_ now: Timestamp) -> UInt64? {
        defer { since = nil }
        return since.map { now.milliseconds(since: $0) / 1000 }
    }

    /// For the operator.
    func trouble(_ now: Timestamp) -> NodeStatus.Trouble? {
        since.map { .init(seconds: now.milliseconds(since: $0) / 1000, reason: reason) }
    }
}
