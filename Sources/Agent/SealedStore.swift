import Correspondence
import LMDB
import Primitives
import Storage

/// An agent's state: in memory while the agent runs, in LMDB with keys hashed and values encrypted.
///
/// Who reads the disk without the passphrase learns the number and sizes of entries, nothing else: an entry's LMDB key
/// is a keyed hash of table and key, its value is nonce ‖ XChaCha20-Poly1305(table ‖ key ‖ value). Tables of keys are
/// encrypted in memory too, and opened for whoever reads them.
/// Spec: specs/agent.md, "Store".
struct SealedStore: KeyValueStore {
    static let table = Table("agent")
    /// Entries of these tables are kept a second time, in other pages: without the keys all else is lost.
    private static let precious: Set = [Table("identity"), Table("state"), censusTable]
    private static let copyTable = Table("copy")
    static let tables = [table, copyTable]

    /// Values as they are, or sealed where the table is one of ``Identity/secretTables``.
    private var memory = MemoryStore()
    /// Entries of each table after the last commit, and as that is noted on the disk.
    private var census: [String: Int] = [:]
    /// Entries that the note tells of and that are not there, by table; `nil` when the note itself is not.
    private(set) var lost: [String: Int]?
    private var changes: [(table: Table, key: [UInt8], value: [UInt8]?)] = []
    private let environment: LMDBEnvironment
    private let secret: Secret

    /// The keys, shared by copies of the store.
    private final class Secret: Sendable {
        let hashing: SecretBytes
        let sealing: SecretBytes

        init(_ master: borrowing SecretBytes) {
            hashing = BLAKE2b.deriveKey(from: master, Domain("hulda/store-hash"))
            sealing = BLAKE2b.deriveKey(from: master, Domain("hulda/store-seal"))
        }
    }

    /// Opens and decrypts everything.
    /// - Throws: ``StorageError/corrupt(_:)`` when an entry does not decrypt under `master`.
    init(_ environment: LMDBEnvironment, master: borrowing SecretBytes) throws(StorageError) {
        self.environment = environment
        secret = Secret(master)
        var sealed: [[(key: [UInt8], value: [UInt8])]] = []
        try environment.read { (transaction: inout LMDBTransaction) throws(StorageError) in
            for table in SealedStore.tables {
                var entries: [(key: [UInt8], value: [UInt8])] = []
                try transaction.scan(table, from: []) { key, value in
                    entries.append((key, value))
                    return true
                }
                sealed.append(entries)
            }
        }
        let copied = Set(sealed[1].map(\.key))
        for entry in sealed[0] {
            let plain = try keep(entry.key, entry.value)
            if SealedStore.precious.contains(plain.table), !copied.contains(entry.key) { changes.append(plain) }
        }
        let found = Set(sealed[0].map(\.key))
        for entry in sealed[1] where !found.contains(entry.key) {
            // Damage has taken it: it comes back with the next commit.
            changes.append(try keep(entry.key, entry.value))
        }
        guard let noted = try memory.get(SealedStore.censusTable, SealedStore.censusKey) else { return }
        census = SealedStore.census(noted)
        var missing: [String: Int] = [:]
        for (name, count) in census {
            let left = try memory.count(Table(named: name))
            if left < count { missing[name] = count - left }
        }
        lost = missing
    }

    /// Takes an entry of the disk into memory.
    private mutating func keep(
        _ hash: [UInt8], _ sealed: [UInt8]
    ) throws(StorageError) -> (table: Table, key: [UInt8], value: [UInt8]?) {
        var plain = try open(hash, sealed)
        let isSecret = SealedStore.isSecret(plain.table)
        let kept = isSecret ? sealed : plain.value
        if isSecret { plain.value.withUnsafeMutableBytes { SecretBytes.zero($0) } }
        try memory.put(plain.table, plain.key, kept)
        return (plain.table, plain.key, kept)
    }

    /// Whether the data file is still where it was opened.
    var isInPlace: Bool { environment.isInPlace }

    private static func isSecret(_ table: Table) -> Bool { Identity.secretTables.contains(table) }

    /// A value of a table of keys is the caller's to zero.
    func get(_ table: Table, _ key: [UInt8]) throws(StorageError) -> [UInt8]? {
        let value = try memory.get(table, key)
        guard SealedStore.isSecret(table), let value else { return value }
        return try open(hash(table, key), value).value
    }

    /// A value of a table of keys is sealed at once, and the caller's array not kept.
    mutating func put(_ table: Table, _ key: [UInt8], _ value: [UInt8]) throws(StorageError) {
        var kept = value
        if SealedStore.isSecret(table) {
            var entropy = Entropy.system()
            kept = seal(hash(table, key), table, key, value, &entropy)
        }
        try memory.put(table, key, kept)
        changes.append((table, key, kept))
    }

    mutating func delete(_ table: Table, _ key: [UInt8]) throws(StorageError) {
        try memory.delete(table, key)
        changes.append((table, key, nil))
    }

    func scan(
        _ table: Table, from start: [UInt8], _ body: (_ key: [UInt8], _ value: [UInt8]) -> Bool
    ) throws(StorageError) {
        guard SealedStore.isSecret(table) else { return try memory.scan(table, from: start, body) }
        var failure: StorageError?
        try memory.scan(table, from: start) { key, sealed in
            do throws(StorageError) {
                var value = try open(hash(table, key), sealed).value
                defer { value.withUnsafeMutableBytes { SecretBytes.zero($0) } }
                return body(key, value)
            } catch {
                failure = error
                return false
            }
        }
        if let failure { throw failure }
    }

