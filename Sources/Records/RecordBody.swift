import Primitives
import Wire

/// Why a directory record is not believed.
public enum RecordError: Error, Equatable, Sendable {
    case malformed(WireError)
    /// More than ``DirectoryRecord/size`` bytes, or a body that does not fit into it.
    case oversize(Int)
    /// Not of this or the next epoch.
    case wrongEpoch(UInt64)
    case expired
    /// The signature does not fit the blinded key.
    case wrongSignature
    /// The body was not encrypted for this user key and epoch, or was changed.
    case wrongBody
    /// The user's signature on the operational key does not fit, or its time is over.
    case wrongCertificate
    /// Keys of this serial were replaced by later ones that were seen before.
    case revoked(serial: UInt64)
    /// A user key that is no point of the prime-order group.
    case invalidKey
}

/// What a record says of its user, to those who know the ID (design section 5, "Body").
public struct RecordBody: Hashable, Sendable {
    /// A server at which the user has an account, and the account there.
    public struct Home: Hashable, Sendable {
        public let node: NodeID
        public let account: Bytes16

        public init(node: NodeID, account: Bytes16) {
            self.node = node
            self.account = account
        }
    }

    private static let version: UInt8 = 1
    /// Anybody may write to the user. There is no other policy yet, and a reader cannot follow one that it does not know.
    public static let openPolicy: UInt8 = 1
    /// For how long, in seconds, a publisher certifies an operational key.
    public static let operationalLifetime: UInt64 = 89 * 86_400
    /// For how long a reader lets it be certified: a day more, for clocks.
    static let longestLifetime: UInt64 = 90 * 86_400
    /// Homes in one body.
    public static let homeLimit = 2

    /// Where messages are delivered first.
    public let first: Home
    /// Where they are delivered when the first does not take them.
    public let second: Home?
    /// Messages are sealed to it.
    public let sealing: X25519PublicKey
    /// From which the homes' account keys are derived; certified here by the user key, which may stay offline.
    public let operational: VerifyingKey
    /// Seconds since 1970.
    public let operationalExpiry: UInt64
    /// Grows when the operational key is replaced: of two certificates the one with the lower serial is revoked.
    public let serial: UInt64
    /// The user key over all of the above.
    public let certificate: Signature
    /// How strangers may begin: 1 is open.
    public let policy: UInt8
    /// Hash of the prekey bundle; zero while there is none.
    public let prekeys: Bytes32

    public var home: NodeID { first.node }
    public var account: Bytes16 { first.account }
    public var homes: [Home] { [first] + (second.map { [$0] } ?? []) }

    /// A body whose certificate is made with the user key.
    public init(
        home: NodeID, account: Bytes16, second: Home? = nil, serial: UInt64 = 0, sealing: X25519PublicKey,
        operational: VerifyingKey, operationalExpiry: UInt64, policy: UInt8, prekeys: Bytes32,
        user: borrowing SigningKey
    ) {
        first = Home(node: home, account: account)
        self.second = second
        self.serial = serial
        self.sealing = sealing
        self.operational = operational
        self.operationalExpiry = operationalExpiry
        self.policy = policy
        self.prekeys = prekeys
        certificate = user.sign(
            RecordBody.message(
                user.publicKey, first, second, serial, operational: operational, sealing: sealing,
                expiry: operationalExpiry))
    }

    init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        let version = try reader.uint8()
        guard version == RecordBody.version else { throw .unknownKind(version) }
        serial = try reader.uint64()
        let count = Int(try reader.uint8())
        guard (1...RecordBody.homeLimit).contains(count) else { throw .outOfRange(field: "homes") }
        first = try RecordBody.home(&reader)
        second = count == 2 ? try RecordBody.home(&reader) : nil
        guard second?.node != first.node else { throw .outOfRange(field: "homes") }
        sealing = X25519PublicKey(try reader.fixed())
        operational = VerifyingKey(try reader.fixed())
        operationalExpiry = try reader.uint64()
        certificate = Signature(try reader.fixed())
        policy = try reader.uint8()
        prekeys = try reader.fixed()
        // A statement has one form: what says nothing yet is zero, or two readers could see different users.
        guard policy == RecordBody.openPolicy else { throw .outOfRange(field: "policy") }
        guard prekeys == Bytes32() else { throw .outOfRange(field: "prekeys") }
        guard reader.rest().allSatisfy({ $0 == 0 }) else { throw .outOfRange(field: "padding") }
    }

    /// Whether the operational key's time is not over, and not longer than it may be.
    func isInTime(at now: Timestamp) -> Bool {
        operationalExpiry > now.seconds && operationalExpiry - now.seconds <= RecordBody.longestLifetime
    }

    func encode() -> [UInt8] {
        var writer = Writer(capacity: 288)
        writer.uint8(RecordBody.version)
        writer.uint64(serial)
        writer.uint8(UInt8(truncatingIfNeeded: homes.count))
        for home in homes { RecordBody.encode(home, &writer) }
        writer.fixed(sealing.bytes)
        writer.fixed(operational.bytes)
        writer.uint64(operationalExpiry)
        writer.fixed(certificate.bytes)
        writer.uint8(policy)
        writer.fixed(prekeys)
        return writer.bytes
    }

    /// Whether the user certified the keys, the homes and the serial.
    func isCertified(by user: VerifyingKey) -> Bool {
        user.isValid(
            certificate,
            for: RecordBody.message(
                user, first, second, serial, operational: operational, sealing: sealing, expiry: operationalExpiry))
    }

    private static func home(_ reader: inout Reader) throws(WireError) -> Home {
        Home(node: try reader.fixed(), account: try reader.fixed())
    }

    private static func encode(_ home: Home, _ writer: inout Writer) {
        writer.fixed(home.node)
        writer.fixed(home.account)
    }

    /// What the user signs: `H("hulda/opkey", user ‖ serial ‖ operational ‖ sealing ‖ expiry ‖ count ‖ homes)`.
    private static func message(
        _ user: VerifyingKey, _ first: Home, _ second: Home?, _ serial: UInt64, operational: VerifyingKey,
        sealing: X25519PublicKey, expiry: UInt64
    ) -> [UInt8] {
        var writer = Writer(capacity: 216)
        writer.fixed(user.bytes)
        writer.uint64(serial)
        writer.fixed(operational.bytes)
        writer.fixed(sealing.bytes)
        writer.uint64(expiry)
        writer.uint8(second == nil ? 1 : 2)
        encode(first, &writer)
        if let second { encode(second, &writer) }
        return BLAKE2b.h(Domain("hulda/opkey"), writer.bytes).bytes
    }
}
