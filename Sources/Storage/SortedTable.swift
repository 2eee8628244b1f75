import Glibc

/// A table in memory: entries in ascending order of their keys.
package struct SortedTable<Value: Sendable>: Sendable {
    private var keys: [[UInt8]] = []
    private var values: [Value] = []

    package init() {}

    package var count: Int { keys.count }

    /// The first place whose key is not below `key`.
    private func place(_ key: [UInt8]) -> Int {
        var low = 0
        var high = keys.count
        while low < high {
            let middle = (low + high) / 2
            if SortedTable.precedes(keys[middle], key) { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private static func precedes(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        left.withUnsafeBytes { left in
            right.withUnsafeBytes { right in
                guard let first = left.baseAddress, let second = right.baseAddress else {
                    return left.count < right.count
                }
                let order = memcmp(first, second, min(left.count, right.count))
                return order == 0 ? left.count < right.count : order < 0
            }
        }
    }

    package func get(_ key: [UInt8]) -> Value? {
        let place = place(key)
        return place < keys.count && keys[place] == key ? values[place] : nil
    }

    /// Sets or, with `nil`, removes a value.
    /// - Returns: the value before.
    @discardableResult
    package mutating func set(_ key: [UInt8], _ value: Value?) -> Value? {
        let place = place(key)
        guard place < keys.count, keys[place] == key else {
            if let value {
                keys.insert(key, at: place)
                values.insert(value, at: place)
            }
            return nil
        }
        let old = values[place]
        if let value {
            values[place] = value
        } else {
            keys.remove(at: place)
            values.remove(at: place)
        }
        return old
    }

    package func scan(from start: [UInt8], _ body: (_ key: [UInt8], _ value: Value) -> Bool) {
        for place in place(start)..<keys.count {
            guard body(keys[place], values[place]) else { return }
        }
    }
}
