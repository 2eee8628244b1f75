import Primitives
import Records
import Wire

/// What a server has measured of relays in an epoch, in its cluster's name (specs/map.md, "Capacity").
struct CapacityStatement: Equatable, Sendable {
    /// The most relays in one statement: a cluster of ten servers among its like measures 90 in the mean.
    static let entryLimit = 255
    static let sizeLimit = 102 + 7 * entryLimit
    private static let version: UInt8 = 1

    struct Entry: Equatable, Sendable {
        /// The first 6 bytes of the relay's node ID, big-endian.
        let relay: UInt64
        /// The highest step that the relay passed; 0 for none.
        let step: UInt8
    }

    let epoch: UInt64
    let server: VerifyingKey
    /// Ascending by relay, without repetition.
    let entries: [Entry]
    let signature: Signature

    static func name(_ node: NodeID) -> UInt64 { node.bytes.prefix(6).reduce(0) { $0 << 8 | UInt64($1) } }

    /// Signs a statement; what exceeds the limits is left out.
    init(epoch: UInt64, results: [NodeID: UInt8], server: VerifyingKey, sign: ([UInt8]) -> Signature) {
        self.epoch = epoch & 0xffff_ffff
        self.server = server
        let steps = Dictionary(results.map { (CapacityStatement.name($0), $1) }, uniquingKeysWith: min)
        entries = steps.sorted { $0.key < $1.key }.prefix(CapacityStatement.entryLimit).map {
            Entry(relay: $0.key, step: min($0.value, CapacityBook.highestStep))
        }
        signature = sign(
            CapacityStatement.digest(CapacityStatement.unsigned(self.epoch, server, entries)))
    }

    /// Reads the layout; believe it only after ``isSigned``.
    init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        let version = try reader.uint8()
        guard version == CapacityStatement.version else { throw .unknownKind(version) }
        epoch = UInt64(try reader.uint32())
        server = VerifyingKey(try reader.fixed())
        let count = Int(try reader.uint8())
        guard (1...CapacityStatement.entryLimit).contains(count) else { throw .outOfRange(field: "entries") }
        var entries: [Entry] = []
        for _ in 0..<count {
            let relay = try reader.bytes(6).reduce(0) { $0 << 8 | UInt64($1) }
            entries.append(Entry(relay: relay, step: try reader.uint8()))
        }
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

    /// Version 1 ‖ epoch 4 ‖ ServerID 32 ‖ number 1 ‖ entries of 7.
    private static func unsigned(_ epoch: UInt64, _ server: VerifyingKey, _ entries: [Entry]) -> [UInt8] {
        var writer = Writer(capacity: sizeLimit)
        writer.uint8(version)
        writer.uint32(UInt32(truncatingIfNeeded: epoch))
        writer.fixed(server.bytes)
        writer.uint8(UInt8(truncatingIfNeeded: entries.count))
        for entry in entries {
            for shift in stride(from: 40, through: 0, by: -8) {
                writer.uint8(UInt8(truncatingIfNeeded: entry.relay >> UInt64(shift)))
            }
            writer.uint8(entry.step)
        }
        return writer.bytes
    }
}
