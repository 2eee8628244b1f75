/// A value of a fixed number of public bytes, stored inline: keys, hashes, signatures, identifiers.
///
/// Keys never live in one of these, since their copies on the stack are not zeroed; see ``SecretBytes``. What is made to be
/// shown to somebody at once or within the day may: the secret of a mailbox's handle, of the shared random value, of a name.
public protocol FixedBytes: Hashable, Comparable, Sendable, BitwiseCopyable, CustomStringConvertible {
    /// The number of bytes.
    static var count: Int { get }
    /// All bytes zero.
    init()
}

extension FixedBytes {
    /// Copies exactly ``count`` bytes; `nil` when `bytes` has another length.
    @inlinable
    public init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count == Self.count else { return nil }
        self.init()
        Swift.withUnsafeMutableBytes(of: &self) { $0.copyBytes(from: bytes) }
    }

    /// Copies exactly ``count`` bytes; `nil` when `raw` has another length.
    @inlinable
    public init?(raw: UnsafeRawBufferPointer) {
        guard raw.count == Self.count else { return nil }
        self.init()
        Swift.withUnsafeMutableBytes(of: &self) { $0.copyMemory(from: raw) }
    }

    /// Lets `body` fill the bytes in place.
    @inlinable
    public init<E: Error>(unsafe body: (UnsafeMutableRawBufferPointer) throws(E) -> Void) throws(E) {
        self.init()
        try self.withUnsafeMutableBytes(body)
    }

    /// Reads the bytes in place.
    @inlinable
    public func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        var copy = self
        return try copy.withUnsafeMutableBytes { (raw) throws(E) -> R in try body(UnsafeRawBufferPointer(raw)) }
    }

    /// Writes the bytes in place.
    @inlinable
    public mutating func withUnsafeMutableBytes<R, E: Error>(
        _ body: (UnsafeMutableRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        let count = Self.count
        var failure: E?
        var result: R?
        Swift.withUnsafeMutableBytes(of: &self) { raw in
            do throws(E) {
                result = try body(UnsafeMutableRawBufferPointer(rebasing: raw[0..<count]))
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        // `body` returned, so a result was stored.
        return result.unsafelyUnwrapped
    }

    /// The bytes as an array.
    @inlinable
    public var bytes: [UInt8] { withUnsafeBytes { Array($0) } }

    /// Lower-case hexadecimal.
    public var hex: String { Hex.encode(bytes) }

    public var description: String { hex }

    @inlinable
    public static func < (left: Self, right: Self) -> Bool {
        left.withUnsafeBytes { l in right.withUnsafeBytes { r in l.lexicographicallyPrecedes(r) } }
    }
}

/// Sixteen bytes: authentication tags, handles, message identifiers.
public struct Bytes16: FixedBytes {
    public static let count = 16
    @usableFromInline var a: UInt64 = 0
    @usableFromInline var b: UInt64 = 0
    @inlinable public init() {}
}

/// Thirty-two bytes: public keys, hashes, node identifiers.
public struct Bytes32: FixedBytes {
    public static let count = 32
    @usableFromInline var a: UInt64 = 0
    @usableFromInline var b: UInt64 = 0
    @usableFromInline var c: UInt64 = 0
    @usableFromInline var d: UInt64 = 0
    @inlinable public init() {}
}

/// Sixty-four bytes: signatures.
public struct Bytes64: FixedBytes {
    public static let count = 64
    @usableFromInline var low = Bytes32()
    @usableFromInline var high = Bytes32()
    @inlinable public init() {}
}

/// Twenty-four bytes: XChaCha20 nonces.
public struct Bytes24: FixedBytes {
    public static let count = 24
    @usableFromInline var a: UInt64 = 0
    @usableFromInline var b: UInt64 = 0
    @usableFromInline var c: UInt64 = 0
    @inlinable public init() {}
}

/// Hexadecimal text.
public enum Hex {
    private static let digits = Array("0123456789abcdef".utf8)

    /// Lower-case hexadecimal of `bytes`.
    public static func encode(_ bytes: some Sequence<UInt8>) -> String {
        var out: [UInt8] = []
        for byte in bytes {
            out.append(digits[Int(byte >> 4)])
            out.append(digits[Int(byte & 15)])
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// The bytes that `text` spells; `nil` on an odd length or a character that is no digit.
    public static func decode(_ text: some StringProtocol) -> [UInt8]? {
        let characters = Array(text.utf8)
        guard characters.count % 2 == 0 else { return nil }
        var out: [UInt8] = []
        out.reserveCapacity(characters.count / 2)
        for index in stride(from: 0, to: characters.count, by: 2) {
            guard let high = value(characters[index]), let low = value(characters[index + 1]) else { return nil }
            out.append(high << 4 | low)
        }
        return out
    }

    private static func value(_ character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): character - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
