import Primitives

/// Appends little-endian values.
public struct Writer {
    public private(set) var bytes: [UInt8]

    public init(capacity: Int = 64) {
        bytes = []
        bytes.reserveCapacity(capacity)
    }

    public mutating func uint8(_ value: UInt8) { bytes.append(value) }
    public mutating func uint16(_ value: UInt16) { integer(UInt64(value), 2) }
    public mutating func uint32(_ value: UInt32) { integer(UInt64(value), 4) }
    public mutating func uint64(_ value: UInt64) { integer(value, 8) }

    private mutating func integer(_ value: UInt64, _ size: Int) {
        for index in 0..<size { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * index))) }
    }

    public mutating func fixed<T: FixedBytes>(_ value: T) { value.withUnsafeBytes { bytes.append(contentsOf: $0) } }
    public mutating func append(_ value: some Sequence<UInt8>) { bytes.append(contentsOf: value) }

    /// Bytes behind their 16-bit length; what exceeds 65,535 bytes is a bug of the caller.
    public mutating func prefixed(_ value: [UInt8]) {
        precondition(value.count <= Int(UInt16.max))
        uint16(UInt16(value.count))
        append(value)
    }

    public mutating func string(_ value: String) { prefixed(Array(value.utf8)) }

    /// Zero bytes up to `size` in all.
    public mutating func pad(to size: Int) {
        if bytes.count < size { bytes.append(contentsOf: repeatElement(0, count: size - bytes.count)) }
    }
}
