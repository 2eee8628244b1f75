import Envelope
import Primitives
import Records
import Storage
import Wire

/// For what a reply block was given away.
enum ReplyPurpose: Hashable, Sendable {
    /// Cover: the agent's own loop.
    case loop
    case lookup(NetworkID, holder: NodeID)
    case fallback(NetworkID)
    /// A question for a key that nobody has.
    case dummyLookup
    /// A question for the own record of an epoch, which should be the one published in this second, or a later one.
    case audit(epoch: UInt64, second: UInt64)
    case publish(epoch: UInt64, holder: NodeID)
    /// A question about the map to a server's map service.
    case inquiry
    /// What a server knows of an epoch's shared random value.
    case shared(epoch: UInt64, server: NodeID)
    case registration(NodeID)
    case closing(NodeID)
    /// A home's answer about a name of the user's.
    case naming(label: Bytes32, epoch: UInt64, home: NodeID)
    case publishName(label: Bytes32, epoch: UInt64, holder: NodeID)
    /// - Parameter holder: `nil` for a server that searches on the agent's behalf.
    case nameLookup(label: Bytes32, holder: NodeID?)
    /// In stock at a home.
    case home(NodeID)
    /// A recipient's home's answer to one part of a message.
    case delivery(message: Bytes16, fragment: UInt8, home: NodeID)

    /// Whether the answer is of use after a restart.
    var isPersistent: Bool {
        switch self {
        case .home, .delivery: true
        case .loop, .lookup, .fallback, .dummyLookup, .audit, .publish, .shared, .inquiry, .registration, .closing,
            .naming, .publishName, .nameLookup:
            false
        }
    }
}

/// The outstanding reply blocks and what opens their replies; those of long life are on disk.
struct ReplyTable: Sendable {
    static let table = Table("replies")

    struct Entry: Sendable {
        var keys: ReplyKeys
        var purpose: ReplyPurpose
        var expiry: Timestamp
    }

    private var entries: [Bytes16: Entry] = [:]
    private let limit: Int
    private var stock: [NodeID: Int] = [:]

    init(limit: Int, _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)) throws(StorageError) {
        self.limit = limit
        var outdated: [[UInt8]] = []
        var found: [Bytes16: Entry] = [:]
        try store.scan(ReplyTable.table, from: []) { key, value in
            if let id = Bytes16(key), let entry = try? ReplyTable.decode(value), entry.expiry > now {
                found[id] = entry
            } else {
                outdated.append(key)
            }
            return true
        }
        for key in outdated { try store.delete(ReplyTable.table, key) }
        entries = found
        for entry in found.values { count(entry.purpose, 1) }
    }

    var count: Int { entries.count }

    /// Reply blocks that `home` has in stock.
    func stock(at home: NodeID) -> Int { stock[home] ?? 0 }

    private mutating func count(_ purpose: ReplyPurpose, _ change: Int) {
        guard case .home(let home) = purpose else { return }
        let sum = (stock[home] ?? 0) + change
        stock[home] = sum > 0 ? sum : nil
    }

    mutating func insert(
        _ id: Bytes16, _ entry: Entry, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        if entries.count >= limit, let oldest = entries.min(by: { $0.value.expiry < $1.value.expiry })?.key {
            _ = try remove(oldest, &store)
        }
        if entry.purpose.isPersistent, var value = ReplyTable.encode(entry) {
            defer { value.withUnsafeMutableBytes { SecretBytes.zero($0) } }
            try store.put(ReplyTable.table, id.bytes, value)
        }
        entries[id] = entry
        count(entry.purpose, 1)
    }

    func entry(_ id: Bytes16) -> Entry? { entries[id] }

    mutating func remove(
        _ id: Bytes16, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Entry? {
        guard let entry = entries.removeValue(forKey: id) else { return nil }
        if entry.purpose.isPersistent { try store.delete(ReplyTable.table, id.bytes) }
        count(entry.purpose, -1)
        return entry
    }

    /// Forgets blocks whose time is over.
    mutating func expire(_ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)) throws(StorageError) {
        for (id, entry) in entries where entry.expiry <= now { _ = try remove(id, &store) }
    }

    private static func encode(_ entry: Entry) -> [UInt8]? {
        var writer = Writer(capacity: 256)
        switch entry.purpose {
        // 1 and 2 did not name the home; such entries are dropped, and what they were for is repeated.
        case .home(let home):
            writer.uint8(3)
            writer.fixed(home)
        case .delivery(let message, let fragment, let home):
            writer.uint8(4)
            writer.fixed(message)
            writer.uint8(fragment)
            writer.fixed(home)
        default: return nil
        }
        writer.uint64(entry.expiry.milliseconds)
        entry.keys.encode(&writer)
        return writer.finish()
    }

    private static func decode(_ bytes: [UInt8]) throws(WireError) -> Entry {
        var reader = Reader(bytes)
        let purpose: ReplyPurpose
        switch try reader.uint8() {
        case 3: purpose = .home(try reader.fixed())
        case 4:
            purpose = .delivery(
                message: try reader.fixed(), fragment: try reader.uint8(), home: try reader.fixed())
        case let kind: throw .unknownKind(kind)
        }
        let expiry = Timestamp(milliseconds: try reader.uint64())
        let keys = try ReplyKeys(&reader)
        try reader.finish()
        return Entry(keys: keys, purpose: purpose, expiry: expiry)
    }
}
