import CLMDB
import Glibc
import Storage

/// A data file that is written aside, synced, and takes its place as a whole: a cut leaves the old one or the new one.
final class FreshStore {
    /// The store's own table, and where it notes its origin until that is acknowledged.
    static let ownTable = Table("store")
    static let originKey = Array("origin".utf8)
    static let settledKey = Array("settled".utf8)
    private static let batch = 4096
    private static let batchBytes = 32 << 20

    private let folder: String
    private let handle: OpaquePointer
    private var transaction: OpaquePointer?
    private var tables: [Table: MDB_dbi] = [:]
    private var pending = (entries: 0, bytes: 0)
    private var doubtful: Set<[UInt8]> = []
    /// Of the first entry that could not be written.
    private var failure: StorageError?
    private var isOpen = true

    private static func asidePath(_ folder: String) -> String { folder + "/data.mdb.new" }

    /// Removes what a cut has left.
    static func sweep(_ folder: String) { unlink(asidePath(folder)) }

    /// - Parameter mapBytes: as of the environment that will open it.
    init(folder: String, mapBytes: Int) throws(StorageError) {
        self.folder = folder
        FreshStore.sweep(folder)
        var created: OpaquePointer?
        try check(mdb_env_create(&created))
        guard let created else { throw .unavailable("no memory for the environment") }
        handle = created
        try check(mdb_env_set_mapsize(created, mapBytes))
        try check(mdb_env_set_maxdbs(created, MDB_dbi(Environment.tableLimit + 1)))
        let flags = UInt32(MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC)
        try check(mdb_env_open(created, FreshStore.asidePath(folder), flags, 0o600))
    }

    deinit {
        if let transaction { mdb_txn_abort(transaction) }
        if isOpen { mdb_env_close(handle) }
        FreshStore.sweep(folder)
    }

    /// Adds an entry of which `stored` has the checksum already. Of one that comes in two versions neither is kept:
    /// which is the later one is not known.
    func add(_ table: Table, _ key: UnsafeRawBufferPointer, stored: UnsafeRawBufferPointer) {
        guard failure == nil else { return }
        do throws(StorageError) { try put(table, key, stored) } catch { failure = error }
    }

    private func put(_ table: Table, _ key: UnsafeRawBufferPointer, _ stored: UnsafeRawBufferPointer)
        throws(StorageError)
    {
        if !doubtful.isEmpty, doubtful.contains(name(table, key)) { return }
        let transaction = try begun()
        let index = try opened(table, transaction)
        var entryKey = MDB_val(mv_size: key.count, mv_data: UnsafeMutableRawPointer(mutating: key.baseAddress))
        var value = MDB_val(mv_size: stored.count, mv_data: UnsafeMutableRawPointer(mutating: stored.baseAddress))
        let status = mdb_put(transaction, index, &entryKey, &value, UInt32(MDB_NOOVERWRITE))
        if status == MDB_KEYEXIST {
            guard !UnsafeRawBufferPointer(start: value.mv_data, count: value.mv_size).elementsEqual(stored) else {
                return
            }
            try check(mdb_del(transaction, index, &entryKey, nil))
            doubtful.insert(name(table, key))
            return
        }
        try check(status)
        pending.entries += 1
        pending.bytes += stored.count
        if pending.entries >= FreshStore.batch || pending.bytes >= FreshStore.batchBytes { try commit() }
    }

    private func name(_ table: Table, _ key: UnsafeRawBufferPointer) -> [UInt8] { Array(table.name.utf8) + [0] + key }

    /// Entries of a table so far.
    func count(_ table: Table) throws(StorageError) -> UInt64 {
        if let failure { throw failure }
        guard let index = tables[table] else { return 0 }
        var stat = MDB_stat()
        try check(mdb_stat(try begun(), index, &stat))
        return UInt64(stat.ms_entries)
    }

    /// Puts the file into its place.
    /// - Parameters:
    ///   - origin: what whoever opens it is told until he acknowledges it.
    ///   - kept: the name that the file gets that was there, if one was.
    func place(_ origin: StoreOrigin, keeping kept: String?) throws(StorageError) {
        if let text = origin.text {
            let stored = EntryChecksum.sealed(FreshStore.ownTable, FreshStore.originKey, Array(text.utf8))
            FreshStore.originKey.withUnsafeBytes { key in
                stored.withUnsafeBytes { add(FreshStore.ownTable, key, stored: $0) }
            }
        }
        if let failure { throw failure }
        try commit()
        for round in UInt8(1)...2 { try settle(round) }
        try check(mdb_env_sync(handle, 1))
        mdb_env_close(handle)
        isOpen = false
        let path = folder + "/data.mdb"
        if let kept, link(path, folder + "/" + kept) != 0 { throw StorageError(system: errno) }
        guard rename(FreshStore.asidePath(folder), path) == 0 else { throw StorageError(system: errno) }
        try Directories.sync(folder)
    }

    /// As a store that was closed (``Environment/settle()``).
    private func settle(_ round: UInt8) throws(StorageError) {
        let transaction = try begun()
        let index = try opened(FreshStore.ownTable, transaction)
        let stored = EntryChecksum.sealed(FreshStore.ownTable, FreshStore.settledKey, [round])
        let status = withValue(FreshStore.settledKey) { key in
            withValue(stored) { value in mdb_put(transaction, index, &key, &value, 0) }
        }
        try check(status)
        try commit()
    }

    private func begun() throws(StorageError) -> OpaquePointer {
        if let transaction { return transaction }
        var started: OpaquePointer?
        try check(mdb_txn_begin(handle, nil, 0, &started))
        guard let started else { throw .unavailable("no memory for a transaction") }
        transaction = started
        return started
    }

    private func opened(_ table: Table, _ transaction: OpaquePointer) throws(StorageError) -> MDB_dbi {
        if let index = tables[table] { return index }
        var index: MDB_dbi = 0
        try check(mdb_dbi_open(transaction, table.name, UInt32(MDB_CREATE), &index))
        tables[table] = index
        return index
    }

    private func commit() throws(StorageError) {
        pending = (0, 0)
        guard let open = transaction else { return }
        transaction = nil
        try endTransaction(open, in: folder)
    }
}
