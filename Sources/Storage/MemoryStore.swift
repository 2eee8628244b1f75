/// A store in memory, for tests and simulations; it can be told to be full.
public struct MemoryStore: KeyValueStore, Sendable {
    private var tables: [Table: [[UInt8]: [UInt8]]] = [:]
    /// Whether every write fails with ``StorageError/full``.
    public var isFull = false

    public init() {}

    public func get(_ table: Table, _ key: [UInt8]) throws(StorageError) -> [UInt8]? { tables[table]?[key] }

    public mutating func put(_ table: Table, _ key: [UInt8], _ value: [UInt8]) throws(StorageError) {
        guard (1...511).contains(key.count) else { throw .invalidSize }
        guard !isFull else { throw .full }
        tables[table, default: [:]][key] = value
    }

    public mutating func delete(_ table: Table, _ key: [UInt8]) throws(StorageError) {
        tables[table]?[key] = nil
    }

    public func scan(
        _ table: Table, from start: [UInt8], _ body: (_ key: [UInt8], _ value: [UInt8]) -> Bool
    ) throws(StorageError) {
        let entries = (tables[table] ?? [:]).filter { !$0.key.lexicographicallyPrecedes(start) }
        for (key, value) in entries.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            guard body(key, value) else { return }
        }
    }

    public func count(_ table: Table) throws(StorageError) -> Int { tables[table]?.count ?? 0 }
}
