import Primitives
import Wire

/// A cluster's word that a server is one of its own, until a date (specs/map.md, "Server certificate").
public struct ServerCertificate: Hashable, Sendable {
    public let clusterID: VerifyingKey
    public let serverID: VerifyingKey
    /// Seconds since 1970.
    public let expiry: UInt64
    public let signature: Signature

    /// Version 1 ‖ cluster 32 ‖ server 32 ‖ expiry 8 ‖ signature 64.
    public static let encodedSize = 137
    private static let version: UInt8 = 1

    /// Signs a certificate with the cluster's key.
    public init(server: VerifyingKey, expiry: UInt64, cluster: borrowing SigningKey) {
        clusterID = cluster.publicKey
        serverID = server
        self.expiry = expiry
        signature = cluster.sign(
            ServerCertificate.message(cluster: cluster.publicKey, server: server, expiry: expiry))
    }

    init(clusterID: VerifyingKey, serverID: VerifyingKey, expiry: UInt64, signature: Signature) {
        self.clusterID = clusterID
        self.serverID = serverID
        self.expiry = expiry
        self.signature = signature
    }

    /// The certificate as the file that an operator carries from the cluster key to the server.
    public init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        let version = try reader.uint8()
        guard version == ServerCertificate.version else { throw .unknownKind(version) }
        clusterID = VerifyingKey(try reader.fixed())
        serverID = VerifyingKey(try reader.fixed())
        expiry = try reader.uint64()
        signature = Signature(try reader.fixed())
        try reader.finish()
    }

    public func encode() -> [UInt8] {
        var writer = Writer(capacity: ServerCertificate.encodedSize)
        writer.uint8(ServerCertificate.version)
        writer.fixed(clusterID.bytes)
        writer.fixed(serverID.bytes)
        writer.uint64(expiry)
        writer.fixed(signature.bytes)
        return writer.bytes
    }

    /// Checks the date and the cluster's signature.
    public func verify(at now: Timestamp) throws(DescriptorError) {
        guard expiry > now.seconds else { throw .expired }
        let message = ServerCertificate.message(cluster: clusterID, server: serverID, expiry: expiry)
        guard clusterID.isValid(signature, for: message) else { throw .wrongCertificate }
    }

    /// What the cluster signs: `H("hulda/cert", cluster ‖ server ‖ expiry)`.
    private static func message(cluster: VerifyingKey, server: VerifyingKey, expiry: UInt64) -> [UInt8] {
        var writer = Writer(capacity: 72)
        writer.fixed(cluster.bytes)
        writer.fixed(server.bytes)
        writer.uint64(expiry)
        return BLAKE2b.h(Domain("hulda/cert"), writer.bytes).bytes
    }
}
