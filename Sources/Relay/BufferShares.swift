/// Divides a buffer with a bounded number of places among those who fill it, so that none of them takes the others'
/// places: the dynamic threshold of Choudhury and Hahne ("Dynamic queue length thresholds for shared-memory packet
/// switches", IEEE/ACM Transactions on Networking 6, 1998).
///
/// A holder gets a further place while it holds less than a fraction of the places that are *free*. One holder alone
/// can therefore use a good part of an idle buffer, and `n` holders that take all they can get at the same time leave
/// places free. Holders that come one after another leave fewer, `(1 - fraction)^n` of all, until the first of them give
/// places back; so the fraction follows from how many hostile holders are to be borne, and places are held for a bounded
/// time.
public struct BufferShares<Holder: Hashable & Sendable>: Sendable {
    /// Places in all.
    public let capacity: Int
    /// Places taken.
    public private(set) var used = 0
    /// Only holders of at least one place are here, so it is never larger than ``used``.
    private var places: [Holder: Int] = [:]

    public init(capacity: Int) { self.capacity = max(0, capacity) }

    public var isFull: Bool { used >= capacity }

    /// Those who hold places, in no order.
    public var holders: some Collection<Holder> { places.keys }

    public func count(of holder: Holder) -> Int { places[holder] ?? 0 }

    /// How many places a holder may have now.
    /// - Parameter divisor: the fraction of the free places is one by this number.
    public func threshold(divisor: Int) -> Int { (capacity - used + divisor - 1) / max(1, divisor) }

    /// Takes a place; false when `holder` has its share, or the buffer is full.
    public mutating func take(for holder: Holder, divisor: Int) -> Bool {
        let count = places[holder] ?? 0
        guard count < threshold(divisor: divisor) else { return false }
        places[holder] = count + 1
        used += 1
        return true
    }

    /// Gives places back that were taken.
    public mutating func release(_ count: Int = 1, of holder: Holder) {
        guard count > 0, let held = places[holder] else { return }
        let released = min(count, held)
        used -= released
        places[holder] = held > released ? held - released : nil
    }
}
