/// Writes that are not on disk yet: the last one of each key.
public struct WriteBuffer: Sendable {
    enum Write: Sendable {
        case put([UInt8])
        case delete

        var value: [UInt8]? {
            if case .put(let value) = self { value } else { nil }
        }
    }

    private var tables: [Table: SortedTable<Write>] = [:]
    /// Puts and deletes, also those that a later one of the same key has replaced.
    public private(set) var operations = 0
    /// Bytes of the keys and values put, also of those replaced.
    public private(set) var bytes = 0

    public init() {}

    public var isEmpty: Bool { operations == 0 }

    /// Brings all of it into a store, in ascending order of the keys.
    public func apply(to store: inout some (KeyValueStore & ~Copyable)) throws(StorageError) {
        for (table, writes) in tables {
            var failure: StorageError?
            writes.scan(from: []) { key, write in
                do throws(StorageError) {
                    switch write {
                    case .put(let value): try store.put(table, key, value)
                    case .delete: try store.delete(table, key)
                    }
                } catch { failure = error }
                return failure == nil
            }
            if let failure { throw failure }
        }
    }

    mutating func note(_ table: Table, _ key: [UInt8], _ write: Write) {
        tables[table, default: SortedTable()].set(key, write)
        operations += 1
        bytes += key.count + (write.value?.count ?? 0)
    }

    func write(_ table: Table, _ key: [UInt8]) -> Write? {
        isEmpty ? nil : tables[table]?.get(key)
    }

    /// Its writes to a table from a key on, in ascending order.
    func writes(_ table: Table, from start: [UInt8]) -> [(key: [UInt8], write: Write)] {
        guard let writes = tables[table] else { return [] }
        var found: [(key: [UInt8], write: Write)] = []
        writes.scan(from: start) { key, write in
            found.append((key, write))
            return true
        }
        return found
    }
}
