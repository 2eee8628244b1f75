import Primitives
import Wire

/// What two maps say about capacity statements (specs/map.md, "Gossip of statements"). Each fits one stream frame.
enum CapacityMessage: Equatable, Sendable {
    /// Identifiers of statements that the sender has.
    case have([UInt64])
    /// Identifiers of those that it would like.
    case want([UInt64])
    /// Statements as signed.
    case statements([[UInt8]])

    static let kinds: ClosedRange<UInt8> = 24...26
    static let nameLimit = 300

    /// The first 8 bytes of `H("hulda/cap-id", statement)`, little-endian.
    static func name(_ statement: [UInt8]) -> UInt64 {
        BLAKE2b.h(Domain("hulda/cap-id"), statement)
            .withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
    }

    init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        let kind = try reader.uint8()
        switch kind {
        case 24: self = .have(try CapacityMessage.names(&reader))
        case 25: self = .want(try CapacityMessage.names(&reader))
        case 26:
            var statements: [[UInt8]] = []
            for _ in 0..<Int(try reader.uint8()) {
                statements.append(try reader.prefixed(limit: CapacityStatement.sizeLimit, field: "statement"))
            }
            self = .statements(statements)
        default: throw .unknownKind(kind)
        }
        try reader.finish()
    }

    private static func names(_ reader: inout Reader) throws(WireError) -> [UInt64] {
        let count = Int(try reader.uint16())
        guard (1...nameLimit).contains(count) else { throw .outOfRange(field: "names") }
        var names: [UInt64] = []
        for _ in 0..<count { names.append(try reader.uint64()) }
        return names
    }

    func encode() -> [UInt8] {
        var writer = Writer(capacity: 2600)
        switch self {
        case .have(let names), .want(let names):
            if case .have = self { writer.uint8(24) } else { writer.uint8(25) }
            writer.uint16(UInt16(truncatingIfNeeded: names.count))
            for name in names { writer.uint64(name) }
        case .statements(let statements):
            writer.uint8(26)
            writer.uint8(UInt8(truncatingIfNeeded: statements.count))
            for statement in statements { writer.prefixed(statement) }
        }
        return writer.bytes
    }

    /// Packs statements into as few messages as they need.
    static func pack(_ statements: [[UInt8]]) -> [CapacityMessage] {
        var messages: [CapacityMessage] = []
        var part: [[UInt8]] = []
        var size = 2
        for statement in statements {
            if size + 2 + statement.count > Limits.envelopeSize || part.count == 255 {
                messages.append(.statements(part))
                (part, size) = ([], 2)
            }
            part.append(statement)
            size += 2 + statement.count
        }
        if !part.isEmpty { messages.append(.statements(part)) }
        return messages
    }
}
