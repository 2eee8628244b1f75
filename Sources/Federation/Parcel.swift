import Primitives
import Wire

/// What version 2 puts together into one frame, because a frame has one size however little is in it
/// (specs/map.md, "Parcels").
enum ParcelItem: Equatable, Sendable {
    /// A descriptor as its signer encoded it.
    case descriptor([UInt8])
    /// What is new in a descriptor, encoded.
    case renewal([UInt8])
    /// A snapshot root as signed.
    case root([UInt8])
    /// Send me what has these short names.
    case ask([UInt64])
    /// Send me the descriptors of these identifiers whole.
    case whole([Bytes16])
    /// I hold these: ask for what is new to you, by its short name.
    case offer([MapDigest])
    /// Of a later version: passed over.
    case unknown(UInt8)

    /// Kind 1 ‖ length 2.
    static let headerSize = 3

    init(kind: UInt8, _ body: [UInt8]) throws(WireError) {
        var reader = Reader(body)
        switch kind {
        case 1:
            guard body.count <= Limits.descriptorSize else { throw .outOfRange(field: "descriptor") }
            self = .descriptor(reader.rest())
        case 2: self = .renewal(reader.rest())
        case 3: self = .root(reader.rest())
        case 4:
            var names: [UInt64] = []
            while reader.remaining > 0 { names.append(try reader.uint64()) }
            self = .ask(names)
        case 5:
            var identifiers: [Bytes16] = []
            while reader.remaining > 0 { identifiers.append(try reader.fixed()) }
            self = .whole(identifiers)
        case 6:
            var digests: [MapDigest] = []
            while reader.remaining > 0 {
                digests.append(MapDigest(id: try reader.fixed(), sequence: try reader.uint64()))
            }
            self = .offer(digests)
        default: self = .unknown(kind)
        }
    }

    private var kind: UInt8 {
        switch self {
        case .descriptor: 1
        case .renewal: 2
        case .root: 3
        case .ask: 4
        case .whole: 5
        case .offer: 6
        case .unknown(let kind): kind
        }
    }

    private var body: [UInt8] {
        var writer = Writer()
        switch self {
        case .descriptor(let bytes), .renewal(let bytes), .root(let bytes): return bytes
        case .ask(let names): for name in names { writer.uint64(name) }
        case .whole(let identifiers): for id in identifiers { writer.fixed(id) }
        case .offer(let digests):
            for digest in digests {
                writer.fixed(digest.id)
                writer.uint64(digest.sequence)
            }
        case .unknown: break
        }
        return writer.bytes
    }

    func encode() -> [UInt8] {
        let body = body
        var writer = Writer(capacity: ParcelItem.headerSize + body.count)
        writer.uint8(kind)
        writer.prefixed(body)
        return writer.bytes
    }

    static func decode(_ bytes: [UInt8]) throws(WireError) -> [ParcelItem] {
        var reader = Reader(bytes)
        var items: [ParcelItem] = []
        while reader.remaining > 0 {
            let kind = try reader.uint8()
            items.append(try ParcelItem(kind: kind, try reader.prefixed(limit: bytes.count, field: "item")))
        }
        return items
    }
}

/// Items on their way to one link, put into as few messages as they fit in, in their order.
struct ParcelPacker: Sendable {
    /// What fits into one message beside its kind.
    static let room = Limits.envelopeSize - 1
    /// Short names, identifiers or digests in one item.
    static let listLimit = 64

    private(set) var parcels: [[UInt8]] = []

    mutating func add(_ item: ParcelItem) {
        let bytes = item.encode()
        if let last = parcels.indices.last, parcels[last].count + bytes.count <= ParcelPacker.room {
            parcels[last] += bytes
        } else {
            parcels.append(bytes)
        }
    }

    /// Adds items of at most ``listLimit`` elements each.
    mutating func add<T>(_ list: [T], _ item: ([T]) -> ParcelItem) {
        for start in stride(from: 0, to: list.count, by: ParcelPacker.listLimit) {
            add(item(Array(list[start...].prefix(ParcelPacker.listLimit))))
        }
    }
}
