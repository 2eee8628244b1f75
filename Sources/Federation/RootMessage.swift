import Primitives
import Wire

/// What two nodes say about snapshot roots (specs/map.md, "Gossip of roots"). Its kinds are map messages' 4 and 5.
enum RootMessage: Equatable, Sendable {
    /// A root as signed.
    case root([UInt8])
    /// Send me the roots of that epoch: of the named clusters, or of all if your checksum differs from mine.
    case ask(epoch: UInt64, checksum: UInt64, clusters: [Bytes16])

    static let kinds: ClosedRange<UInt8> = 4...5
    /// The most clusters named in one message.
    static let nameLimit = SnapshotComparison.voterLimit

    init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        let kind = try reader.uint8()
        switch kind {
        case 4:
            self = .root(try reader.bytes(SnapshotRoot.encodedSize))
        case 5:
            let epoch = try reader.uint64()
            let checksum = try reader.uint64()
            let count = Int(try reader.uint8())
            guard count <= RootMessage.nameLimit else { throw .outOfRange(field: "clusters") }
            var clusters: [Bytes16] = []
            for _ in 0..<count { clusters.append(try reader.fixed()) }
            guard zip(clusters, clusters.dropFirst()).allSatisfy({ $0 < $1 }) else {
                throw .outOfRange(field: "clusters")
            }
            self = .ask(epoch: epoch, checksum: checksum, clusters: clusters)
        default:
            throw .unknownKind(kind)
        }
        try reader.finish()
    }

    func encode() -> [UInt8] {
        var writer = Writer(capacity: 1 + SnapshotRoot.encodedSize)
        switch self {
        case .root(let bytes):
            writer.uint8(4)
            writer.append(bytes)
        case .ask(let epoch, let checksum, let clusters):
            writer.uint8(5)
            writer.uint64(epoch)
            writer.uint64(checksum)
            writer.uint8(UInt8(truncatingIfNeeded: clusters.count))
            for cluster in clusters { writer.fixed(cluster) }
        }
        return writer.bytes
    }
}
