import Primitives

/// Small numbers for keys that tables name many times: a key is kept once, and its number is free for another when
/// nobody uses it any more.
struct KeyNumbers: Sendable {
    private var keys: [VerifyingKey] = []
    /// How often each is used.
    private var uses: [UInt32] = []
    private var free: [UInt32] = []
    /// Numbers by the hash of their keys, with linear probing; at most three quarters are full. The hash is seeded at
    /// random in each process, so nobody can choose keys that lie together.
    private var slots = [UInt32](repeating: KeyNumbers.empty, count: 16)
    private static let empty = UInt32.max

    /// Above every number in use.
    var limit: Int { keys.count }
    private var count: Int { keys.count - free.count }

    func key(_ number: UInt32) -> VerifyingKey { keys[Int(number)] }

    subscript(key: VerifyingKey) -> UInt32? {
        let number = slots[slot(of: key)]
        return number == KeyNumbers.empty ? nil : number
    }

    /// The number of a key, which counts as used once more.
    mutating func retain(_ key: VerifyingKey) -> UInt32 {
        let found = slot(of: key)
        if slots[found] != KeyNumbers.empty {
            uses[Int(slots[found])] += 1
            return slots[found]
        }
        let number = take(key)
        slots[found] = number
        if 4 * count > 3 * slots.count { grow() }
        return number
    }

    /// Takes one use of a number back.
    mutating func release(_ number: UInt32) {
        uses[Int(number)] -= 1
        guard uses[Int(number)] == 0 else { return }
        clear(slot(of: keys[Int(number)]))
        free.append(number)
    }

    private mutating func take(_ key: VerifyingKey) -> UInt32 {
        if let number = free.popLast() {
            keys[Int(number)] = key
            uses[Int(number)] = 1
            return number
        }
        keys.reserveOneMore()
        uses.reserveOneMore()
        keys.append(key)
        uses.append(1)
        return UInt32(truncatingIfNeeded: keys.count - 1)
    }

    // MARK: Slots

    private func home(_ key: VerifyingKey) -> Int { key.hashValue & (slots.count - 1) }

    /// Where the number of a key stands, or the empty slot where it would.
    private func slot(of key: VerifyingKey) -> Int {
        var slot = home(key)
        while slots[slot] != KeyNumbers.empty, keys[Int(slots[slot])] != key { slot = (slot + 1) & (slots.count - 1) }
        return slot
    }

    private mutating func grow() {
        let old = slots
        slots = [UInt32](repeating: KeyNumbers.empty, count: 2 * old.count)
        for number in old where number != KeyNumbers.empty { slots[slot(of: keys[Int(number)])] = number }
    }

    /// Empties a slot, and moves those that had been put behind it for want of their own (Knuth, volume 3, 6.4, R).
    private mutating func clear(_ slot: Int) {
        let mask = slots.count - 1
        var hole = slot
        var next = (hole + 1) & mask
        while slots[next] != KeyNumbers.empty {
            let wanted = home(keys[Int(slots[next])])
            if (next - wanted) & mask >= (next - hole) & mask {
                slots[hole] = slots[next]
                hole = next
            }
            next = (next + 1) & mask
        }
        slots[hole] = KeyNumbers.empty
    }
}
