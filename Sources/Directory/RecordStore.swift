import Primitives
import Records
import Storage
import Wire

/// The records that this server holds, in the store.
enum RecordStore {
    static let table = Table("directory/records")
    /// The second of two records of one sequence: evidence against its publisher.
    static let evidence = Table("directory/evidence")
    static let evidenceLimit = 1024

    static func get(
        _ key: VerifyingKey, _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> DirectoryRecord? {
        guard let bytes = try store.get(table, key.bytes.bytes) else { return nil }
        return try? DirectoryRecord(decoding: bytes)
    }

    /// Deletes what has expired, at most `limit` records.
    static func sweep(
        _ now: Timestamp, limit: Int, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Int {
        var outdated: [[UInt8]] = []
        try store.scan(table, from: []) { key, value in
            let isCurrent = (try? DirectoryRecord(decoding: value)).map { $0.expiry > now.seconds } ?? false
            if !isCurrent { outdated.append(key) }
            return outdated.count < limit
        }
        for key in outdated { try store.delete(table, key) }
        return outdated.count
    }
}
