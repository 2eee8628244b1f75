import CLMDB
import Glibc
import Storage

/// Throws unless `status`, LMDB's answer, is 0.
func check(_ status: Int32) throws(StorageError) {
    guard status == 0 else { throw StorageError(lmdb: status) }
}

/// Ends a transaction whose data file lies on the file system of `path`.
///
/// LMDB answers a write that was cut short with `EIO`, and a disk that becomes full within a write cuts it short.
func endTransaction(_ transaction: OpaquePointer, in path: String) throws(StorageError) {
    let status = mdb_txn_commit(transaction)
    guard status == EIO else { return try check(status) }
    var room = statvfs()
    guard statvfs(path, &room) == 0, room.f_bavail == 0 else { throw StorageError(lmdb: status) }
    throw .full
}

extension StorageError {
    /// What LMDB answered; positive numbers are the system's.
    init(lmdb status: Int32) {
        switch status {
        case MDB_MAP_FULL, MDB_TXN_FULL, ENOSPC, EDQUOT: self = .full
        case MDB_BAD_VALSIZE: self = .invalidSize
        case MDB_CORRUPTED, MDB_INVALID, MDB_VERSION_MISMATCH, MDB_PAGE_NOTFOUND, MDB_PANIC, MDB_INCOMPATIBLE:
            self = .corrupt(String(cString: mdb_strerror(status)))
        case EACCES: self = .unavailable("not permitted: the store or the transaction is for reading only")
        default: self = .unavailable(String(cString: mdb_strerror(status)))
        }
    }

    /// What the system answered.
    init(system number: Int32) {
        self = number == ENOSPC || number == EDQUOT ? .full : .unavailable(String(cString: strerror(number)))
    }
}
