/// Which counters of a session were received: all below the window count as received. Spec: specs/link.md, section 6.
struct ReplayWindow: Sendable {
    /// Counters that may arrive late, out of order.
    static let size: UInt64 = 2048

    // Bit `counter % size` of a ring; bits of counters that left the window are cleared as it moves.
    private var ring = [UInt64](repeating: 0, count: Int(size / 64))
    /// One more than the highest counter received; 0 when none was.
    private var end: UInt64 = 0

    /// Whether a message with this counter may still be accepted.
    func admits(_ counter: UInt64) -> Bool {
        guard counter < .max else { return false }
        if counter >= end { return true }
        guard end - counter <= ReplayWindow.size else { return false }
        return ring[Int(counter % ReplayWindow.size / 64)] & (1 << (counter % 64)) == 0
    }

    /// Marks an authenticated counter that ``admits(_:)`` let pass.
    mutating func insert(_ counter: UInt64) {
        guard admits(counter) else { return }
        if counter >= end {
            if counter - end >= ReplayWindow.size {
                for word in ring.indices { ring[word] = 0 }
            } else {
                for passed in end...counter { clear(passed) }
            }
            end = counter + 1
        }
        ring[Int(counter % ReplayWindow.size / 64)] |= 1 << (counter % 64)
    }

    private mutating func clear(_ counter: UInt64) {
        ring[Int(counter % ReplayWindow.size / 64)] &= ~(1 << (counter % 64))
    }
}
