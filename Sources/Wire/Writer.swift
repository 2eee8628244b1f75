import Primitives

/// Appends little-endian values.
public struct Writer {
    @usableFromInline var written: [UInt8]

    @inlinable public var bytes: [UInt8] { written }

    /// The bytes, for somebody who goes on to change them: not shared with the writer, so not copied.
    @inlinable
    public consuming func finish() -> [UInt8] {
        var taken: [UInt8] = []
        swap(&taken, &written)
        return taken
    }

    @inlinable
    public init(capacity: Int = 64) {
        written = []
        written.reserveCapacity(capacity)
    }

    @inlinable
    public mutating func uint8(_ value: UInt8) { written.append(value) }
    @inlinable
    public mutating func uint16(_ value: UInt16) { integer(UInt64(value), 2) }
    @inlinable
    public mutating func uint32(_ value: UInt32) { integer(UInt64(value), 4) }
    @inlinable
    public mutating func uint64(_ value: UInt64) { integer(value, 8) }

    @inlinable
    mutating func integer(_ value: UInt64, _ size: Int) {
        for index in 0..<size { written.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * index))) }
    }

    @inlinable
    public mutating func fixed<T: FixedBytes>(_ value: T) { value.withUnsafeBytes { written.append(contentsOf: $0) } }
    @inlinable
    public mutating func append(_ value: some Sequence<UInt8>) { written.append(contentsOf: value) }

    /// Bytes behind their 16-bit length; what exceeds 65,535 bytes is a bug of the caller.
    @inlinable
    public mutating func prefixed(_ value: [UInt8]) {
        precondition(value.count <= Int(UInt16.max))
        uint16(UInt16(value.count))
        append(value)
    }

    public mutating func string(_ value: String) { prefixed(Array(value.utf8)) }

    /// Zero bytes up to `size` in all.
    @inlinable
    public mutating func pad(to size: Int) {
        if written.count < size { written.append(contentsOf: repeatElement(0, count: size - written.count)) }
    }
}
