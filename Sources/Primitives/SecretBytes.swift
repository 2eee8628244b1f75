import CSodium

/// Starts libsodium, which selects the fastest implementation for this processor.
///
/// Every initialiser of a key or hash in this target goes through here, so callers need not.
public enum Sodium {
    /// Whether the library started; false only when the system has no entropy source.
    public static let isReady: Bool = sodium_init() >= 0
}

/// Bytes that must not outlive their use: one owner, zeroed when it ends.
///
/// The buffer has a stable address, so moving the owner leaves no copy behind on the stack. Dumps and swap are kept away by
/// the program (specs/overview.md, "Secrets in memory").
public struct SecretBytes: ~Copyable, @unchecked Sendable {
    // Safety of `@unchecked Sendable`: the buffer has exactly one owner and is written only through `mutating` calls.
    @usableFromInline let buffer: UnsafeMutableRawBufferPointer

    /// `count` zero bytes.
    public init(count: Int) {
        _ = Sodium.isReady
        buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        buffer.initializeMemory(as: UInt8.self, repeating: 0)
    }

    /// A copy of `bytes`. The caller zeroes its own copy.
    public init(copying bytes: UnsafeRawBufferPointer) {
        self.init(count: bytes.count)
        buffer.copyMemory(from: bytes)
    }

    /// A copy of `bytes`, which are then zeroed; the caller's array must share its buffer with no other, or a copy is zeroed.
    public init(taking bytes: inout [UInt8]) {
        self.init(count: bytes.count)
        buffer.copyBytes(from: bytes)
        bytes.withUnsafeMutableBytes { SecretBytes.zero($0) }
    }

    deinit {
        SecretBytes.zero(buffer)
        buffer.deallocate()
    }

    public var count: Int { buffer.count }

    /// Another owner of the same bytes.
    public borrowing func copy() -> SecretBytes {
        SecretBytes(copying: UnsafeRawBufferPointer(buffer))
    }

    @inlinable
    public borrowing func withUnsafeBytes<R: ~Copyable, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R)
        throws(E) -> R
    {
        try body(UnsafeRawBufferPointer(buffer))
    }

    @inlinable
    public mutating func withUnsafeMutableBytes<R: ~Copyable, E: Error>(
        _ body: (UnsafeMutableRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        try body(buffer)
    }

    /// Overwrites `buffer` with zeros in a way that the optimiser keeps.
    @inlinable
    public static func zero(_ buffer: UnsafeMutableRawBufferPointer) {
        guard let base = buffer.baseAddress else { return }
        sodium_memzero(base, buffer.count)
    }
}

/// Secret bytes that several values share, for tables, whose values must be copyable; zeroed when the last of them ends.
public final class SharedSecret: Sendable {
    private let bytes: SecretBytes

    public init(_ bytes: consuming SecretBytes) { self.bytes = bytes }

    /// The UTF-8 of `text`, which itself stays in memory: for passphrases of tests and of programs that have a string.
    public convenience init(utf8 text: String) {
        var bytes = Array(text.utf8)
        self.init(SecretBytes(taking: &bytes))
    }

    public var count: Int { bytes.count }

    /// Another owner of the same bytes.
    public func copy() -> SecretBytes { bytes.copy() }

    public func withUnsafeBytes<R: ~Copyable, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R
    {
        try bytes.withUnsafeBytes(body)
    }
}

/// Comparison in time that depends on the length only.
public enum ConstantTime {
    /// Whether both have the same length and the same bytes.
    @inlinable
    public static func equal(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        guard left.count == right.count else { return false }
        guard let l = left.baseAddress, let r = right.baseAddress else { return true }
        return sodium_memcmp(l, r, left.count) == 0
    }

    @inlinable
    public static func equal<T: FixedBytes>(_ left: T, _ right: T) -> Bool {
        left.withUnsafeBytes { l in right.withUnsafeBytes { r in equal(l, r) } }
    }

    public static func equal(_ left: borrowing SecretBytes, _ right: borrowing SecretBytes) -> Bool {
        left.withUnsafeBytes { l in right.withUnsafeBytes { r in equal(l, r) } }
    }

    /// Whether all bytes are zero.
    @inlinable
    public static func isZero(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let base = bytes.baseAddress else { return true }
        return sodium_is_zero(base.assumingMemoryBound(to: UInt8.self), bytes.count) == 1
    }
}
