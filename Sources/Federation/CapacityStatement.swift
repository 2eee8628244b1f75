import Primitives
import Records
import Wire

/// What a server has measured of relays in an epoch, in its cluster's name (specs/map.md, "Capacity").
struct CapacityStatement: Equatable, Sendable {
    /// The most relays in one statement: a cluster of ten servers among its like measures 90 in the mean.
    static let entryLimit = 255
    /// The most in one of the first version, which names them by 6 bytes; of more each has 2 bytes with its step.
    static let longLimit = 32
    static let sizeLimit = 102 + max(7 * longLimit, 2 * entryLimit)
    private static let shortBits: UInt64 = 13

    struct Entry: Equatable, Sendable {
        /// ``name(_:)`` or, of more than ``longLimit``, ``shortName(_:)`` of the relay.
        let relay: UInt64
        /// The highest step that the relay passed; 0 for none.
        let step: UInt8
    }

    let epoch: UInt64
    let server: VerifyingKey
    /// Ascending by relay, without repetition.
    let entries: [Entry]
    let signature: Signature

    /// The first 6 bytes of the relay's node ID, big-endian.
    static func name(_ node: NodeID) -> UInt64 { node.bytes.prefix(6).reduce(0) { $0 << 8 | UInt64($1) } }

    /// Its first 13 bits, told apart from a name: enough among the relays that one cluster measures.
    static func shortName(_ node: NodeID) -> UInt64 { 1 << 48 | name(node) >> (48 - shortBits) }

    /// Signs a statement; what exceeds the limits is left out.
    init(epoch: UInt64, results: [NodeID: UInt8], server: VerifyingKey, sign: ([UInt8]) -> Signature) {
        self.epoch = epoch & 0xffff_ffff
        self.server = server
        entries = CapacityStatement.entries(results)
        signature = sign(
            CapacityStatement.digest(CapacityStatement.unsigned(self.epoch, server, entries)))
    }

    private static func entries(_ results: [NodeID: UInt8]) -> [Entry] {
        func named(_ name: (NodeID) -> UInt64, _ limit: Int) -> [Entry] {
            // What two relays have in common is said of neither.
            Dictionary(grouping: results, by: { name($0.key) }).filter { $0.value.count == 1 }.sorted {
                $0.key < $1.key
            }
            .prefix(limit).compactMap { relay, results in
                results.first.map { Entry(relay: relay, step: min($0.value, CapacityBook.highestStep)) }
            }
        }
        guard results.count > longLimit else { return named(name, longLimit) }
        let short = named(shortName, entryLimit)
        return short.count > longLimit ? short : named(name, longLimit)
    }

    /// Reads the layout; believe it only after ``isSigned``.
    init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        let version = try reader.uint8()
        guard version == 1 || version == 2 else { throw .unknownKind(version) }
        epoch = UInt64(try reader.uint32())
        server = VerifyingKey(try reader.fixed())
        let count = Int(try reader.uint8())
        let range = version == 1 ? 1...CapacityStatement.longLimit : CapacityStatement.longLimit + 1...255
        guard range.contains(count) else { throw .outOfRange(field: "entries") }
        var entries: [Entry] = []
        for _ in 0..<count { entries.append(try Entry(&reader, isShort: version == 2)) }
        let ascends = zip(entries, entries.dropFirst()).allSatisfy { $0.relay < $1.relay }
        guard ascends, entries.allSatisfy({ $0.step <= CapacityBook.highestStep }) else {
            throw .outOfRange(field: "entries")
        }
        self.entries = entries
        signature = Signature(try reader.fixed())
        try reader.finish()
    }

    func encode() -> [UInt8] {
        CapacityStatement.unsigned(epoch, server, entries) + signature.bytes.bytes
    }

    var isSigned: Bool {
        server.isValid(
            signature, for: CapacityStatement.digest(CapacityStatement.unsigned(epoch, server, entries)))
    }

    /// What the server signs: `H("hulda/capacity", everything before the signature)`.
    private static func digest(_ unsigned: [UInt8]) -> [UInt8] {
        BLAKE2b.h(Domain("hulda/capacity"), unsigned).bytes
    }

    /// Version 1 ‖ epoch 4 ‖ ServerID 32 ‖ number 1 ‖ entries of 7, or of 2 in version 2, for more than 32.
    private static func unsigned(_ epoch: UInt64, _ server: VerifyingKey, _ entries: [Entry]) -> [UInt8] {
        var writer = Writer(capacity: sizeLimit)
        let isShort = entries.count > longLimit
        writer.uint8(isShort ? 2 : 1)
        writer.uint32(UInt32(truncatingIfNeeded: epoch))
        writer.fixed(server.bytes)
        writer.uint8(UInt8(truncatingIfNeeded: entries.count))
        for entry in entries { entry.encode(&writer, isShort: isShort) }
        return writer.bytes
    }
}

extension CapacityStatement.Entry {
    fileprivate init(_ reader: inout Reader, isShort: Bool) throws(WireError) {
        guard isShort else {
            relay = try reader.bytes(6).reduce(0) { $0 << 8 | UInt64($1) }
            step = try reader.uint8()
            return
        }
        let both = try reader.uint16()
        relay = 1 << 48 | UInt64(both >> 3)
        step = UInt8(both & 7)
    }

    fileprivate func encode(_ writer: inout Writer, isShort: Bool) {
        guard !isShort else { return writer.uint16(UInt16(truncatingIfNeeded: relay << 3 | UInt64(step))) }
        for shift in stride(from: 40, through: 0, by: -8) {
            writer.uint8(UInt8(truncatingIfNeeded: relay >> UInt64(shift)))
        }
        writer.uint8(step)
    }
}
