import Home
import Primitives
import Records
import Storage
import Wire

/// A user's keys on this device. Spec: specs/agent.md, "Identity".
public final class Identity: Sendable {
    static let table = Table("identity")
    /// Tables of keys: a store that lies encrypted on disk keeps these encrypted in memory too.
    public static let secretTables: Set<Table> = [table, ReplyTable.table]
    private static let storeKey = Array("keys".utf8)
    private static let version: UInt8 = 2
    /// Sealing keys of before that are kept at most.
    static let retiredLimit = 4

    /// A sealing key that was replaced and still opens what is under way.
    final class Retired: Sendable {
        let key: X25519PrivateKey
        /// When it was replaced, in seconds.
        let since: UInt64

        init(_ key: consuming X25519PrivateKey, since: UInt64) {
            self.key = key
            self.since = since
        }
    }

    /// The network ID's key.
    public let user: SigningKey
    /// From which the keys of accounts are derived; certified by the user key in the directory record.
    public let operational: SigningKey
    /// Messages to the user are sealed to it.
    public let sealing: X25519PrivateKey
    /// From which each epoch's mailbox secrets are derived.
    private let mailbox: SecretBytes
    /// How often the operational and sealing keys were replaced.
    public let serial: UInt64
    let retired: [Retired]

    public var id: NetworkID { NetworkID(key: user.publicKey) }

    /// New keys.
    public convenience init(_ entropy: inout Entropy) {
        self.init(user: SigningKey(&entropy), serial: 0, retired: [], &entropy)
    }

    /// New keys but the user's.
    private init(user: consuming SigningKey, serial: UInt64, retired: [Retired], _ entropy: inout Entropy) {
        self.user = user
        self.serial = serial
        self.retired = retired
        operational = SigningKey(&entropy)
        sealing = X25519PrivateKey(&entropy)
        var mailbox = SecretBytes(count: 32)
        mailbox.withUnsafeMutableBytes { entropy.fill($0) }
        self.mailbox = mailbox
    }

    private init(
        user: consuming SigningKey, operational: consuming SigningKey, sealing: consuming X25519PrivateKey,
        mailbox: consuming SecretBytes, serial: UInt64, retired: [Retired]
    ) {
        self.user = user
        self.operational = operational
        self.sealing = sealing
        self.mailbox = mailbox
        self.serial = serial
        self.retired = retired
    }

    // MARK: Replacing

    /// The same user with new operational, sealing and mailbox keys; the sealing key of until now is kept for a while.
    /// - Parameter other: a serial that somebody else has used with the same ID.
    func rotated(above other: UInt64 = 0, _ now: Timestamp, _ entropy: inout Entropy) -> Identity {
        let highest = max(serial, other)
        let kept = [Retired(sealing.copy(), since: now.seconds)] + retired.prefix(Identity.retiredLimit - 1)
        let next = highest == .max ? highest : highest + 1
        return Identity(user: user.copy(), serial: next, retired: Array(kept), &entropy)
    }

    /// The same keys without the retired ones for which `isOver`.
    func forgetting(_ isOver: (Retired) -> Bool) -> Identity {
        Identity(
            user: user.copy(), operational: operational.copy(), sealing: sealing.copy(), mailbox: mailbox.copy(),
            serial: serial, retired: retired.filter { !isOver($0) })
    }

    // MARK: Derived keys

    /// The key of an account: other homes, and later accounts at the same one, have unrelated ones.
    /// - Parameter incarnation: drawn when the account is opened; 0 for accounts of the first version, whose key is the
    ///   operational one.
    func accountKey(home: NodeID, incarnation: UInt64) -> SigningKey {
        guard incarnation != 0 else { return operational.copy() }
        return Identity.derive(from: operational, Domain("hulda/acct-key"), home, incarnation)
    }

    /// The key that can give an account at `home` another key, or close it: derived from the user key, which a thief of
    /// the operational key does not have.
    func recoveryKey(home: NodeID) -> SigningKey {
        Identity.derive(from: user, Domain("hulda/rec-key"), home, 0)
    }

    static func derive(
        from key: borrowing SigningKey, _ domain: Domain, _ home: NodeID, _ number: UInt64
    ) -> SigningKey {
        var writer = Writer(capacity: 40)
        writer.fixed(home)
        writer.uint64(number)
        return SigningKey(derivedFrom: key.seed(), domain, context: writer.bytes)
    }

