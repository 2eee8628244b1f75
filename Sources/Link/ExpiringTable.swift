import Wire

/// A first-in first-out queue whose removal at the front costs constant time on average.
struct Fifo<Element: Sendable>: Sendable {
    private var items: [Element] = []
    private var head = 0

    var first: Element? { head < items.count ? items[head] : nil }
    var count: Int { items.count - head }

    mutating func append(_ item: Element) { items.append(item) }

    mutating func removeFirst() {
        guard head < items.count else { return }
        head += 1
        if head >= 64, head * 2 > items.count {
            items.removeFirst(head)
            head = 0
        }
    }

    mutating func keep(where isKept: (Element) -> Bool) {
        items = items[head...].filter(isKept)
        head = 0
    }
}

/// A dictionary of bounded size whose entries expire; when full, the oldest makes room.
///
/// Expiries should not decrease from one insertion to the next, which a constant lifetime ensures: an entry expires
/// no earlier than those inserted before it.
struct ExpiringTable<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private struct Entry: Sendable {
        let serial: UInt64
        var value: Value
    }
    private struct Slot: Sendable {
        let key: Key
        let serial: UInt64
        let expiry: Timestamp
    }

    let capacity: Int
    private var entries: [Key: Entry] = [:]
    private var order = Fifo<Slot>()
    private var serial: UInt64 = 0

    init(capacity: Int) { self.capacity = capacity }

    var count: Int { entries.count }
    var keys: [Key] { Array(entries.keys) }
    /// When ``removeExpired(at:)`` has work; possibly too early, never too late.
    var nextExpiry: Timestamp? { order.first?.expiry }

    subscript(_ key: Key) -> Value? { entries[key]?.value }

    /// Changes the value in place; `nil` when there is none.
    mutating func update<R>(_ key: Key, _ body: (inout Value) -> R) -> R? {
        guard let index = entries.index(forKey: key) else { return nil }
        return body(&entries.values[index].value)
    }

    /// - Returns: the oldest entry, when it had to make room.
    mutating func insert(_ key: Key, _ value: Value, expiry: Timestamp) -> (key: Key, value: Value)? {
        var evicted: (key: Key, value: Value)?
        if entries[key] == nil, entries.count >= capacity { evicted = removeOldest() }
        serial += 1
        entries[key] = Entry(serial: serial, value: value)
        order.append(Slot(key: key, serial: serial, expiry: expiry))
        if order.count > 2 * capacity { order.keep { entries[$0.key]?.serial == $0.serial } }
        return evicted
    }

    @discardableResult
    mutating func remove(_ key: Key) -> Value? { entries.removeValue(forKey: key)?.value }

    /// Removes and returns what expired.
    mutating func removeExpired(at now: Timestamp) -> [(key: Key, value: Value)] {
        var expired: [(key: Key, value: Value)] = []
        while let slot = order.first, slot.expiry <= now {
            order.removeFirst()
            guard let entry = entries[slot.key], entry.serial == slot.serial else { continue }
            entries[slot.key] = nil
            expired.append((slot.key, entry.value))
        }
        return expired
    }

    private mutating func removeOldest() -> (key: Key, value: Value)? {
        while let slot = order.first {
            order.removeFirst()
            guard let entry = entries[slot.key], entry.serial == slot.serial else { continue }
            entries[slot.key] = nil
            return (slot.key, entry.value)
        }
        return nil
    }
}
