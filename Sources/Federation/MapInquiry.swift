import Primitives
import Records
import Wire

/// What an agent asks a server about the map, in an envelope, and the answer: requests of the map's service
/// (specs/map.md, "Roots through envelopes" and "Newcomers").
public enum MapInquiry: Equatable, Sendable {
    /// The roots of an epoch by the clusters with these identifiers.
    case ask(epoch: UInt64, clusters: [Bytes16])
    /// Roots as signed.
    case roots([[UInt8]])
    /// Which servers came onto the map in this epoch and the last one, of those whose names are above `after`. The tag
    /// is known to nobody but the two, so the answer need not say whose it is.
    case askNewcomers(tag: UInt64, after: UInt64?)
    case newcomers(tag: UInt64, NewcomerPage)

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
            guard (1...MapInquiry.nameLimit).contains(count) else { throw .outOfRange(field: "clusters") }
            var clusters: [Bytes16] = []
            for _ in 0..<count { clusters.append(try reader.fixed()) }
            self = .ask(epoch: epoch, clusters: clusters)
        case 2:
            let count = Int(try reader.uint8())
            guard count <= MapInquiry.rootLimit else { throw .outOfRange(field: "roots") }
            var roots: [[UInt8]] = []
            for _ in 0..<count { roots.append(try reader.bytes(SnapshotRoot.encodedSize)) }
            self = .roots(roots)
        case 3:
            let tag = try reader.uint64()
            let isNext = try reader.uint8()
            let after = try reader.uint64()
            guard isNext == 1 || (isNext == 0 && after == 0) else { throw .outOfRange(field: "after") }
            self = .askNewcomers(tag: tag, after: isNext == 1 ? after : nil)
        case 4:
            let tag = try reader.uint64()
            self = .newcomers(tag: tag, try NewcomerPage(&reader))
        default:
            throw .unknownKind(kind)
        }
        try reader.finish()
    }

    public func encode() -> [UInt8] {
        var writer = Writer(capacity: 2 + MapInquiry.rootLimit * SnapshotRoot.encodedSize)
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
        case .askNewcomers(let tag, let after):
            writer.uint8(3)
            writer.uint64(tag)
            writer.uint8(after == nil ? 0 : 1)
            writer.uint64(after ?? 0)
        case .newcomers(let tag, let page):
            writer.uint8(4)
            writer.uint64(tag)
            page.encode(into: &writer)
        }
        return writer.bytes
    }
}

/// A question of an agent's map, and the server to which it goes.
public struct MapQuestion: Equatable, Sendable {
    public let server: NodeID
    public let inquiry: MapInquiry

    public var body: [UInt8] { inquiry.encode() }
}
