import CLMDB
import Glibc
import Storage
import Synchronization

/// An LMDB environment: one directory of ordered tables, many readers and one writer at a time, of one process.
///
/// All of the file is read and checked before LMDB maps it; what is left of a damaged one takes its place
/// (``origin``). A committed transaction survives a killed process, and the loss of power unless `noSync` was given. Open a directory
/// once: a second opener, in this process or another, is refused.
public final class Environment: Sendable {
    /// The bytes that puts may use; what deletes need while the store is full comes on top.
    public let mapSize: Int

    /// The most tables of one environment.
    public static let tableLimit: UInt32 = 32

    // LMDB guards the environment with its own locks, so the pointer may cross threads.
    nonisolated(unsafe) private let handle: OpaquePointer
    private let tables: [Table: MDB_dbi]
    private let lock: DirectoryLock?
    let path: String
    /// Whether the file says that nothing was written after what is in it (``settle()``).
    private let isSettled = Mutex(true)
    /// Whether the store is new or was salvaged, until ``acknowledgeOrigin()``.
    public let origin: StoreOrigin

    /// Opens the environment in the directory `path`.
    ///
    /// - Parameters:
    ///   - path: made with mode 0700, with its parents, when missing.
    ///   - mapSize: bytes that puts may use, rounded up to whole pages.
    ///   - tables: at most ``tableLimit``; missing ones are made.
    ///   - noSync: leaves it to the system when a commit reaches the disk: faster, and a power failure can destroy all.
    ///   - creates: whether a store that is missing or empty is made, or an error.
    ///   - refuses: whether a store of which nothing is left is an error, or replaced by an empty one.
    /// - Throws: ``StorageError/unavailable(_:)`` when the directory cannot be used or is in use,
    ///   ``StorageError/corrupt(_:)`` when nothing of the file in it can be read.
    public convenience init(
        path: String, mapSize: Int, tables: [Table], noSync: Bool = false, creates: Bool = true, refuses: Bool = true
    ) throws(StorageError) {
        try self.init(
            path: path, mapSize: mapSize, tables: tables, noSync: noSync, preparing: (creates, refuses))
    }

    /// Opens a store that another process has now, to be read as that one's commits leave it. What it begins with is
    /// checked here too: the other process may not have come so far.
    ///
    /// Writes fail. Not for a store that this process has open.
    public convenience init(readingBeside path: String, mapSize: Int, tables: [Table]) throws(StorageError) {
        try self.init(path: path, mapSize: mapSize, tables: tables, noSync: false, preparing: nil)
    }

    /// - Parameter preparing: whether a missing store is made and a lost one refused; `nil` to change nothing.
    private init(
        path: String, mapSize: Int, tables: [Table], noSync: Bool, preparing: (creates: Bool, refuses: Bool)?
    ) throws(StorageError) {
        guard tables.count <= Int(Environment.tableLimit) else { throw .unavailable("too many tables") }
        self.path = path
        if preparing != nil { try Directories.make(path) }
        lock = try preparing == nil ? nil : DirectoryLock(path: path)
        let page = max(4096, sysconf(Int32(_SC_PAGESIZE)))
        let size = Environment.roundedUp(max(mapSize, 16 * page), to: page)
        // A delete copies pages before it frees any, so a store filled to the brim could never be emptied.
        let reserve = Environment.roundedUp(max(size / 8, 64 * page), to: page)
        self.mapSize = size
        if let preparing {
            try StoreFile(folder: path, mapBytes: size + reserve, tables: tables).prepare(
                creates: preparing.creates, refuses: preparing.refuses)
        }
        var created: OpaquePointer?
        try check(mdb_env_create(&created))
        guard let handle = created else { throw .unavailable("no memory for the environment") }
        do throws(StorageError) {
            try check(mdb_env_set_mapsize(handle, size + reserve))
            // One more for the store's own.
            try check(mdb_env_set_maxdbs(handle, MDB_dbi(Environment.tableLimit + 1)))
            if preparing != nil { try Environment.reserveLockFile(handle, path) }
            let flags =
                UInt32(MDB_NOTLS) | (noSync ? UInt32(MDB_NOSYNC) : 0) | (preparing == nil ? UInt32(MDB_RDONLY) : 0)
            try check(mdb_env_open(handle, path, flags, 0o600))
            if preparing == nil {
                try Environment.verify(handle, StoreFile(folder: path, mapBytes: size + reserve, tables: tables))
            }
            try Environment.coverMap(handle, growing: preparing != nil)
            // Slots of readers whose process was killed would keep old pages from being used again.
            var dead: Int32 = 0
            try check(mdb_reader_check(handle, &dead))
            let own = preparing == nil ? [] : [FreshStore.ownTable]
            self.tables = try Environment.open(tables + own, in: handle, making: preparing != nil)
            origin = try Environment.origin(handle, self.tables)
        } catch {
            mdb_env_close(handle)
            throw error
        }
        self.handle = handle
    }

