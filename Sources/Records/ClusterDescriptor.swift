import Primitives
import Wire

/// What an operator declares about the cluster's behaviour.
public struct ClusterPolicy: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Anybody may open an account without a token.
    public static let openRegistration = ClusterPolicy(rawValue: 1)
    /// Agents of other clusters may enter through its gateways.
    public static let openGateway = ClusterPolicy(rawValue: 2)
}

/// What an operator says of a cluster, and for which other clusters it vouches (specs/map.md, "Cluster descriptor").
///
/// Every version begins with the fields of the first and ends with the signature: so one of a later version is admitted,
/// kept and passed on, and vouches for others, also where nobody can read what it has besides.
public struct ClusterDescriptor: Hashable, Sendable {
    /// The first byte of the encoding.
    public static let kind: UInt8 = 1
    /// The version that this program makes, and whose fields it knows.
    private static let ownVersion: UInt8 = 1
    private static let signatureSize = 64
    public static let nameLimit = 64
    public static let contactLimit = 128
    public static let softwareLimit = 64
    /// So many endorsements fit in ``Limits/descriptorSize``.
    public static let endorsementLimit = 48

    public let version: UInt8
    public let clusterID: VerifyingKey
    public let name: String
    /// Of two descriptors of one cluster the higher sequence counts.
    public let sequence: UInt64
    /// Seconds since 1970.
    public let expiry: UInt64
    /// Clusters that this one peers with and vouches for, ascending, without repetition.
    public let endorsements: [VerifyingKey]
    /// How to reach the operator: free text.
    public let contact: String
    public let software: String
    public let policy: ClusterPolicy
    /// What a later version says after the fields that every version has: kept as it came, for those who can read it.
    public let unread: [UInt8]
    public let signature: Signature

    /// Whether it has, or may have, fields that this program does not know.
    public var isLater: Bool { version > ClusterDescriptor.ownVersion }

    /// Signs a descriptor.
    public init(
        name: String, sequence: UInt64, expiry: UInt64, endorsements: [VerifyingKey], contact: String,
        software: String, policy: ClusterPolicy, key: borrowing SigningKey
    ) throws(DescriptorError) {
        let fields: [(String, Int, Int)] = [
            ("name", name.utf8.count, ClusterDescriptor.nameLimit),
            ("contact", contact.utf8.count, ClusterDescriptor.contactLimit),
            ("software", software.utf8.count, ClusterDescriptor.softwareLimit),
            ("endorsements", endorsements.count, ClusterDescriptor.endorsementLimit),
        ]
        for (field, count, limit) in fields where count > limit { throw .malformed(.outOfRange(field: field)) }
        version = ClusterDescriptor.ownVersion
        unread = []
        clusterID = key.publicKey
        self.name = name
        self.sequence = sequence
        self.expiry = expiry
        self.endorsements = Set(endorsements).sorted()
        self.contact = contact
        self.software = software
        self.policy = policy
        let unsigned = ClusterDescriptor.unsignedBytes(
            version, clusterID, sequence, expiry, policy, name, contact, software, self.endorsements)
        signature = key.sign(ClusterDescriptor.digest(unsigned))
    }

    /// Reads the layout; believe it only after ``verify(at:)``.
    public init(decoding bytes: [UInt8]) throws(DescriptorError) {
        guard bytes.count <= Limits.descriptorSize else { throw .oversize(bytes.count) }
        do throws(WireError) {
            try self.init(layout: bytes)
        } catch { throw .malformed(error) }
    }

    private init(layout bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        let kind = try reader.uint8()
        guard kind == ClusterDescriptor.kind else { throw .unknownKind(kind) }
        version = try reader.uint8()
        guard version >= ClusterDescriptor.ownVersion else { throw .unknownKind(version) }
        clusterID = VerifyingKey(try reader.fixed())
        sequence = try reader.uint64()
        expiry = try reader.uint64()
        policy = ClusterPolicy(rawValue: try reader.uint32())
        name = try reader.string(limit: ClusterDescriptor.nameLimit, field: "name")
        contact = try reader.string(limit: ClusterDescriptor.contactLimit, field: "contact")
        software = try reader.string(limit: ClusterDescriptor.softwareLimit, field: "software")
        let count = Int(try reader.uint8())
        guard count <= ClusterDescriptor.endorsementLimit else { throw .outOfRange(field: "endorsements") }
        var keys: [VerifyingKey] = []
        for _ in 0..<count { keys.append(VerifyingKey(try reader.fixed())) }
        guard zip(keys, keys.dropFirst()).allSatisfy({ $0 < $1 }) else { throw .outOfRange(field: "endorsements") }
        endorsements = keys
        let rest = reader.remaining - ClusterDescriptor.signatureSize
        guard rest >= 0 else { throw .truncated }
        guard version > ClusterDescriptor.ownVersion || rest == 0 else { throw .trailingBytes(rest) }
        unread = try reader.bytes(rest)
        signature = Signature(try reader.fixed())
        try reader.finish()
    }

    public func encode() -> [UInt8] {
        unsignedBytes() + signature.bytes.bytes
    }

    /// Checks the date and the cluster's signature.
    public func verify(at now: Timestamp) throws(DescriptorError) {
        try DescriptorLifetime.check(expiry: expiry, longest: DescriptorLifetime.cluster, at: now)
        guard clusterID.isValid(signature, for: ClusterDescriptor.digest(unsignedBytes())) else {
            throw .wrongSignature
        }
    }

    /// Whether its time is not over; the signature is not looked at.
    public func isCurrent(at now: Timestamp) -> Bool { expiry > now.seconds }

    /// What the cluster signs: `H("hulda/cluster", everything before the signature)`.
    private static func digest(_ unsigned: [UInt8]) -> [UInt8] {
        BLAKE2b.h(Domain("hulda/cluster"), unsigned).bytes
    }

    private func unsignedBytes() -> [UInt8] {
        ClusterDescriptor.unsignedBytes(
            version, clusterID, sequence, expiry, policy, name, contact, software, endorsements) + unread
    }

    private static func unsignedBytes(
        _ version: UInt8, _ cluster: VerifyingKey, _ sequence: UInt64, _ expiry: UInt64, _ policy: ClusterPolicy,
        _ name: String, _ contact: String, _ software: String, _ endorsements: [VerifyingKey]
    ) -> [UInt8] {
        var writer = Writer(capacity: 512)
        writer.uint8(kind)
        writer.uint8(version)
        writer.fixed(cluster.bytes)
        writer.uint64(sequence)
        writer.uint64(expiry)
        writer.uint32(policy.rawValue)
        writer.string(name)
        writer.string(contact)
        writer.string(software)
        writer.uint8(UInt8(truncatingIfNeeded: endorsements.count))
        for key in endorsements { writer.fixed(key.bytes) }
        return writer.bytes
    }
}
