import Primitives
import Records
import Wire

/// A descriptor of either kind.
enum MapDescriptor: Hashable, Sendable {
    case cluster(ClusterDescriptor)
    case server(ServerDescriptor)
    /// A server's of a later version: kept and passed on for those who can read it.
    case later(LaterServer)

    init(decoding bytes: [UInt8]) throws(DescriptorError) {
        switch bytes.first {
        case ClusterDescriptor.kind: self = .cluster(try ClusterDescriptor(decoding: bytes))
        case ServerDescriptor.kind:
            self =
                LaterServer.isOne(bytes)
                ? .later(try LaterServer(decoding: bytes)) : .server(try ServerDescriptor(decoding: bytes))
        case .some(let kind): throw .malformed(.unknownKind(kind))
        case nil: throw .malformed(.truncated)
        }
    }

    func encode() -> [UInt8] {
        switch self {
        case .cluster(let descriptor): descriptor.encode()
        case .server(let descriptor): descriptor.encode()
        case .later(let descriptor): descriptor.bytes
        }
    }

    /// The first 16 bytes of `H("hulda/cluster-id", ClusterID)` or of the node ID.
    var id: Bytes16 {
        let whole =
            switch self {
            case .cluster(let descriptor): BLAKE2b.h(Domain("hulda/cluster-id"), descriptor.clusterID.bytes)
            case .server(let descriptor): descriptor.nodeID
            case .later(let descriptor): descriptor.nodeID
            }
        return Bytes16(whole.bytes.prefix(16)) ?? Bytes16()
    }

    var sequence: UInt64 {
        switch self {
        case .cluster(let descriptor): descriptor.sequence
        case .server(let descriptor): descriptor.sequence
        case .later(let descriptor): descriptor.sequence
        }
    }

    var clusterID: VerifyingKey {
        switch self {
        case .cluster(let descriptor): descriptor.clusterID
        case .server(let descriptor): descriptor.clusterID
        case .later(let descriptor): descriptor.certificate.clusterID
        }
    }

    func verify(at now: Timestamp) throws(DescriptorError) {
        switch self {
        case .cluster(let descriptor): try descriptor.verify(at: now)
        case .server(let descriptor): try descriptor.verify(at: now)
        case .later(let descriptor): try descriptor.verify(at: now)
        }
    }

    /// Checks that it was valid at some moment: in the last second in which it can have been. Needs no clock.
    func verifyOnce() throws(DescriptorError) {
        let end =
            switch self {
            case .cluster(let cluster): cluster.expiry
            case .server(let server): min(server.expiry, server.certificate.expiry)
            case .later(let server): min(server.expiry, server.certificate.expiry)
            }
        try verify(at: Timestamp(seconds: end > 0 ? end - 1 : 0))
    }

    func isCurrent(at now: Timestamp) -> Bool {
        switch self {
        case .cluster(let descriptor): descriptor.isCurrent(at: now)
        case .server(let descriptor): descriptor.isCurrent(at: now)
        case .later(let descriptor): descriptor.isCurrent(at: now)
        }
    }
}
