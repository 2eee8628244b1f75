/// How long a peer takes to answer, and how long to wait for it: RFC 6298 in milliseconds, two bytes a value.
///
/// Deviation: the shortest wait is ``shortest``, not one second, for an answer that comes late costs one more call and
/// no congestion.
struct RoundTrip: Sendable {
    /// The wait for a peer that never answered (RFC 6298 section 2.1).
    static let first: UInt64 = 1000
    static let shortest: UInt64 = 200
    static let longest: UInt64 = 4000

    /// The patience of a search for a record: at least and at most.
    static let leastPatience: UInt64 = 50
    static let mostPatience: UInt64 = 500

    private var smoothed: UInt16 = 0
    private var variation: UInt16 = 0
    private var doublings: UInt8 = 0

    /// Section 2.2 and 2.3: α = 1/8, β = 1/4. An answer ends the back-off.
    mutating func measured(_ milliseconds: UInt64) {
        let sample = Int(min(max(milliseconds, 1), RoundTrip.longest))
        doublings = 0
        guard smoothed > 0 else {
            smoothed = UInt16(sample)
            variation = UInt16(sample / 2)
            return
        }
        let last = Int(smoothed)
        variation = UInt16((3 * Int(variation) + abs(last - sample)) / 4)
        smoothed = UInt16(max(1, (7 * last + sample) / 8))
    }

    /// Section 5.5: doubled after a call that was not answered.
    mutating func backOff() { doublings = min(doublings + 1, 4) }

    /// Milliseconds to wait for the next answer.
    var timeout: UInt64 {
        let base = smoothed == 0 ? RoundTrip.first : UInt64(smoothed) + 4 * UInt64(max(variation, 1))
        return min(max(base, RoundTrip.shortest) << UInt64(doublings), RoundTrip.longest)
    }

    /// Milliseconds after which a search for a record asks somebody else meanwhile: that costs one more call, and waiting
    /// costs time. A peer that was silent is not given longer.
    var patience: UInt64 { patience(variations: 2) }

    /// The same for a peer that never answered, if this is what all peers together take.
    var strangersPatience: UInt64 { patience(variations: 1) }

    private func patience(variations: UInt64) -> UInt64 {
        let base = smoothed == 0 ? RoundTrip.mostPatience : UInt64(smoothed) + variations * UInt64(variation)
        return min(max(base, RoundTrip.leastPatience), RoundTrip.mostPatience)
    }
}
