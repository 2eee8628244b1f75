import Storage

/// A store with the habits of a disk under a transactional engine: what is not committed is lost in a crash, whole and
/// never in part, and a write may find no space.
struct FaultyStore: KeyValueStore, Sendable {
    /// What is on disk, with the changes of the open transaction.
    private var memory = MemoryStore()
    /// The values before the open transaction, latest last.
    private var undo: [(table: Table, key: [UInt8], value: [UInt8]?)] = []
    /// The values before the latest committed writes.
    private var committed: [(table: Table, key: [UInt8], value: [UInt8]?)] = []
    private static let remembered = 100
    /// Whether every write fails with ``StorageError/full``.
    var isFull = false
    /// Writes that still find space; `nil` for any number.
    var writesLeft: Int?

    func get(_ table: Table, _ key: [UInt8]) throws(StorageError) -> [UInt8]? { try memory.get(table, key) }

    mutating func put(_ table: Table, _ key: [UInt8], _ value: [UInt8]) throws(StorageError) {
        guard !isFull else { throw .full }
        if let left = writesLeft {
            guard left > 0 else { throw .full }
            writesLeft = left - 1
        }
        let before = try memory.get(table, key)
        try memory.put(table, key, value)
        undo.append((table, key, before))
    }

    mutating func delete(_ table: Table, _ key: [UInt8]) throws(StorageError) {
        guard let before = try memory.get(table, key) else { return }
        try memory.delete(table, key)
        undo.append((table, key, before))
    }

    func scan(
        _ table: Table, from start: [UInt8], _ body: (_ key: [UInt8], _ value: [UInt8]) -> Bool
    ) throws(StorageError) {
        try memory.scan(table, from: start, body)
    }

    func count(_ table: Table) throws(StorageError) -> Int { try memory.count(table) }

    /// Makes the open transaction durable.
    mutating func commit() {
        committed += undo
        if committed.count > 2 * FaultyStore.remembered {
            committed.removeFirst(committed.count - FaultyStore.remembered)
        }
        undo.removeAll(keepingCapacity: true)
    }

    /// Undoes the latest committed writes too, as a disk does that lies about its cache.
    mutating func loseCommitted() throws(StorageError) {
        try rollBack()
        undo = committed
        committed = []
        try rollBack()
    }

    /// Undoes the open transaction, as a crash or a failed write does.
    mutating func rollBack() throws(StorageError) {
        while let (table, key, value) = undo.popLast() {
            if let value { try memory.put(table, key, value) } else { try memory.delete(table, key) }
        }
    }
}
