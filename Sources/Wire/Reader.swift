import Primitives

/// Why bytes from outside could not be decoded.
public enum WireError: Error, Equatable, Sendable {
    /// The bytes end before the value does.
    case truncated
    /// Bytes remain after the last value.
    case trailingBytes(Int)
    /// A length, count or enumerator outside its range.
    case outOfRange(field: String)
    /// An unknown kind or version.
    case unknownKind(UInt8)
}

/// Reads little-endian values from bytes of unknown origin; every read is bounds-checked.
public struct Reader: ~Copyable {
    // Inlinable, so that what reads a message is compiled for its types.
    @usableFromInline let bytes: [UInt8]
    @usableFromInline var position = 0
    @usableFromInline let end: Int

    @inlinable
    public init(_ bytes: [UInt8]) {
        self.bytes = bytes
        end = bytes.count
    }

    public init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = Array(bytes)
        end = self.bytes.count
    }

    /// Bytes not yet read.
    @inlinable
    public var remaining: Int { end - position }

    @inlinable
    public mutating func uint8() throws(WireError) -> UInt8 {
        guard remaining >= 1 else { throw .truncated }
        defer { position += 1 }
        return bytes[position]
    }

    @inlinable
    public mutating func uint16() throws(WireError) -> UInt16 { UInt16(truncatingIfNeeded: try integer(2)) }
    @inlinable
    public mutating func uint32() throws(WireError) -> UInt32 { UInt32(truncatingIfNeeded: try integer(4)) }
    @inlinable
    public mutating func uint64() throws(WireError) -> UInt64 { try integer(8) }

    @inlinable
    mutating func integer(_ size: Int) throws(WireError) -> UInt64 {
        guard remaining >= size else { throw .truncated }
        var value: UInt64 = 0
        for index in 0..<size { value |= UInt64(bytes[position + index]) << UInt64(8 * index) }
        position += size
        return value
    }

    /// A value of fixed size: a key, hash, tag or signature.
    @inlinable
    public mutating func fixed<T: FixedBytes>(_ type: T.Type = T.self) throws(WireError) -> T {
        guard remaining >= T.count,
            let value = bytes.withUnsafeBytes({
                T(raw: UnsafeRawBufferPointer(rebasing: $0[position..<position + T.count]))
            })
        else { throw .truncated }
        position += T.count
        return value
    }

    /// Exactly `count` bytes.
    @inlinable
    public mutating func bytes(_ count: Int) throws(WireError) -> [UInt8] {
        guard count >= 0, remaining >= count else { throw .truncated }
        defer { position += count }
        return Array(bytes[position..<position + count])
    }

    /// Bytes behind their 16-bit length.
    /// - Parameters:
    ///   - limit: the most bytes accepted.
    ///   - field: the name used in the error.
    public mutating func prefixed(limit: Int, field: String) throws(WireError) -> [UInt8] {
        let count = Int(try uint16())
        guard count <= limit else { throw .outOfRange(field: field) }
        return try bytes(count)
    }

    /// UTF-8 behind its 16-bit length.
    public mutating func string(limit: Int, field: String) throws(WireError) -> String {
        let raw = try prefixed(limit: limit, field: field)
        guard let text = String(validating: raw, as: UTF8.self) else { throw .outOfRange(field: field) }
        return text
    }

    /// The bytes not yet read.
    @inlinable
    public mutating func rest() -> [UInt8] {
        defer { position = end }
        return Array(bytes[position..<end])
    }

    /// Fails unless everything was read.
    public consuming func finish() throws(WireError) {
        guard remaining == 0 else { throw .trailingBytes(remaining) }
    }
}