    /// What proves to `gateway` that the mailbox of `epoch` is this agent's. Unrelated between gateways and epochs.
    func mailboxSecret(gateway: NodeID, epoch: UInt64) -> Bytes32 {
        Identity.mailboxSecret(from: mailbox, gateway: gateway, epoch: epoch)
    }

    static func mailboxSecret(from key: borrowing SecretBytes, gateway: NodeID, epoch: UInt64) -> Bytes32 {
        var writer = Writer(capacity: 40)
        writer.fixed(gateway)
        writer.uint64(epoch)
        let secret = BLAKE2b.deriveKey(from: key, Domain("hulda/mbox-sec"), context: writer.bytes)
        return secret.withUnsafeBytes { Bytes32(raw: $0) ?? Bytes32() }
    }

    // MARK: Disk

    private static let keySize = 32
    /// Version, four keys, serial, number of retired keys.
    private static let fixedSize = 1 + 4 * keySize + 8 + 1
    /// When it was replaced, and the key.
    private static let retiredSize = 8 + keySize

    /// The keys in `store`, which the driver encrypts; `nil` when there are none.
    public static func load(_ store: borrowing some (KeyValueStore & ~Copyable)) throws(StorageError) -> Identity? {
        guard var bytes = try store.get(table, storeKey) else { return nil }
        defer { bytes.withUnsafeMutableBytes { SecretBytes.zero($0) } }
        guard bytes.first == version else { throw .corrupt("the identity is of another version") }
        guard bytes.count >= fixedSize, bytes[fixedSize - 1] <= retiredLimit,
            bytes.count == fixedSize + Int(bytes[fixedSize - 1]) * retiredSize
        else { throw .corrupt("the identity does not decode") }
        do throws(PrimitiveError) {
            var retired: [Retired] = []
            for start in stride(from: fixedSize, to: bytes.count, by: retiredSize) {
                retired.append(
                    Retired(try X25519PrivateKey(key(at: start + 8, of: bytes)), since: number(at: start, of: bytes)))
            }
            return Identity(
                user: try SigningKey(seed: key(at: 1, of: bytes)),
                operational: try SigningKey(seed: key(at: 1 + keySize, of: bytes)),
                sealing: try X25519PrivateKey(key(at: 1 + 2 * keySize, of: bytes)),
                mailbox: key(at: 1 + 3 * keySize, of: bytes), serial: number(at: 1 + 4 * keySize, of: bytes),
                retired: retired)
        } catch {
            throw .corrupt("the identity does not decode")
        }
    }

    private static func key(at start: Int, of bytes: [UInt8]) -> SecretBytes {
        var key = SecretBytes(count: keySize)
        bytes.withUnsafeBytes { bytes in
            key.withUnsafeMutableBytes {
                $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[start..<start + keySize]))
            }
        }
        return key
    }

    private static func number(at start: Int, of bytes: [UInt8]) -> UInt64 {
        bytes.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: start, as: UInt64.self)) }
    }

    /// Hands the keys to `store`, which must not keep the array that it is given (``secretTables``): it is zeroed here.
    public func save(_ store: inout some (KeyValueStore & ~Copyable)) throws(StorageError) {
        var bytes: [UInt8] = []
        // An array that grows leaves what it held behind.
        bytes.reserveCapacity(Identity.fixedSize + retired.count * Identity.retiredSize)
        defer { bytes.withUnsafeMutableBytes { SecretBytes.zero($0) } }
        bytes.append(Identity.version)
        let userSeed = user.seed()
        let operationalSeed = operational.seed()
        userSeed.withUnsafeBytes { bytes.append(contentsOf: $0) }
        operationalSeed.withUnsafeBytes { bytes.append(contentsOf: $0) }
        sealing.withUnsafeBytes { bytes.append(contentsOf: $0) }
        mailbox.withUnsafeBytes { bytes.append(contentsOf: $0) }
        withUnsafeBytes(of: serial.littleEndian) { bytes.append(contentsOf: $0) }
        bytes.append(UInt8(truncatingIfNeeded: retired.count))
        for old in retired {
            withUnsafeBytes(of: old.since.littleEndian) { bytes.append(contentsOf: $0) }
            old.key.withUnsafeBytes { bytes.append(contentsOf: $0) }
        }
        try store.put(Identity.table, Identity.storeKey, bytes)
    }
}
