import Primitives

/// The inside of an envelope: zero tag ‖ length ‖ content ‖ padding (specs/envelope.md, "Payload").
public enum Payload {
    /// An envelope that is not yet encrypted: `header` and the payload block of `content`.
    /// - Throws: ``EnvelopeError/contentTooLong(_:)``
    static func envelope(header: [UInt8], content: [UInt8]) throws(EnvelopeError) -> [UInt8] {
        guard content.count <= Geometry.contentSize else { throw .contentTooLong(content.count) }
        var out: [UInt8] = []
        out.reserveCapacity(Geometry.envelopeSize)
        out.append(contentsOf: header)
        out.append(contentsOf: repeatElement(0, count: Geometry.tagSize))
        out.append(UInt8(truncatingIfNeeded: content.count))
        out.append(UInt8(truncatingIfNeeded: content.count >> 8))
        out.append(contentsOf: content)
        out.append(contentsOf: repeatElement(0, count: Geometry.contentSize - content.count))
        return out
    }

    /// The content of an opened payload.
    /// - Parameter block: ``Geometry/payloadSize`` bytes.
    /// - Throws: ``EnvelopeError/tamperedPayload`` when the zero tag, the length or the padding does not fit.
    public static func content(of block: UnsafeRawBufferPointer) throws(EnvelopeError) -> [UInt8] {
        guard block.count == Geometry.payloadSize else {
            throw .wrongSize(expected: Geometry.payloadSize, actual: block.count)
        }
        guard ConstantTime.isZero(UnsafeRawBufferPointer(rebasing: block[0..<Geometry.tagSize])) else {
            throw .tamperedPayload
        }
        let count = Int(UInt16(littleEndian: block.loadUnaligned(fromByteOffset: Geometry.tagSize, as: UInt16.self)))
        let start = Geometry.tagSize + 2
        guard count <= Geometry.contentSize,
            ConstantTime.isZero(UnsafeRawBufferPointer(rebasing: block[(start + count)...]))
        else { throw .tamperedPayload }
        return Array(block[start..<start + count])
    }

    /// The content of an opened payload.
    public static func content(of block: [UInt8]) throws(EnvelopeError) -> [UInt8] {
        try block.withUnsafeBytes { raw in
            Result { () throws(EnvelopeError) in try content(of: raw) }
        }.get()
    }
}