    func count(_ table: Table) throws(StorageError) -> Int { try memory.count(table) }

    /// Writes what changed since the last commit in one durable transaction.
    mutating func commit(_ entropy: inout Entropy) throws(StorageError) {
        guard !changes.isEmpty else { return }
        try takeCensus()
        var sealed: [(table: Table, key: [UInt8], value: [UInt8]?)] = []
        for change in changes {
            let hash = hash(change.table, change.key)
            let value = change.value.map { value in
                SealedStore.isSecret(change.table) ? value : seal(hash, change.table, change.key, value, &entropy)
            }
            sealed.append((SealedStore.table, hash, value))
            if SealedStore.precious.contains(change.table) { sealed.append((SealedStore.copyTable, hash, value)) }
        }
        try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
            for change in sealed {
                if let value = change.value {
                    try transaction.put(change.table, change.key, value)
                } else {
                    try transaction.delete(change.table, change.key)
                }
            }
        }
        changes.removeAll(keepingCapacity: true)
    }

    // MARK: Census

    /// How many entries each table has, so that after damage it can be said what is missing: the file itself shows one
    /// table of entries that cannot be told apart.
    private static let censusTable = Table("census")
    private static let censusKey = Array("counts".utf8)

    private mutating func takeCensus() throws(StorageError) {
        var isChanged = false
        for table in Set(changes.map(\.table)) where table != SealedStore.censusTable {
            let count = try memory.count(table)
            if census[table.name] != count {
                census[table.name] = count
                isChanged = true
            }
        }
        guard isChanged else { return }
        var bytes: [UInt8] = []
        for (name, count) in census.sorted(by: { $0.key < $1.key }) {
            let name = Array(name.utf8)
            bytes.append(UInt8(truncatingIfNeeded: name.count))
            bytes += name
            bytes += (0..<8).map { UInt8(truncatingIfNeeded: count >> (56 - 8 * $0)) }
        }
        try put(SealedStore.censusTable, SealedStore.censusKey, bytes)
    }

    private static func census(_ bytes: [UInt8]) -> [String: Int] {
        var census: [String: Int] = [:]
        var rest = bytes[...]
        while let size = rest.popFirst(), rest.count >= Int(size) + 8 {
            let name = String(decoding: rest.prefix(Int(size)), as: UTF8.self)
            rest = rest.dropFirst(Int(size))
            census[name] = Int(clamping: rest.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
            rest = rest.dropFirst(8)
        }
        return census
    }

    private func hash(_ table: Table, _ key: [UInt8]) -> [UInt8] {
        let message = Array(table.name.utf8) + [0] + key
        let digest = Bytes32(unsafe: { out in
            secret.hashing.withUnsafeBytes { secret in
                message.withUnsafeBytes { BLAKE2b.hash(into: out, $0, key: secret, domain: Domain("hulda/store-key")) }
            }
        })
        return digest.bytes
    }

    private func seal(
        _ hash: [UInt8], _ table: Table, _ key: [UInt8], _ value: [UInt8], _ entropy: inout Entropy
    ) -> [UInt8] {
        let name = Array(table.name.utf8)
        var plain = [UInt8(truncatingIfNeeded: name.count)]
        // An array that grows leaves what it held behind.
        plain.reserveCapacity(3 + name.count + key.count + value.count)
        plain += name
        plain += [UInt8(truncatingIfNeeded: key.count), UInt8(truncatingIfNeeded: key.count >> 8)]
        plain += key
        plain += value
        defer { plain.withUnsafeMutableBytes { SecretBytes.zero($0) } }
        let nonce = entropy.bytes(Bytes24.self)
        return nonce.bytes + XChaChaPoly.seal(plain, key: secret.sealing, nonce: nonce, associated: hash)
    }

    private func open(
        _ hash: [UInt8], _ sealed: [UInt8]
    ) throws(StorageError) -> (table: Table, key: [UInt8], value: [UInt8]) {
        guard let nonce = Bytes24(sealed.prefix(24)) else { throw .corrupt("an entry is too short") }
        var plain: [UInt8]
        do throws(PrimitiveError) {
            plain = try XChaChaPoly.open(
                Array(sealed.dropFirst(24)), key: secret.sealing, nonce: nonce, associated: hash)
        } catch { throw .corrupt("an entry does not decrypt") }
        defer { plain.withUnsafeMutableBytes { SecretBytes.zero($0) } }
        guard let nameSize = plain.first, plain.count >= 3 + Int(nameSize) else {
            throw .corrupt("an entry is malformed")
        }
        let nameEnd = 1 + Int(nameSize)
        let keySize = Int(plain[nameEnd]) | Int(plain[nameEnd + 1]) << 8
        let keyStart = nameEnd + 2
        guard plain.count >= keyStart + keySize else { throw .corrupt("an entry is malformed") }
        let table = Table(named: String(decoding: plain[1..<nameEnd], as: UTF8.self))
        return (table, Array(plain[keyStart..<keyStart + keySize]), Array(plain[(keyStart + keySize)...]))
    }
}
