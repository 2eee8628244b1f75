import Primitives
import Records
import Storage
import Wire

/// The records that this server holds, in the store, with what is needed to find the expired ones and to count them by who
/// brought them. An expired record does not come back: all records of its epoch are refused from then on. Nothing here is scanned from end to end (specs/directory.md, "Storage").
enum RecordStore {
    /// A' → the record.
    static let table = Table("directory/records")
    /// Expiry, high byte first ‖ A' → the group that the record counts for.
    static let expiries = Table("directory/expiry")
    /// Group → records 8 ‖ bytes 8.
    static let quotas = Table("directory/quotas")
    static let tables = [table, expiries, quotas]

    /// Who brought a record: all agents together, the servers of one address prefix, or all servers whose address is not
    /// proven, so that nobody fills the share of a prefix whose addresses he forges.
    struct Group: Hashable, Sendable {
        let number: UInt64

        static let agents = Group(number: 0)
        static let unproven = Group(number: 1)
        /// All records together.
        static let all = Group(number: .max)

        init(number: UInt64) { self.number = number }
        init(_ sender: Endpoint?, isProven: Bool) {
            guard let sender else {
                self = .agents
                return
            }
            self = isProven ? Group(number: sender.address.prefixKey | 1 << 40) : .unproven
        }

        var key: [UInt8] { bigEndian(number) }
    }

    /// How many records, and of how many bytes.
    struct Usage: Equatable, Sendable {
        var records: UInt64 = 0
        var bytes: UInt64 = 0
    }

    static func get(
        _ key: VerifyingKey, _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> DirectoryRecord? {
        guard let bytes = try store.get(table, key.bytes.bytes) else { return nil }
        return try? DirectoryRecord(decoding: bytes)
    }

    static func usage(
        _ group: Group, _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Usage {
        guard let bytes = try store.get(quotas, group.key) else { return Usage() }
        var reader = Reader(bytes)
        guard let records = try? reader.uint64(), let size = try? reader.uint64() else { return Usage() }
        return Usage(records: records, bytes: size)
    }

    /// Keeps a record in place of `old`, which counts for whoever brought the first of them.
    static func put(
        _ record: DirectoryRecord, replacing old: DirectoryRecord?, from group: Group,
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        var owner = group
        if let old {
            let key = expiryKey(old)
            owner = try store.get(expiries, key).flatMap { number($0) }.map { Group(number: $0) } ?? group
            try remove(old, key, owner, &store)
        }
        let bytes = record.encode()
        try store.put(table, record.blindedKey.bytes.bytes, bytes)
        try store.put(expiries, expiryKey(record), owner.key)
        for group in [owner, .all] {
            var usage = try usage(group, store)
            usage.records += 1
            usage.bytes += UInt64(bytes.count)
            try save(usage, group, &store)
        }
    }

    /// Deletes what has expired, at most `limit` records.
    static func sweep(
        _ now: Timestamp, limit: Int, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Int {
        var outdated: [(key: [UInt8], group: [UInt8])] = []
        let end = bigEndian(now.seconds) + [UInt8](repeating: 0xff, count: Bytes32.count)
        try store.scan(expiries, from: [0]) { key, value in
            guard !end.lexicographicallyPrecedes(key), outdated.count < limit else { return false }
            outdated.append((key, value))
            return true
        }
        for (key, group) in outdated {
            try store.delete(expiries, key)
            let recordKey = Array(key.dropFirst(8))
            guard let bytes = try store.get(table, recordKey), let record = try? DirectoryRecord(decoding: bytes)
            else { continue }
            try remove(record, key, number(group).map { Group(number: $0) } ?? .agents, &store)
        }
        return outdated.count
    }

    private static func remove(
        _ record: DirectoryRecord, _ expiryKey: [UInt8], _ group: Group,
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        try store.delete(table, record.blindedKey.bytes.bytes)
        try store.delete(expiries, expiryKey)
        let size = UInt64(record.encode().count)
        for group in [group, .all] {
            var usage = try usage(group, store)
            usage.records -= min(usage.records, 1)
            usage.bytes -= min(usage.bytes, size)
            try save(usage, group, &store)
        }
    }

    private static func save(
        _ usage: Usage, _ group: Group, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard usage.records > 0 else { return try store.delete(quotas, group.key) }
        var writer = Writer(capacity: 16)
        writer.uint64(usage.records)
        writer.uint64(usage.bytes)
        try store.put(quotas, group.key, writer.bytes)
    }

    private static func expiryKey(_ record: DirectoryRecord) -> [UInt8] {
        bigEndian(record.expiry) + record.blindedKey.bytes.bytes
    }

    private static func bigEndian(_ number: UInt64) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }

    private static func number(_ bytes: [UInt8]) -> UInt64? {
        bytes.count == 8 ? bytes.reduce(0) { $0 << 8 | UInt64($1) } : nil
    }
}