    deinit {
        settle()
        mdb_env_close(handle)
    }

    /// Removes a store that nobody has open, whatever it is; its directory stays.
    /// - Parameter isDisposable: asked when nobody else can open it any more.
    /// - Returns: whether it was to be removed.
    public static func discard(path: String, if isDisposable: () -> Bool) throws(StorageError) -> Bool {
        let lock = try DirectoryLock(path: path)
        defer { withExtendedLifetime(lock) {} }
        guard isDisposable() else { return false }
        for name in ["data.mdb", "lock.mdb", "data.mdb.new"] where unlink(path + "/" + name) != 0 && errno != ENOENT {
            throw StorageError(system: errno)
        }
        try Directories.sync(path)
        return true
    }

    /// What is wrong with a store that nobody has open: it is read and stays as it is, also when it is damaged.
    public static func inspect(path: String, mapSize: Int, tables: [Table]) throws(StorageError) -> [String] {
        let lock = try DirectoryLock(path: path)
        defer { withExtendedLifetime(lock) {} }
        return try StoreFile(folder: path, mapBytes: mapSize + mapSize / 8, tables: tables).inspect()
    }

    static let removal = "its data file was removed or replaced while it was in use"

    /// Whether the data file is still the one that has its name in the directory. When it is not, somebody has removed
    /// or replaced it: what is written then is gone when the process ends.
    public var isInPlace: Bool {
        var descriptor: Int32 = -1
        return mdb_env_get_fd(handle, &descriptor) == 0
            && Directories.isName(path + "/data.mdb", of: descriptor)
    }

    /// Notes that whoever opened the store has done what ``origin`` asks of him: the next one finds it as left.
    public func acknowledgeOrigin() throws(StorageError) {
        guard origin != .asLeft else { return }
        try write { (transaction: inout Transaction) throws(StorageError) in
            try transaction.delete(FreshStore.ownTable, FreshStore.originKey)
        }
    }

    /// Runs `body` in a write transaction, then commits; when `body` throws, nothing of it remains.
    ///
    /// Waits for the writer before it. Must not be nested.
    /// - Throws: ``StorageError/full`` when ``mapSize`` or the disk is used up.
    public func write<R>(_ body: (inout Transaction) throws(StorageError) -> R) throws(StorageError) -> R {
        var transaction = try begin()
        let result = try body(&transaction)
        try transaction.commit()
        return result
    }

    /// Runs `body` on the state of the last commit; writes in it fail.
    public func read<R>(_ body: (inout Transaction) throws(StorageError) -> R) throws(StorageError) -> R {
        var transaction = try beginReading()
        return try body(&transaction)
    }

    /// A write transaction; dropped without ``Transaction/commit()`` it leaves nothing.
    ///
    /// It belongs to the thread that began it: commit or drop it there. Others that begin one wait until then.
    public func begin() throws(StorageError) -> Transaction {
        try unsettle()
        let started = try Environment.begin(handle, flags: 0)
        // Counted only now that nobody else can write.
        return Transaction(started, environment: self, tables: tables, budget: mapSize - usedBytes)
    }

