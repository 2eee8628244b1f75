import Primitives

/// The tags of every envelope accepted in one epoch (specs/relay.md, "Replay filter").
///
/// An open-addressing table of 64-bit keyed hashes, at most half full. A fresh envelope is mistaken for a replay with
/// probability `count / 2^64`: below 2^-37 at the default limit.
struct ReplayFilter: Sendable {
    private var slots: [UInt64]
    private(set) var count = 0
    private let hash: SipHash
    private let limit: Int

    enum Verdict {
        case fresh
        case replay
        case full
    }

    /// - Parameter limit: the most tags; 16 bytes each.
    init(limit: Int, _ entropy: inout Entropy) {
        slots = [UInt64](repeating: 0, count: 1024)
        hash = SipHash(&entropy)
        self.limit = limit
    }

    mutating func insert(_ tag: Bytes16) -> Verdict {
        let value = max(1, hash.hash(tag))
        var index = slot(of: value)
        while slots[index] != 0 {
            if slots[index] == value { return .replay }
            index = (index + 1) & (slots.count - 1)
        }
        guard count < limit else { return .full }
        slots[index] = value
        count += 1
        if count * 2 > slots.count { grow() }
        return .fresh
    }

    @inline(__always)
    private func slot(of value: UInt64) -> Int {
        Int(truncatingIfNeeded: value >> 32 ^ value) & (slots.count - 1)
    }

    private mutating func grow() {
        let old = slots
        slots = [UInt64](repeating: 0, count: old.count * 2)
        for value in old where value != 0 {
            var index = slot(of: value)
            while slots[index] != 0 { index = (index + 1) & (slots.count - 1) }
            slots[index] = value
        }
    }
}
