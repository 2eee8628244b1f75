import Primitives
import Wire

/// A server's descriptor of a later version than this program knows: what every version has in the same place, so that it
/// can be checked, kept and passed on unread (specs/map.md, "Versions").
public struct LaterServer: Hashable, Sendable {
    /// The descriptor as signed.
    public let bytes: [UInt8]
    public let certificate: ServerCertificate
    public let sequence: UInt64
    /// Seconds since 1970.
    public let expiry: UInt64
    public let nodeID: NodeID

    private static let signatureSize = 64

    /// Whether bytes say that they are a server's descriptor of a later version.
    public static func isOne(_ bytes: [UInt8]) -> Bool {
        bytes.count > 1 && bytes[0] == ServerDescriptor.kind && bytes[1] > ServerDescriptor.version
    }

    public init(decoding bytes: [UInt8]) throws(DescriptorError) {
        guard bytes.count <= Limits.descriptorSize else { throw .oversize(bytes.count) }
        do throws(WireError) {
            var reader = Reader(bytes)
            guard LaterServer.isOne(bytes) else { throw .unknownKind(bytes.first ?? 0) }
            // Kind and version; at the end is the server's signature over everything before.
            _ = try reader.bytes(2)
            let head = try ServerHead(&reader)
            (certificate, sequence, expiry) = (head.certificate, head.sequence, head.expiry)
            guard reader.remaining >= LaterServer.signatureSize else { throw .truncated }
        } catch { throw .malformed(error) }
        self.bytes = bytes
        nodeID = Node.id(of: certificate.serverID)
    }

    /// Checks dates, the server's signature and the cluster's certificate, as of any version.
    public func verify(at now: Timestamp) throws(DescriptorError) {
        try DescriptorLifetime.check(expiry: expiry, longest: DescriptorLifetime.server, at: now)
        let signed = bytes.dropLast(LaterServer.signatureSize)
        guard let raw = Bytes64(bytes.suffix(LaterServer.signatureSize)),
            certificate.serverID.isValid(Signature(raw), for: ServerDescriptor.digest(Array(signed)))
        else { throw .wrongSignature }
        try certificate.verify(at: now)
    }

    /// Whether its own and its certificate's time are not over; signatures are not looked at.
    public func isCurrent(at now: Timestamp) -> Bool {
        expiry > now.seconds && certificate.expiry > now.seconds
    }
}
