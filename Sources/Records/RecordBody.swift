import Primitives
import Wire

/// Why a directory record is not believed.
public enum RecordError: Error, Equatable, Sendable {
    case malformed(WireError)
    /// More than ``Limits/recordSize`` bytes.
    case oversize(Int)
    /// Not of this or the next epoch.
    case wrongEpoch(UInt64)
    case expired
    /// It claims to last longer than 26 hours.
    case lastsTooLong
    /// The signature does not fit the blinded key.
    case wrongSignature
    /// The body was not encrypted for this user key and epoch, or was changed.
    case wrongBody
    /// The user's signature on the operational key does not fit, or its time is over.
    case wrongCertificate
    /// A user key that is no point of the prime-order group.
    case invalidKey
}

/// What a record says of its user, to those who know the ID (design section 5, "Body").
public struct RecordBody: Hashable, Sendable {
    /// The server at which the user has an account.
    public let home: NodeID
    /// The account there.
    public let account: Bytes16
    /// Messages are sealed to it.
    public let sealing: X25519PublicKey
    /// Known to the home; certified here by the user key, which may stay offline.
    public let operational: VerifyingKey
    /// Seconds since 1970.
    public let operationalExpiry: UInt64
    /// The user key over the operational and the sealing key.
    public let certificate: Signature
    /// How strangers may begin: 1 is open.
    public let policy: UInt8
    /// Hash of the prekey bundle; zero while there is none.
    public let prekeys: Bytes32

    /// Version 1 ‖ fields.
    static let encodedSize = 1 + 32 + 16 + 32 + 32 + 8 + 64 + 1 + 32
    private static let version: UInt8 = 1

    /// A body whose certificate is made with the user key.
    public init(
        home: NodeID, account: Bytes16, sealing: X25519PublicKey, operational: VerifyingKey, operationalExpiry: UInt64,
        policy: UInt8, prekeys: Bytes32, user: borrowing SigningKey
    ) {
        self.home = home
        self.account = account
        self.sealing = sealing
        self.operational = operational
        self.operationalExpiry = operationalExpiry
        self.policy = policy
        self.prekeys = prekeys
        certificate = user.sign(
            RecordBody.message(
                user: user.publicKey, operational: operational, sealing: sealing, expiry: operationalExpiry))
    }

    init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        let version = try reader.uint8()
        guard version == RecordBody.version else { throw .unknownKind(version) }
        home = try reader.fixed()
        account = try reader.fixed()
        sealing = X25519PublicKey(try reader.fixed())
        operational = VerifyingKey(try reader.fixed())
        operationalExpiry = try reader.uint64()
        certificate = Signature(try reader.fixed())
        policy = try reader.uint8()
        prekeys = try reader.fixed()
        // What follows is padding of the size class, or fields of a later version.
        _ = reader.rest()
    }

    func encode() -> [UInt8] {
        var writer = Writer(capacity: RecordBody.encodedSize)
        writer.uint8(RecordBody.version)
        writer.fixed(home)
        writer.fixed(account)
        writer.fixed(sealing.bytes)
        writer.fixed(operational.bytes)
        writer.uint64(operationalExpiry)
        writer.fixed(certificate.bytes)
        writer.uint8(policy)
        writer.fixed(prekeys)
        return writer.bytes
    }

    /// Whether the user certified the operational and sealing keys.
    func isCertified(by user: VerifyingKey) -> Bool {
        user.isValid(
            certificate,
            for: RecordBody.message(
                user: user, operational: operational, sealing: sealing, expiry: operationalExpiry))
    }

    /// `H("hulda/opkey", user ‖ operational ‖ sealing ‖ expiry)`.
    private static func message(
        user: VerifyingKey, operational: VerifyingKey, sealing: X25519PublicKey, expiry: UInt64
    ) -> [UInt8] {
        var writer = Writer(capacity: 104)
        writer.fixed(user.bytes)
        writer.fixed(operational.bytes)
        writer.fixed(sealing.bytes)
        writer.uint64(expiry)
        return BLAKE2b.h(Domain("hulda/opkey"), writer.bytes).bytes
    }
}
