import Primitives
import Wire

/// What a server does for the network.
public struct ServerRoles: OptionSet, Hashable, Sendable {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// Mixes envelopes of others.
    public static let relay = ServerRoles(rawValue: 1)
    /// Holds accounts and inboxes.
    public static let home = ServerRoles(rawValue: 2)
    /// Holds directory records.
    public static let directory = ServerRoles(rawValue: 4)
    /// Lets agents in.
    public static let gateway = ServerRoles(rawValue: 8)
}

/// What a server says of itself, certified by its cluster and signed by its own key (specs/map.md, "Server descriptor").
public struct ServerDescriptor: Hashable, Sendable {
    /// The first byte of the encoding.
    public static let kind: UInt8 = 2
    static let version: UInt8 = 1
    /// The most mix keys announced: the last, the current and the next epoch's.
    public static let mixKeyLimit = 3
    /// UTF-8 bytes of ``software``.
    public static let softwareLimit = 64

    public let certificate: ServerCertificate
    /// Of two descriptors of one server the higher sequence counts.
    public let sequence: UInt64
    /// Seconds since 1970.
    public let expiry: UInt64
    /// The static key of its stream and datagram links.
    public let linkKey: X25519PublicKey
    public let tcp: SocketAddress
    public let udp: SocketAddress
    public let roles: ServerRoles
    /// One to three, in ascending order of epoch.
    public let mixKeys: [MixKeyEntry]
    public let software: String
    public let signature: Signature
    /// The node's place, derived from its identity.
    public let nodeID: NodeID

    public var clusterID: VerifyingKey { certificate.clusterID }
    public var serverID: VerifyingKey { certificate.serverID }

    /// Signs a descriptor.
    /// - Parameters:
    ///   - mixKeys: one to three, of different epochs.
    ///   - software: name and version; at most ``softwareLimit`` bytes.
    public init(
        certificate: ServerCertificate, sequence: UInt64, expiry: UInt64, linkKey: X25519PublicKey,
        tcp: SocketAddress, udp: SocketAddress, roles: ServerRoles, mixKeys: [MixKeyEntry], software: String,
        key: borrowing SigningKey
    ) throws(DescriptorError) {
        guard certificate.serverID == key.publicKey else { throw .foreignKey }
        self.certificate = certificate
        self.sequence = sequence
        self.expiry = expiry
        self.linkKey = linkKey
        self.tcp = tcp
        self.udp = udp
        self.roles = roles
        self.mixKeys = mixKeys.sorted { $0.epoch < $1.epoch }
        self.software = software
        nodeID = Node.id(of: certificate.serverID)
        do throws(WireError) {
            try ServerDescriptor.check(self.mixKeys)
            guard software.utf8.count <= ServerDescriptor.softwareLimit else {
                throw .outOfRange(field: "software")
            }
        } catch { throw .malformed(error) }
        let unsigned = ServerDescriptor(
            certificate: certificate, sequence: sequence, expiry: expiry, linkKey: linkKey, tcp: tcp, udp: udp,
            roles: roles, mixKeys: self.mixKeys, software: software, nodeID: nodeID)
        signature = key.sign(ServerDescriptor.digest(unsigned.unsignedBytes()))
    }

