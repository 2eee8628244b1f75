import CLMDB
import Storage

/// A transaction: what it reads is one state, what it writes appears at once when it is committed.
///
/// Dropping it without ``commit()`` leaves nothing of it.
public struct Transaction: ~Copyable, KeyValueStore {
    private var handle: OpaquePointer?
    private let environment: Environment  // stays open while the transaction lives
    private let tables: [Table: MDB_dbi]
    private var budget: Int  // bytes that puts may still add
    private var failure: StorageError?  // of the first failed write: LMDB refuses to commit after one

    init(_ handle: OpaquePointer, environment: Environment, tables: [Table: MDB_dbi], budget: Int) {
        self.handle = handle
        self.environment = environment
        self.tables = tables
        self.budget = budget
    }

    deinit {
        if let handle { mdb_txn_abort(handle) }
    }

    /// Makes what was written durable and visible to others.
    /// - Throws: what the first failed write threw, or ``StorageError/full`` when the disk is; nothing was written then.
    ///   The same for a data file that was removed: what was written into it is of no duration.
    public consuming func commit() throws(StorageError) {
        if let failure { throw failure }
        guard let handle = handle.take() else { return }
        try endTransaction(handle, in: environment.path)
        guard environment.isInPlace else { throw .unavailable(Environment.removal) }
    }

    public func get(_ table: Table, _ key: [UInt8]) throws(StorageError) -> [UInt8]? {
        guard StorageLimits.keySizes.contains(key.count) else { return nil }
        let (handle, index) = try opened(table)
        return try Transaction.value(handle, table, index, key)
    }

    static func value(
        _ handle: OpaquePointer, _ table: Table, _ index: MDB_dbi, _ key: [UInt8]
    ) throws(StorageError) -> [UInt8]? {
        var value = MDB_val()
        let status = withValue(key) { mdb_get(handle, index, &$0, &value) }
        if status == MDB_NOTFOUND { return nil }
        try check(status)
        return try unsealed(table, key, value)
    }

    /// A copy of a value without its checksum.
    private static func unsealed(_ table: Table, _ key: [UInt8], _ value: MDB_val) throws(StorageError) -> [UInt8] {
        let stored = UnsafeRawBufferPointer(start: value.mv_data, count: value.mv_size)
        let value = key.withUnsafeBytes { EntryChecksum.opened(table, key: $0, stored: stored).map { Array($0) } }
        guard let value else { throw .corrupt("an entry of the table \(table) does not fit its checksum") }
        return value
    }

    public mutating func put(_ table: Table, _ key: [UInt8], _ value: [UInt8]) throws(StorageError) {
        guard StorageLimits.keySizes.contains(key.count), value.count <= StorageLimits.valueSize else {
            throw .invalidSize
        }
        let (handle, index) = try opened(table)
        let size = value.count + EntryChecksum.size
        // 16: node header and the slot that points to it, rounded up.
        let cost = key.count + size + 16
        guard cost <= budget else {
            failure = failure ?? .full
            throw .full
        }
        var room = MDB_val(mv_size: size, mv_data: nil)
        try note(withValue(key) { mdb_put(handle, index, &$0, &room, UInt32(MDB_RESERVE)) })
        guard let start = room.mv_data else { return try note(MDB_PANIC) }
        key.withUnsafeBytes { key in
            value.withUnsafeBytes { value in
                let stored = UnsafeMutableRawBufferPointer(start: start, count: size)
                stored.copyMemory(from: value)
                let sum = EntryChecksum.of(table, key: key, value: value).littleEndian
                withUnsafeBytes(of: sum) {
                    UnsafeMutableRawBufferPointer(rebasing: stored[value.count...]).copyMemory(from: $0)
                }
            }
        }
        budget -= cost
    }

    public mutating func delete(_ table: Table, _ key: [UInt8]) throws(StorageError) {
        guard StorageLimits.keySizes.contains(key.count) else { return }
        let (handle, index) = try opened(table)
        let status = withValue(key) { mdb_del(handle, index, &$0, nil) }
        if status != MDB_NOTFOUND { try note(status) }
    }

    public func scan(
        _ table: Table, from start: [UInt8], _ body: (_ key: [UInt8], _ value: [UInt8]) -> Bool
    ) throws(StorageError) {
        let (handle, index) = try opened(table)
        var opened: OpaquePointer?
        try check(mdb_cursor_open(handle, index, &opened))
        guard let cursor = opened else { return }
        defer { mdb_cursor_close(cursor) }
        // A key is at most 511 bytes, so for a longer start its first 511 decide, but for an entry equal to those.
        var found = MDB_val()
        var value = MDB_val()
        var status: Int32
        if start.isEmpty {
            status = mdb_cursor_get(cursor, &found, &value, MDB_FIRST)
        } else {
            status = withValue(Array(start.prefix(StorageLimits.keySizes.upperBound))) { key in
                let status = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE)
                found = key
                return status
            }
        }
        while status != MDB_NOTFOUND {
            try check(status)
            let key = Array(UnsafeRawBufferPointer(start: found.mv_data, count: found.mv_size))
            if key.count < start.count, start.starts(with: key) {
                status = mdb_cursor_get(cursor, &found, &value, MDB_NEXT)
                continue
            }
            guard body(key, try Transaction.unsealed(table, key, value)) else { return }
            status = mdb_cursor_get(cursor, &found, &value, MDB_NEXT)
        }
    }

    public func count(_ table: Table) throws(StorageError) -> Int {
        let (handle, index) = try opened(table)
        var stat = MDB_stat()
        try check(mdb_stat(handle, index, &stat))
        return stat.ms_entries
    }

    private func opened(_ table: Table) throws(StorageError) -> (OpaquePointer, MDB_dbi) {
        guard let handle else { throw .unavailable("the transaction has ended") }
        guard let index = tables[table] else { throw .unavailable("table \(table) was not opened") }
        return (handle, index)
    }

    /// Throws for `status`, and remembers it: a transaction with a failed write must not be committed.
    private mutating func note(_ status: Int32) throws(StorageError) {
        guard status != 0 else { return }
        let error = failure ?? StorageError(lmdb: status)
        failure = error
        throw error
    }
}

/// Calls `body` with `bytes` as LMDB's own kind of buffer, valid during the call.
func withValue<R>(_ bytes: [UInt8], _ body: (inout MDB_val) -> R) -> R {
    bytes.withUnsafeBytes { raw in
        // LMDB does not write through the pointer of a key or of a value that is put.
        var value = MDB_val(mv_size: raw.count, mv_data: UnsafeMutableRawPointer(mutating: raw.baseAddress))
        return body(&value)
    }
}
