import Primitives
import Wire

/// What nodes of version 2 say about their maps (specs/map.md, "Version 2"): map messages' kinds 6 to 10.
enum ExchangeMessage: Equatable, Sendable {
    /// The versions that the sender speaks, its share of the link's key, and its clock in seconds, of which an agent says
    /// nothing. What follows in later versions is ignored.
    case hello(lowest: UInt8, highest: UInt8, salt: Bytes16, clock: UInt64 = 0)
    /// Cells of the sender's set from the number `first` on. `whole` is the exclusive or of all names, so that cells of
    /// two states of the set are never mixed; `held` the number of elements.
    case sketch(first: Int, held: Int, whole: UInt64, [CodedSymbol])
    /// Send me that many cells from the number `first` on.
    case more(first: Int, count: Int)
    /// Items, see ``ParcelItem``.
    case parcel([UInt8])
    /// What you sent did not decode within bounds: let us compare bucket by bucket.
    case walk

    static let kinds: ClosedRange<UInt8> = 6...10
    /// Cells in one message: kind 1 ‖ first 4 ‖ held 4 ‖ whole 8 ‖ cells.
    static let symbolsPerMessage = (Limits.envelopeSize - 17) / CodedSymbol.encodedSize
    /// No comparison takes more cells than these.
    static let symbolLimit = 32 * symbolsPerMessage

    init(decoding bytes: [UInt8]) throws(WireError) {
        guard bytes.count <= Limits.envelopeSize else { throw .outOfRange(field: "message") }
        var reader = Reader(bytes)
        let kind = try reader.uint8()
        switch kind {
        case 6:
            let lowest = try reader.uint8()
            let highest = try reader.uint8()
            guard lowest > 0, lowest <= highest else { throw .outOfRange(field: "versions") }
            self = .hello(
                lowest: lowest, highest: highest, salt: try reader.fixed(), clock: try reader.uint64())
            _ = reader.rest()
        case 7:
            let first = Int(try reader.uint32())
            let held = Int(try reader.uint32())
            let whole = try reader.uint64()
            guard reader.remaining % CodedSymbol.encodedSize == 0, reader.remaining > 0 else {
                throw .outOfRange(field: "symbols")
            }
            let count = reader.remaining / CodedSymbol.encodedSize
            guard first + count <= ExchangeMessage.symbolLimit else { throw .outOfRange(field: "symbols") }
            var symbols: [CodedSymbol] = []
            for _ in 0..<count { symbols.append(CodedSymbol(sum: try reader.uint64(), check: try reader.uint32())) }
            self = .sketch(first: first, held: held, whole: whole, symbols)
        case 8:
            let first = Int(try reader.uint32())
            let count = Int(try reader.uint32())
            guard count > 0, first <= ExchangeMessage.symbolLimit, count <= ExchangeMessage.symbolLimit - first else {
                throw .outOfRange(field: "symbols")
            }
            self = .more(first: first, count: count)
        case 9: self = .parcel(reader.rest())
        case 10: self = .walk
        default: throw .unknownKind(kind)
        }
        try reader.finish()
    }

    func encode() -> [UInt8] {
        var writer = Writer(capacity: 64)
        switch self {
        case .hello(let lowest, let highest, let salt, let clock):
            writer.uint8(6)
            writer.uint8(lowest)
            writer.uint8(highest)
            writer.fixed(salt)
            writer.uint64(clock)
        case .sketch(let first, let held, let whole, let symbols):
            writer.uint8(7)
            writer.uint32(UInt32(clamping: first))
            writer.uint32(UInt32(clamping: held))
            writer.uint64(whole)
            for symbol in symbols {
                writer.uint64(symbol.sum)
                writer.uint32(symbol.check)
            }
        case .more(let first, let count):
            writer.uint8(8)
            writer.uint32(UInt32(clamping: first))
            writer.uint32(UInt32(clamping: count))
        case .parcel(let bytes):
            writer.uint8(9)
            writer.append(bytes)
        case .walk: writer.uint8(10)
        }
        return writer.bytes
    }
}
