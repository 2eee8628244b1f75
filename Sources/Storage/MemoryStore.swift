/// A store in memory, for tests and simulations; it can be told to be full.
public struct MemoryStore: KeyValueStore, Sendable {
    private var tables: [Table: SortedTable<[UInt8]>] = [:]
    /// Whether every write fails with ``StorageError/full``.
    public var isFull = false

    public init() {}

    public func get(_ table: Table, _ key: [UInt8]) throws(StorageError) -> [UInt8]? { tables[table]?.get(key) }

    public mutating func put(_ table: Table, _ key: [UInt8], _ value: [UInt8]) throws(StorageError) {
        guard StorageLimits.keySizes.contains(key.count) else { throw .invalidSize }
        guard !isFull else { throw .full }
        tables[table, default: SortedTable()].set(key, value)
    }

    public mutating func delete(_ table: Table, _ key: [UInt8]) throws(StorageError) {
        tables[table]?.set(key, nil)
    }

    public func scan(
        _ table: Table, from start: [UInt8], _ body: (_ key: [UInt8], _ value: [UInt8]) -> Bool
    ) throws(StorageError) {
        tables[table]?.scan(from: start, body)
    }

    public func count(_ table: Table) throws(StorageError) -> Int { tables[table]?.count ?? 0 }
}
