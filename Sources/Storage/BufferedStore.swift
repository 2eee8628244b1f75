/// A store as it will be when all writes of two buffers are in it: `sealed`, which is on its way to the disk or has
/// arrived there meanwhile, and `open`, which takes new writes. The store below is only read.
public struct BufferedStore<Base: KeyValueStore & ~Copyable>: KeyValueStore, ~Copyable {
    private let base: Base
    private let sealed: WriteBuffer
    private var open: WriteBuffer

    public init(_ base: consuming Base, sealed: WriteBuffer, open: consuming WriteBuffer) {
        self.base = base
        self.sealed = sealed
        self.open = open
    }

    /// Writes so far into the open buffer.
    public var operations: Int { open.operations }

    /// Ends the reading, and gives the open buffer back.
    public consuming func finish() -> WriteBuffer { open }

    public func get(_ table: Table, _ key: [UInt8]) throws(StorageError) -> [UInt8]? {
        if let write = open.write(table, key) ?? sealed.write(table, key) { return write.value }
        return try base.get(table, key)
    }

    public mutating func put(_ table: Table, _ key: [UInt8], _ value: [UInt8]) throws(StorageError) {
        guard StorageLimits.keySizes.contains(key.count), value.count <= StorageLimits.valueSize else {
            throw .invalidSize
        }
        open.note(table, key, .put(value))
    }

    public mutating func delete(_ table: Table, _ key: [UInt8]) throws(StorageError) {
        // What is not there needs no write, which would have to be waited for.
        guard try get(table, key) != nil else { return }
        open.note(table, key, .delete)
    }

    public func scan(
        _ table: Table, from start: [UInt8], _ body: (_ key: [UInt8], _ value: [UInt8]) -> Bool
    ) throws(StorageError) {
        let writes = writes(table, from: start)
        guard !writes.isEmpty else { return try base.scan(table, from: start, body) }
        var next = 0
        var isOver = false
        /// Visits what was written below `limit`; false when the visitor has enough.
        func visit(below limit: [UInt8]?) -> Bool {
            while next < writes.count, limit.map({ writes[next].key.lexicographicallyPrecedes($0) }) ?? true {
                let (key, write) = writes[next]
                next += 1
                if let value = write.value, !body(key, value) {
                    isOver = true
                    return false
                }
            }
            return true
        }
        try base.scan(table, from: start) { key, value in
            guard visit(below: key) else { return false }
            // The write of this key is visited in its place, before the next key or at the end.
            if next < writes.count, writes[next].key == key { return true }
            isOver = !body(key, value)
            return !isOver
        }
        if !isOver { _ = visit(below: nil) }
    }

    public func count(_ table: Table) throws(StorageError) -> Int {
        var count = try base.count(table)
        // The sealed writes may be in the store below already, so each key is looked up there.
        for (key, write) in writes(table, from: []) {
            let isBelow = try base.get(table, key) != nil
            if case .put = write { count += isBelow ? 0 : 1 } else { count -= isBelow ? 1 : 0 }
        }
        return count
    }

    /// The writes of both buffers from a key on, in ascending order; of one key the open one.
    private func writes(_ table: Table, from start: [UInt8]) -> [(key: [UInt8], write: WriteBuffer.Write)] {
        let older = sealed.writes(table, from: start)
        let newer = open.writes(table, from: start)
        if older.isEmpty { return newer }
        if newer.isEmpty { return older }
        var merged: [(key: [UInt8], write: WriteBuffer.Write)] = []
        merged.reserveCapacity(older.count + newer.count)
        var place = 0
        for item in newer {
            while place < older.count, older[place].key.lexicographicallyPrecedes(item.key) {
                merged.append(older[place])
                place += 1
            }
            if place < older.count, older[place].key == item.key { place += 1 }
            merged.append(item)
        }
        return merged + older[place...]
    }
}
