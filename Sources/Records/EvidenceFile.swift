import Wire

/// Two signed statements that contradict each other, in one file that needs nothing else to be checked (specs/map.md,
/// "Evidence"). What the statements are, and whether they contradict each other, is for those who know their kind.
public struct EvidenceFile: Hashable, Sendable {
    /// Why bytes are no such file.
    public enum Failure: Error, Equatable, Sendable {
        /// They do not begin like one.
        case notEvidence
        /// A later version of the format.
        case unknownVersion(UInt8)
        /// They do not follow the layout.
        case malformed(WireError)
        /// Both statements are the same bytes.
        case sameStatement
        /// The statements stand in the wrong order: one contradiction has one file.
        case wrongOrder
    }

    public static let magic = Array("hulda-evidence\n".utf8)
    private static let version: UInt8 = 1
    /// Magic 15 ‖ version 1 ‖ kind 1 ‖ twice a length of 2 and a statement.
    public static let sizeLimit = 17 + 2 * (2 + Limits.descriptorSize)

    public let kind: UInt8
    /// The two statements as their signers encoded them, ascending as bytes.
    public let first: [UInt8]
    public let second: [UInt8]

    public init(kind: UInt8, _ one: [UInt8], _ other: [UInt8]) {
        self.kind = kind
        (first, second) = one.lexicographicallyPrecedes(other) ? (one, other) : (other, one)
    }

    public init(decoding bytes: [UInt8]) throws(Failure) {
        guard bytes.starts(with: EvidenceFile.magic) else { throw .notEvidence }
        guard bytes.count <= EvidenceFile.sizeLimit else {
            throw .malformed(.trailingBytes(bytes.count - EvidenceFile.sizeLimit))
        }
        var reader = Reader(bytes.dropFirst(EvidenceFile.magic.count))
        let version: UInt8
        do throws(WireError) {
            version = try reader.uint8()
            kind = try reader.uint8()
            first = try reader.prefixed(limit: Limits.descriptorSize, field: "first")
            second = try reader.prefixed(limit: Limits.descriptorSize, field: "second")
            try reader.finish()
        } catch { throw .malformed(error) }
        guard version == EvidenceFile.version else { throw .unknownVersion(version) }
        guard first != second else { throw .sameStatement }
        guard first.lexicographicallyPrecedes(second) else { throw .wrongOrder }
    }

    public func encode() -> [UInt8] {
        var writer = Writer(capacity: EvidenceFile.sizeLimit)
        writer.append(EvidenceFile.magic)
        writer.uint8(EvidenceFile.version)
        writer.uint8(kind)
        writer.prefixed(first)
        writer.prefixed(second)
        return writer.bytes
    }
}
