import Primitives
import Records
import Wire

/// What an agent asks a server about snapshot roots, in an envelope, and the answer: requests of the map's service
/// (specs/map.md, "Roots through envelopes").
public enum RootInquiry: Equatable, Sendable {
    /// The roots of an epoch by the clusters with these identifiers.
    case ask(epoch: UInt64, clusters: [Bytes16])
    /// Roots as signed.
    case roots([[UInt8]])

    /// Names in one question.
    public static let nameLimit = 7
    /// Roots in one answer: what fits into a reply.
    public static let rootLimit = 8

    public init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        let kind = try reader.uint8()
        switch kind {
        case 1:
            let epoch = try reader.uint64()
            let count = Int(try reader.uint8())
            guard (1...RootInquiry.nameLimit).contains(count) else { throw .outOfRange(field: "clusters") }
            var clusters: [Bytes16] = []
            for _ in 0..<count { clusters.append(try reader.fixed()) }
            self = .ask(epoch: epoch, clusters: clusters)
        case 2:
            let count = Int(try reader.uint8())
            guard count <= RootInquiry.rootLimit else { throw .outOfRange(field: "roots") }
            var roots: [[UInt8]] = []
            for _ in 0..<count { roots.append(try reader.bytes(SnapshotRoot.encodedSize)) }
            self = .roots(roots)
        default:
            throw .unknownKind(kind)
        }
        try reader.finish()
    }

    public func encode() -> [UInt8] {
        var writer = Writer(capacity: 2 + RootInquiry.rootLimit * SnapshotRoot.encodedSize)
        switch self {
        case .ask(let epoch, let clusters):
            writer.uint8(1)
            writer.uint64(epoch)
            writer.uint8(UInt8(truncatingIfNeeded: clusters.count))
            for cluster in clusters { writer.fixed(cluster) }
        case .roots(let roots):
            writer.uint8(2)
            writer.uint8(UInt8(truncatingIfNeeded: roots.count))
            for root in roots { writer.append(root) }
        }
        return writer.bytes
    }
}

/// A question of an agent's cross-check, and the server to which it goes.
public struct RootQuestion: Equatable, Sendable {
    public let server: NodeID
    public let epoch: UInt64
    public let clusters: [Bytes16]

    public var body: [UInt8] { RootInquiry.ask(epoch: epoch, clusters: clusters).encode() }
}
