import Wire

/// What a server says of itself and its store has not taken yet: it is published again soon, the same bytes, so that a
/// full disk at midnight does not leave a server without the day's mix keys on the map until the next midnight.
///
/// The driver publishes what ``take(_:)`` gives with ``MapCore/publish(_:now:store:)`` and calls ``settle(_:)`` when it is
/// on disk; whether a try was refused or lost on its way makes no difference.
public struct Publications: Sendable {
    public enum Subject: Int, CaseIterable, Sendable {
        case cluster
        case server
    }

    /// Milliseconds between two tries.
    public static let retry: UInt64 = 10_000

    private var waiting = [[UInt8]?](repeating: nil, count: Subject.allCases.count)
    /// When what waits is due; `nil` when nothing does.
    public private(set) var due: Timestamp?

    public init() {}

    public var count: Int { waiting.count { $0 != nil } }

    /// A new descriptor, due at once, in place of an older one of the same subject that still waits.
    public mutating func add(_ descriptor: [UInt8], of subject: Subject, now: Timestamp) {
        waiting[subject.rawValue] = descriptor
        due = now
    }

    /// What is to be published now, the cluster's first; it is due again a while later.
    public mutating func take(_ now: Timestamp) -> [[UInt8]] {
        guard isDue(now) else { return [] }
        due = now.adding(milliseconds: Publications.retry)
        return waiting.compactMap(\.self)
    }

    /// Whether something is due, or waits for a moment of a clock that has gone back.
    public func isDue(_ now: Timestamp) -> Bool {
        due.map { $0 <= now || $0.milliseconds(since: now) > Publications.retry } ?? false
    }

    /// The descriptor is on disk, or the map will never take it.
    public mutating func settle(_ descriptor: [UInt8]) {
        waiting = waiting.map { $0 == descriptor ? nil : $0 }
        if count == 0 { due = nil }
    }
}
