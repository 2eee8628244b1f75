/// Sizes of an endpoint's tables, and rates. What exceeds them is refused, or the oldest entry makes room.
public struct DatagramBounds: Equatable, Sendable {
    /// Sessions kept, about 600 bytes each; the oldest makes room.
    public var sessions = 4096
    /// Calls that wait for their answer, at most; further ones fail at once.
    public var calls = 4096
    /// Requests of others kept for repetition, with their answers; the oldest makes room.
    public var requests = 4096
    /// First messages remembered, with their responses, about 1.5 kB each; the oldest makes room.
    ///
    /// Of more than this many in ``initiationKept``, a recorded one can be accepted twice.
    public var handshakes = 8192
    /// Handshakes per second beyond which initiators must show a cookie.
    public var handshakesPerSecond = 100
    /// Handshakes per second beyond which all are dropped.
    public var handshakesPerSecondAtMost = 1000
    /// Of these, handshakes per second from one IPv4 /24 or IPv6 /48 beyond which its initiators must show a cookie.
    public var prefixHandshakesPerSecond = 20
    /// Handshakes per second with a cookie from one such prefix beyond which its others are dropped.
    public var prefixHandshakesPerSecondAtMost = 100

    /// Milliseconds in which a session serves new calls.
    static let sessionUsed: UInt64 = 600_000
    /// Milliseconds after which a session is erased: late requests and answers of the peer still get through.
    static let sessionKept: UInt64 = 630_000
    /// Milliseconds by which an initiator's clock may differ from ours.
    static let clockDifference: UInt64 = 60_000
    /// Milliseconds for which a first message is remembered: as long as any clock lets it pass.
    static let initiationKept: UInt64 = 2 * clockDifference
    /// Milliseconds for which a request is known again: a caller gives up well before.
    static let requestKept: UInt64 = 30_000
    /// Milliseconds by which a quiet endpoint forgets later than that.
    static let expiryDelay: UInt64 = 1000

    public init() {}
}
