import Storage

/// A store in memory whose disk fails as disks do: it forgets what was not synced, tears the last write, and is full
/// for a while.
///
/// Writes belong to a transaction until ``commit()``. Committed transactions are visible at once and survive a crash
/// of the process; only ``sync()`` makes them survive a loss of power, as with LMDB under `MDB_NOSYNC`.
struct FaultyStore: KeyValueStore {
    /// What is left of the disk after the process has stopped.
    enum Crash: String, CaseIterable, Sendable {
        /// The process ended: all that was committed is there.
        case process
        /// Power failed: what was not synced is gone.
        case power
        /// Power failed during the last sync: of the transactions not synced some are there, from the first one on.
        case torn
        /// As ``torn``, and a bit of what was written last is wrong: a disk that lies. LMDB does not notice; cores must.
        case corrupted
    }

    private struct Undo {
        let table: Table
        let key: [UInt8]
        let old: [UInt8]?
    }

    private var tables: [Table: SortedTable<[UInt8]>] = [:]
    /// What undoes the open transaction, and those committed since the last sync, in order of the writes.
    private var open: [Undo] = []
    private var unsynced: [[Undo]] = []
    /// Whether the store has as much as it may: puts fail with ``StorageError/full``. It keeps room for deleting.
    var isFull = false
    /// Whether the disk has no room left: deleting fails too, for LMDB copies a page before it frees one.
    var isDiskFull = false
    /// Bytes of keys and values.
    private(set) var bytes = 0

    /// Transactions that a loss of power would undo.
    var unsyncedCount: Int { unsynced.count }

    // MARK: Transactions

    mutating func commit() {
        if !open.isEmpty { unsynced.append(open) }
        open = []
    }

    mutating func sync() { unsynced = [] }

    /// Gives up the open transaction.
    mutating func rollback() {
        undo(open)
        open = []
    }

    /// - Parameter draw: a number below its argument, for ``Crash/torn`` and ``Crash/corrupted``.
    mutating func crash(_ crash: Crash, _ draw: (Int) -> Int) {
        rollback()
        if crash != .process {
            let kept = crash == .power ? 0 : draw(unsynced.count + 1)
            let writes = unsynced.joined().reversed()
            for transaction in unsynced.dropFirst(kept).reversed() { undo(transaction) }
            let last = writes.first { tables[$0.table]?.get($0.key)?.isEmpty == false }
            if crash == .corrupted, let last { corrupt(last.table, last.key, draw) }
        }
        unsynced = []
    }

    /// Changes a bit of a value.
    mutating func corrupt(_ table: Table, _ key: [UInt8], _ draw: (Int) -> Int) {
        guard var value = tables[table]?.get(key), !value.isEmpty else { return }
        value[draw(value.count)] ^= 1 << UInt8(draw(8))
        set(table, key, value)
    }

    private mutating func undo(_ writes: [Undo]) {
        for write in writes.reversed() { set(write.table, write.key, write.old) }
    }

    @discardableResult
    private mutating func set(_ table: Table, _ key: [UInt8], _ value: [UInt8]?) -> [UInt8]? {
        let old = tables[table, default: SortedTable()].set(key, value)
        bytes += value.map { key.count + $0.count } ?? 0
        bytes -= old.map { key.count + $0.count } ?? 0
        return old
    }

    // MARK: KeyValueStore

    func get(_ table: Table, _ key: [UInt8]) throws(StorageError) -> [UInt8]? { tables[table]?.get(key) }

    mutating func put(_ table: Table, _ key: [UInt8], _ value: [UInt8]) throws(StorageError) {
        guard (1...511).contains(key.count), value.count <= 64 << 20 else { throw .invalidSize }
        guard !isFull, !isDiskFull else { throw .full }
        open.append(Undo(table: table, key: key, old: set(table, key, value)))
    }

    mutating func delete(_ table: Table, _ key: [UInt8]) throws(StorageError) {
        if isDiskFull, tables[table]?.get(key) != nil { throw .full }
        guard let old = set(table, key, nil) else { return }
        open.append(Undo(table: table, key: key, old: old))
    }

    func scan(
        _ table: Table, from start: [UInt8], _ body: (_ key: [UInt8], _ value: [UInt8]) -> Bool
    ) throws(StorageError) {
        tables[table]?.scan(from: start, body)
    }

    func count(_ table: Table) throws(StorageError) -> Int { tables[table]?.count ?? 0 }
}
