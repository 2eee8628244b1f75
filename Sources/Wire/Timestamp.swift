/// A moment: milliseconds since 1970-01-01 UTC, handed into cores by whoever drives them.
public struct Timestamp: Comparable, Hashable, Sendable {
    public var milliseconds: UInt64

    public init(milliseconds: UInt64) { self.milliseconds = milliseconds }
    /// The moment so many seconds after 1970, saturating: a hostile expiry must not wrap around to an early one.
    public init(seconds: UInt64) {
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1000)
        milliseconds = overflow ? .max : product
    }

    /// Whole seconds since 1970.
    public var seconds: UInt64 { milliseconds / 1000 }
    /// The network's epoch: days since 1970 (design section 5: 24 h).
    public var epoch: UInt64 { seconds / Timestamp.secondsPerEpoch }

    public static let secondsPerEpoch: UInt64 = 86_400

    /// This moment plus `milliseconds`, saturating.
    public func adding(milliseconds extra: UInt64) -> Timestamp {
        let (sum, overflow) = milliseconds.addingReportingOverflow(extra)
        return Timestamp(milliseconds: overflow ? .max : sum)
    }

    public func adding(seconds extra: UInt64) -> Timestamp {
        let (product, overflow) = extra.multipliedReportingOverflow(by: 1000)
        return adding(milliseconds: overflow ? .max : product)
    }

    /// Milliseconds since `earlier`; 0 when `earlier` is later.
    public func milliseconds(since earlier: Timestamp) -> UInt64 {
        milliseconds > earlier.milliseconds ? milliseconds - earlier.milliseconds : 0
    }

    public static func < (left: Timestamp, right: Timestamp) -> Bool { left.milliseconds < right.milliseconds }
}