    /// Notes, twice, that nothing more comes: then both meta pages lead to all that was written, and either may be lost.
    /// A later write takes the note back first. Called at the end; without it, as when the process is killed, what was
    /// written last is lost with its meta page, and whoever opens the store is told that it may be.
    public func settle() {
        isSettled.withLock { isSettled in
            guard !isSettled, let index = tables[FreshStore.ownTable] else { return }
            for round in UInt8(1)...2 {
                // A full disk: the store is as without it.
                guard (try? Environment.note(round, handle, index)) != nil else { return }
            }
            isSettled = true
        }
    }

    /// In a transaction of its own: with the data of the next one it could be lost together.
    private func unsettle() throws(StorageError) {
        guard let index = tables[FreshStore.ownTable] else { return }
        try isSettled.withLock { isSettled throws(StorageError) in
            guard isSettled else { return }
            try Environment.note(nil, handle, index)
            isSettled = false
        }
    }

    /// Writes or, with `nil`, deletes the note of ``settle()``.
    private static func note(_ round: UInt8?, _ handle: OpaquePointer, _ index: MDB_dbi) throws(StorageError) {
        let transaction = try begin(handle, flags: 0)
        let stored = round.map { EntryChecksum.sealed(FreshStore.ownTable, FreshStore.settledKey, [$0]) }
        let status = withValue(FreshStore.settledKey) { key -> Int32 in
            guard let stored else { return mdb_del(transaction, index, &key, nil) }
            return withValue(stored) { value in mdb_put(transaction, index, &key, &value, 0) }
        }
        guard status == 0 else {
            mdb_txn_abort(transaction)
            if status == MDB_NOTFOUND { return }
            throw StorageError(lmdb: status)
        }
        try check(mdb_txn_commit(transaction))
    }

    /// A read transaction on the state of the last commit; it may move between threads.
    ///
    /// While it lives no page freed after it is used again, so keep it short.
    public func beginReading() throws(StorageError) -> Transaction {
        let started = try Environment.begin(handle, flags: UInt32(MDB_RDONLY))
        return Transaction(started, environment: self, tables: tables, budget: 0)
    }

    /// Whether a process has the directory `path` for itself now.
    public static func isInUse(_ path: String) -> Bool { DirectoryLock.isHeld(path: path) }

    /// Bytes in pages that hold data. Compare with ``mapSize`` to refuse work before the store is full.
    public var usedBytes: Int {
        var info = MDB_envinfo()
        var stat = MDB_stat()
        guard mdb_env_info(handle, &info) == 0, mdb_env_stat(handle, &stat) == 0 else { return mapSize }
        let pages = info.me_last_pgno + 1 - min(freePages, info.me_last_pgno)
        return pages * Int(stat.ms_psize)
    }

    /// Takes disk space for the table of readers, which LMDB maps as a sparse file: on a full disk the first touch of it
    /// would otherwise end the process with SIGBUS.
    private static func reserveLockFile(_ handle: OpaquePointer, _ path: String) throws(StorageError) {
        var readers: UInt32 = 0
        try check(mdb_env_get_maxreaders(handle, &readers))
        let file = Glibc.open(path + "/lock.mdb", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw StorageError(system: errno) }
        defer { Glibc.close(file) }
        // A cache line a reader, and a page for the head.
        let status = posix_fallocate(file, 0, off_t(readers) * 64 + 4096)
        guard status == 0 else { throw StorageError(system: status) }
    }

