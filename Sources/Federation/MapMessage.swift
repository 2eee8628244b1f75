import Primitives
import Records
import Wire

/// What names one version of a descriptor in gossip: 16 bytes of its key's hash, and its sequence.
struct MapDigest: Hashable, Sendable, Comparable {
    var id: Bytes16
    var sequence: UInt64

    static let encodedSize = 24

    static func < (left: MapDigest, right: MapDigest) -> Bool {
        left.id == right.id ? left.sequence < right.sequence : left.id < right.id
    }
}

/// What two nodes say about their maps (specs/map.md, "Gossip"). Each fits one stream frame.
enum MapMessage: Equatable, Sendable {
    /// A salted checksum of each of 256 buckets of identifiers, by their first byte.
    case summary(salt: UInt64, checksums: [UInt64])
    /// All that the sender holds between two identifiers, both included.
    case digests(low: Bytes16, high: Bytes16, [MapDigest])
    /// One descriptor as its signer encoded it.
    case descriptor([UInt8])

    static let bucketCount = 256
    /// kind 1 ‖ low 16 ‖ high 16 ‖ count 2 ‖ digests.
    static let digestLimit = (Limits.envelopeSize - 35) / MapDigest.encodedSize

    init(decoding bytes: [UInt8]) throws(WireError) {
        guard bytes.count <= Limits.envelopeSize else { throw .outOfRange(field: "message") }
        var reader = Reader(bytes)
        let kind = try reader.uint8()
        switch kind {
        case 1:
            let salt = try reader.uint64()
            var sums: [UInt64] = []
            for _ in 0..<MapMessage.bucketCount { sums.append(try reader.uint64()) }
            self = .summary(salt: salt, checksums: sums)
        case 2:
            let low = try reader.fixed(Bytes16.self)
            let high = try reader.fixed(Bytes16.self)
            let count = Int(try reader.uint16())
            guard count <= MapMessage.digestLimit, low <= high else { throw .outOfRange(field: "digests") }
            var digests: [MapDigest] = []
            for _ in 0..<count { digests.append(MapDigest(id: try reader.fixed(), sequence: try reader.uint64())) }
            let ascending = zip(digests, digests.dropFirst()).allSatisfy { $0.id < $1.id }
            let inside = digests.allSatisfy { low <= $0.id && $0.id <= high }
            guard ascending, inside else { throw .outOfRange(field: "digests") }
            self = .digests(low: low, high: high, digests)
        case 3:
            let size = reader.remaining
            guard size <= Limits.descriptorSize else { throw .outOfRange(field: "descriptor") }
            self = .descriptor(reader.rest())
        default:
            throw .unknownKind(kind)
        }
        try reader.finish()
    }

    func encode() -> [UInt8] {
        var writer = Writer(capacity: 2100)
        switch self {
        case .summary(let salt, let checksums):
            writer.uint8(1)
            writer.uint64(salt)
            for sum in checksums { writer.uint64(sum) }
        case .digests(let low, let high, let digests):
            writer.uint8(2)
            writer.fixed(low)
            writer.fixed(high)
            writer.uint16(UInt16(truncatingIfNeeded: digests.count))
            for digest in digests {
                writer.fixed(digest.id)
                writer.uint64(digest.sequence)
            }
        case .descriptor(let bytes):
            writer.uint8(3)
            writer.append(bytes)
        }
        return writer.bytes
    }
}
