import Primitives
import Records
import Wire

/// One of the records of which a holder asks another whether it has them: enough to find it, and how new it is.
public struct RecordMark: Hashable, Sendable {
    /// Bytes: the first 16 of A' ‖ sequence 8.
    static let encodedSize = Bytes16.count + 8

    public let prefix: Bytes16
    public let sequence: UInt64

    public init(prefix: Bytes16, sequence: UInt64) {
        self.prefix = prefix
        self.sequence = sequence
    }

    init?(key: VerifyingKey, sequence: UInt64) {
        guard let prefix = Bytes16(key.bytes.bytes.prefix(Bytes16.count)) else { return nil }
        self.init(prefix: prefix, sequence: sequence)
    }

    init(_ reader: inout Reader) throws(WireError) {
        self.init(prefix: try reader.fixed(), sequence: try reader.uint64())
    }

    func encode(_ writer: inout Writer) {
        writer.fixed(prefix)
        writer.uint64(sequence)
    }

    /// Which of so many marks are meant, as bits: the first is the lowest of the first byte.
    static func bits(_ lacking: [Bool]) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: (lacking.count + 7) / 8)
        for (place, isLacking) in lacking.enumerated() where isLacking { bytes[place / 8] |= 1 << UInt8(place % 8) }
        return bytes
    }

    static func lacking(_ reader: inout Reader, count: Int) throws(WireError) -> [Bool] {
        let bytes = try reader.bytes((count + 7) / 8)
        let lacking = (0..<count).map { bytes[$0 / 8] & 1 << UInt8($0 % 8) != 0 }
        guard bits(lacking) == bytes else { throw .outOfRange(field: "lacking") }
        return lacking
    }
}