    /// Pages on LMDB's free list, which is its table 0: each value starts with a count of pages.
    private var freePages: Int {
        guard let transaction = try? Environment.begin(handle, flags: UInt32(MDB_RDONLY)) else { return 0 }
        defer { mdb_txn_abort(transaction) }
        var opened: OpaquePointer?
        guard mdb_cursor_open(transaction, 0, &opened) == 0, let cursor = opened else { return 0 }
        defer { mdb_cursor_close(cursor) }
        var pages = 0
        var key = MDB_val()
        var value = MDB_val()
        while mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0 {
            guard let data = value.mv_data, value.mv_size >= MemoryLayout<Int>.size else { continue }
            pages += data.loadUnaligned(as: Int.self)
        }
        return pages
    }

    private static func begin(_ handle: OpaquePointer, flags: UInt32) throws(StorageError) -> OpaquePointer {
        var started: OpaquePointer?
        try check(mdb_txn_begin(handle, nil, flags, &started))
        guard let started else { throw .unavailable("no memory for a transaction") }
        return started
    }

    private static func open(
        _ tables: [Table], in handle: OpaquePointer, making: Bool
    ) throws(StorageError) -> [Table: MDB_dbi] {
        let transaction = try begin(handle, flags: making ? 0 : UInt32(MDB_RDONLY))
        var opened: [Table: MDB_dbi] = [:]
        for table in tables {
            var index: MDB_dbi = 0
            let status = mdb_dbi_open(transaction, table.name, making ? UInt32(MDB_CREATE) : 0, &index)
            guard status == 0 else {
                mdb_txn_abort(transaction)
                throw StorageError(lmdb: status)
            }
            opened[table] = index
        }
        try check(mdb_txn_commit(transaction))
        return opened
    }

    private static func origin(_ handle: OpaquePointer, _ tables: [Table: MDB_dbi]) throws(StorageError) -> StoreOrigin
    {
        let transaction = try begin(handle, flags: UInt32(MDB_RDONLY))
        defer { mdb_txn_abort(transaction) }
        guard let index = tables[FreshStore.ownTable],
            let text = try Transaction.value(transaction, FreshStore.ownTable, index, FreshStore.originKey)
        else { return .asLeft }
        return StoreOrigin(text: String(decoding: text, as: UTF8.self))
    }

    /// Walks what a transaction reads while that keeps the other process from using its pages again.
    private static func verify(_ handle: OpaquePointer, _ file: StoreFile) throws(StorageError) {
        // Between the begin and a look at the meta pages the other process may write both.
        for _ in 0..<8 {
            let transaction = try begin(handle, flags: UInt32(MDB_RDONLY))
            defer { mdb_txn_abort(transaction) }
            if try file.isSound(at: UInt64(mdb_txn_id(transaction))) { return }
        }
        throw .corrupt("what another process has in use cannot be read")
    }

    /// Makes the file as long as the pages it claims: reading a page past the end would kill the process with SIGBUS,
    /// a page of zeros is reported as damage.
    private static func coverMap(_ handle: OpaquePointer, growing: Bool) throws(StorageError) {
        var info = MDB_envinfo()
        var stat = MDB_stat()
        var descriptor: Int32 = -1
        try check(mdb_env_info(handle, &info))
        try check(mdb_env_stat(handle, &stat))
        try check(mdb_env_get_fd(handle, &descriptor))
        let (size, overflow) = (info.me_last_pgno + 1).multipliedReportingOverflow(by: Int(stat.ms_psize))
        guard !overflow, size > 0, size <= info.me_mapsize else {
            throw .corrupt("the file's page count is impossible")
        }
        let length = lseek(descriptor, 0, SEEK_END)
        guard length >= 0 else { throw StorageError(system: errno) }
        guard length < size else { return }
        guard growing else { throw .corrupt("the file is shorter than its pages") }
        if ftruncate(descriptor, size) != 0 { throw StorageError(system: errno) }
    }

    private static func roundedUp(_ value: Int, to unit: Int) -> Int { (value + unit - 1) / unit * unit }
}

// Names that stay clear beside SwiftNIO's and ArgumentParser's own.
public typealias LMDBEnvironment = Environment
public typealias LMDBTransaction = Transaction
