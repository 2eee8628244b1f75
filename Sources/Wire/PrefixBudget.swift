/// Tokens that come back at a constant rate; holds one second's worth.
public struct TokenBucket: Sendable {
    private var tokens: Double
    fileprivate private(set) var filled: Timestamp

    /// A full bucket.
    public init(rate: Int, now: Timestamp) {
        tokens = Double(rate)
        filled = now
    }

    /// Takes a token; false when there is none.
    public mutating func take(rate: Int, _ now: Timestamp) -> Bool {
        tokens = min(Double(rate), tokens + Double(rate) * Double(now.milliseconds(since: filled)) / 1000)
        filled = max(filled, now)
        guard tokens >= 1 else { return false }
        tokens -= 1
        return true
    }
}

/// What each address prefix may cause in a second, so that a flood from one takes nothing from the others.
public struct PrefixBudget: Sendable {
    /// Prefixes that are counted one by one; further ones share a bucket.
    public static let limit = 1024
    private static let shared: UInt64 = .max
    /// Milliseconds in which every bucket is full again.
    private static let memory: UInt64 = 1000

    private var buckets: [UInt64: TokenBucket] = [:]
    /// When prefixes were last forgotten.
    private var forgotten: Timestamp?

    public init() {}

    /// - Parameter prefix: a number for the prefix, such as ``SocketAddress/prefixKey`` or ``SocketAddress/siteKey``.
    public mutating func admit(_ prefix: UInt64, rate: Int, _ now: Timestamp) -> Bool {
        if buckets[prefix] == nil, buckets.count >= PrefixBudget.limit { forget(now) }
        let isCounted = buckets[prefix] != nil || buckets.count < PrefixBudget.limit
        let key = isCounted ? prefix : PrefixBudget.shared
        return buckets[key, default: TokenBucket(rate: rate, now: now)].take(rate: rate, now)
    }

    /// Forgets whose bucket is full again; not for each request of a flood from ever new prefixes.
    private mutating func forget(_ now: Timestamp) {
        if let forgotten, now.milliseconds(since: forgotten) < PrefixBudget.memory { return }
        forgotten = now
        buckets = buckets.filter { now.milliseconds(since: $0.value.filled) < PrefixBudget.memory }
    }
}
