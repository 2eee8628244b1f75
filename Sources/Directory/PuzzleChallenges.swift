import Primitives
import Wire

/// A holder's challenges: the same for all publishers, so that it remembers nothing of any, and drawn anew so often that
/// no puzzle can be solved long ahead. As with the cookies of UDP links (specs/link.md, section 5) the last one still
/// counts.
struct PuzzleChallenges: Sendable {
    /// Milliseconds of a period, in which one challenge is handed out; in the next one it is still accepted.
    static let period: UInt64 = 120_000

    private var number: UInt64 = 0
    private var current: Bytes16?
    private var previous: Bytes16?

    /// The challenge to hand out, drawn when the period's first puzzle is demanded.
    mutating func challenge(_ now: Timestamp, _ entropy: inout Entropy) -> Bytes16 {
        advance(to: now)
        if let current { return current }
        let drawn = entropy.bytes(Bytes16.self)
        current = drawn
        return drawn
    }

    mutating func accepts(_ challenge: Bytes16, _ now: Timestamp) -> Bool {
        advance(to: now)
        return challenge == current || challenge == previous
    }

    private mutating func advance(to now: Timestamp) {
        let period = now.milliseconds / PuzzleChallenges.period
        guard period > number else { return }
        previous = period == number + 1 ? current : nil
        current = nil
        number = period
    }
}
