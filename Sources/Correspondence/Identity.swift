import Home
import Primitives
import Records
import Storage
import Wire

/// A user's keys on this device. Spec: specs/agent.md, "Identity".
public final class Identity: Sendable {
    static let table = Table("identity")
    private static let storeKey = Array("keys".utf8)
    private static let version: UInt8 = 1

    /// The network ID's key.
    public let user: SigningKey
    /// Known to the home; certified by the user key in the directory record.
    public let operational: SigningKey
    /// Messages to the user are sealed to it.
    public let sealing: X25519PrivateKey
    /// From which each epoch's mailbox secrets are derived.
    private let mailbox: SecretBytes

    public var id: NetworkID { NetworkID(key: user.publicKey) }

    /// New keys.
    public init(_ entropy: inout Entropy) {
        user = SigningKey(&entropy)
        operational = SigningKey(&entropy)
        sealing = X25519PrivateKey(&entropy)
        var mailbox = SecretBytes(count: 32)
        mailbox.withUnsafeMutableBytes { entropy.fill($0) }
        self.mailbox = mailbox
    }

    private init(
        user: consuming SigningKey, operational: consuming SigningKey, sealing: consuming X25519PrivateKey,
        mailbox: consuming SecretBytes
    ) {
        self.user = user
        self.operational = operational
        self.sealing = sealing
        self.mailbox = mailbox
    }

    /// The keys in `store`, which the driver encrypts; `nil` when there are none.
    public static func load(_ store: borrowing some (KeyValueStore & ~Copyable)) throws(StorageError) -> Identity? {
        guard var bytes = try store.get(table, storeKey) else { return nil }
        defer { bytes.withUnsafeMutableBytes { SecretBytes.zero($0) } }
        guard bytes.count == 129, bytes[0] == version else { throw .corrupt("the identity is of another version") }
        func part(_ index: Int) -> SecretBytes {
            var part = Array(bytes[1 + 32 * index..<33 + 32 * index])
            return SecretBytes(taking: &part)
        }
        do throws(PrimitiveError) {
            return Identity(
                user: try SigningKey(seed: part(0)), operational: try SigningKey(seed: part(1)),
                sealing: try X25519PrivateKey(part(2)), mailbox: part(3))
        } catch {
            throw .corrupt("the identity does not decode")
        }
    }

    public func save(_ store: inout some (KeyValueStore & ~Copyable)) throws(StorageError) {
        var bytes: [UInt8] = [Identity.version]
        let userSeed = user.seed()
        let operationalSeed = operational.seed()
        userSeed.withUnsafeBytes { bytes.append(contentsOf: $0) }
        operationalSeed.withUnsafeBytes { bytes.append(contentsOf: $0) }
        sealing.withUnsafeBytes { bytes.append(contentsOf: $0) }
        mailbox.withUnsafeBytes { bytes.append(contentsOf: $0) }
        defer { bytes.withUnsafeMutableBytes { SecretBytes.zero($0) } }
        try store.put(Identity.table, Identity.storeKey, bytes)
    }

    /// What proves to `gateway` that the mailbox of `epoch` is this agent's. Unrelated between gateways and epochs.
    func mailboxSecret(gateway: NodeID, epoch: UInt64) -> Bytes32 {
        var writer = Writer(capacity: 40)
        writer.fixed(gateway)
        writer.uint64(epoch)
        let secret = BLAKE2b.deriveKey(from: mailbox, Domain("hulda/mbox-sec"), context: writer.bytes)
        return secret.withUnsafeBytes { Bytes32(raw: $0) ?? Bytes32() }
    }
}
