import Wire

/// What a ``DatagramEndpoint`` saw since it was made.
public struct DatagramCounters: CounterSet {
    public static let family = "datagram"
    public static let names = ["cookiesSent": "datagram.cookies"]

    /// Datagrams of no known type, size or inner layout.
    public var malformed: UInt64 = 0
    /// A MAC or tag did not fit.
    public var unauthenticated: UInt64 = 0
    /// Counters seen before, or behind the window.
    public var replayed: UInt64 = 0
    /// First messages that arrived again, and requests that did.
    public var duplicates: UInt64 = 0
    /// First messages whose clock differs too much from ours.
    public var expired: UInt64 = 0
    /// Datagrams and answers for a session or call that is not there.
    public var unknown: UInt64 = 0
    /// Cookie replies sent.
    public var cookiesSent: UInt64 = 0
    /// Cookie replies received and obeyed.
    public var cookiesRequired: UInt64 = 0
    /// First messages dropped at the hard limit of all, in spite of a cookie.
    public var overloaded: UInt64 = 0
    /// First messages dropped at the limit of their address prefix, in spite of a cookie.
    public var overPrefix: UInt64 = 0
    /// Handshakes that this side answered.
    public var handshakes: UInt64 = 0
    /// Handshakes that this side began.
    public var handshakesBegun: UInt64 = 0
    /// Datagrams sent again because no answer came.
    public var retransmissions: UInt64 = 0
    /// Calls that failed.
    public var failures: UInt64 = 0
    /// Sessions, requests or handshakes that made room for newer ones.
    public var evicted: UInt64 = 0

    public init() {}
}
