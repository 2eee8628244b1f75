import Primitives
import Wire

/// Peers that have proven who they are and found no place in the routing table: for a while they are not asked again,
/// whenever they speak. Without it every question of one server is another's occasion to ask, and so on without an end.
struct KnownStrangers: Sendable {
    /// Peers in one of the two generations.
    static let limit = 1024
    /// Milliseconds after which the older generation is forgotten.
    static let interval: UInt64 = 600_000

    private var young: Set<UInt64> = []
    private var old: Set<UInt64> = []
    private var since = Timestamp(milliseconds: 0)

    mutating func insert(_ endpoint: Endpoint, _ now: Timestamp) {
        turn(now)
        if young.count >= KnownStrangers.limit {
            old = young
            young = []
        }
        young.insert(KnownStrangers.word(endpoint))
    }

    mutating func contains(_ endpoint: Endpoint, _ now: Timestamp) -> Bool {
        turn(now)
        let word = KnownStrangers.word(endpoint)
        return young.contains(word) || old.contains(word)
    }

    private mutating func turn(_ now: Timestamp) {
        let age = now.milliseconds(since: since)
        guard age >= KnownStrangers.interval else { return }
        old = age < 2 * KnownStrangers.interval ? young : []
        young = []
        since = now
    }

    /// Eight bytes of a proven key: two of one beginning cost whoever makes them a long search, and gain him silence.
    private static func word(_ endpoint: Endpoint) -> UInt64 { endpoint.linkKey.bytes.leadingWord }
}
