/// How many holders a ``Lookup`` asks, and how patient it is. Times are in milliseconds.
public struct LookupHabits: Sendable {
    /// How long a wave of requests may take.
    public var waveTimeout: UInt64 = 3000
    /// How long the rest of a wave is waited for after the first valid record.
    public var waveGrace: UInt64 = 1500
    /// Holders that must have answered before a young record is believed. Of eight, all lie together in one lookup of
    /// 15,000 when three servers in ten do.
    public var freshAnswers = 8
    /// Holders asked in the first wave beside those whose answers are awaited, so that the slowest need not be. Whoever
    /// answers first is then believed first: with as many spare requests, ``freshAnswers`` must grow (specs/directory.md,
    /// "Direct lookups").
    public var spareRequests = 0
    /// A record of this age in seconds ought to have a successor, for publishers refresh every 8 to 12 hours: all holders
    /// are asked for it.
    public var staleAge: UInt64 = 12 * 3600
    /// How long the fallback lookup may take.
    public var fallbackTimeout: UInt64 = 8000

    public init() {}

    /// Those of a ``DirectLookup``: all holders are asked at once, and fifteen answers taken where nothing is known of
    /// how long answers take.
    package static var direct: LookupHabits {
        var habits = LookupHabits()
        habits.freshAnswers = 15
        habits.spareRequests = 5
        // A little more than the longest round trip of the world.
        habits.waveTimeout = 400
        // Nobody is left to be asked instead of the slow ones.
        habits.waveGrace = habits.waveTimeout
        return habits
    }
}

/// Why a ``Lookup`` found no record.
package enum LookupFailure: Error, Equatable, Sendable {
    /// Nobody publishes it: so many holders were asked, so many have signed that they have no record.
    case notFound(asked: Int, missing: Int)
    /// Too few holders answered.
    case noAnswer(asked: Int)
}