    private init(
        certificate: ServerCertificate, sequence: UInt64, expiry: UInt64, linkKey: X25519PublicKey,
        tcp: SocketAddress, udp: SocketAddress, roles: ServerRoles, mixKeys: [MixKeyEntry], software: String,
        nodeID: NodeID
    ) {
        self.certificate = certificate
        self.sequence = sequence
        self.expiry = expiry
        self.linkKey = linkKey
        self.tcp = tcp
        self.udp = udp
        self.roles = roles
        self.mixKeys = mixKeys
        self.software = software
        self.nodeID = nodeID
        signature = Signature(Bytes64())
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
        guard kind == ServerDescriptor.kind else { throw .unknownKind(kind) }
        let version = try reader.uint8()
        guard version == ServerDescriptor.version else { throw .unknownKind(version) }
        let head = try ServerHead(&reader)
        (certificate, sequence, expiry) = (head.certificate, head.sequence, head.expiry)
        linkKey = X25519PublicKey(try reader.fixed())
        tcp = try SocketAddress(&reader)
        udp = try SocketAddress(&reader)
        roles = ServerRoles(rawValue: try reader.uint16())
        let count = Int(try reader.uint8())
        guard (1...ServerDescriptor.mixKeyLimit).contains(count) else { throw .outOfRange(field: "mixKeys") }
        var keys: [MixKeyEntry] = []
        for _ in 0..<count { keys.append(try MixKeyEntry(&reader)) }
        try ServerDescriptor.check(keys)
        mixKeys = keys
        software = try reader.string(limit: ServerDescriptor.softwareLimit, field: "software")
        signature = Signature(try reader.fixed())
        try reader.finish()
        nodeID = Node.id(of: certificate.serverID)
    }

    public func encode() -> [UInt8] {
        var bytes = unsignedBytes()
        bytes.append(contentsOf: signature.bytes.bytes)
        return bytes
    }

    /// The encoding of this server's descriptor with another sequence, expiry, mix keys and signature: what a renewal
    /// changes. Nothing of it is checked.
    public func encode(
        sequence: UInt64, expiry: UInt64, mixKeys: [MixKeyEntry], signature: Signature
    ) -> [UInt8] {
        ServerDescriptor(
            certificate: certificate, sequence: sequence, expiry: expiry, linkKey: linkKey, tcp: tcp, udp: udp,
            roles: roles, mixKeys: mixKeys, software: software, nodeID: nodeID
        ).unsignedBytes() + signature.bytes.bytes
    }

    /// Checks dates, the server's signature and the cluster's certificate.
    public func verify(at now: Timestamp) throws(DescriptorError) {
        try DescriptorLifetime.check(expiry: expiry, longest: DescriptorLifetime.server, at: now)
        guard serverID.isValid(signature, for: ServerDescriptor.digest(unsignedBytes())) else {
            throw .wrongSignature
        }
        try certificate.verify(at: now)
    }

    /// Whether its own and its certificate's time are not over; signatures are not looked at.
    public func isCurrent(at now: Timestamp) -> Bool {
        expiry > now.seconds && certificate.expiry > now.seconds
    }

    /// The mix key of `epoch`, if announced.
    public func mixKey(epoch: UInt64) -> X25519PublicKey? {
        mixKeys.first { $0.epoch == epoch }?.key
    }

    private static func check(_ keys: [MixKeyEntry]) throws(WireError) {
        guard (1...mixKeyLimit).contains(keys.count), zip(keys, keys.dropFirst()).allSatisfy({ $0.epoch < $1.epoch })
        else { throw .outOfRange(field: "mixKeys") }
    }

    /// What the server signs: `H("hulda/server", everything before the signature)`.
    static func digest(_ unsigned: [UInt8]) -> [UInt8] {
        BLAKE2b.h(Domain("hulda/server"), unsigned).bytes
    }

    private func unsignedBytes() -> [UInt8] {
        var writer = Writer(capacity: 512)
        writer.uint8(ServerDescriptor.kind)
        writer.uint8(ServerDescriptor.version)
        writer.fixed(clusterID.bytes)
        writer.fixed(serverID.bytes)
        writer.uint64(sequence)
        writer.uint64(expiry)
        writer.uint64(certificate.expiry)
        writer.fixed(certificate.signature.bytes)
        writer.fixed(linkKey.bytes)
        tcp.encode(&writer)
        udp.encode(&writer)
        writer.uint16(roles.rawValue)
        writer.uint8(UInt8(truncatingIfNeeded: mixKeys.count))
        for entry in mixKeys { entry.encode(&writer) }
        writer.string(software)
        return writer.bytes
    }
}
