/// LIONESS (Anderson and Biham, 1996): a wide-block permutation from a stream cipher and a keyed hash.
///
/// Any change of the input changes every bit of the output with probability one half, so a tagged payload is noise.
/// Here: ChaCha20 (RFC 8439, zero nonce) and keyed BLAKE2b-256, left part 32 bytes, the rest on the right
/// (specs/envelope.md, "Payload").
public enum Lioness {
    /// Four subkeys of 32 bytes.
    public static let keySize = 128
    /// The left part; a block is larger than this.
    public static let leftSize = 32
    private static let domain = Domain("hulda/lioness")

    /// Encrypts `block` in place.
    /// - Parameters:
    ///   - block: more than ``leftSize`` bytes.
    ///   - key: ``keySize`` bytes.
    public static func encrypt(_ block: UnsafeMutableRawBufferPointer, key: UnsafeRawBufferPointer) {
        precondition(key.count == keySize && block.count > leftSize)
        let left = UnsafeMutableRawBufferPointer(rebasing: block[..<leftSize])
        let right = UnsafeMutableRawBufferPointer(rebasing: block[leftSize...])
        stream(right, left, subkey(key, 0))
        digest(left, right, subkey(key, 1))
        stream(right, left, subkey(key, 2))
        digest(left, right, subkey(key, 3))
    }

    /// Decrypts `block` in place: the inverse of ``encrypt(_:key:)``.
    public static func decrypt(_ block: UnsafeMutableRawBufferPointer, key: UnsafeRawBufferPointer) {
        precondition(key.count == keySize && block.count > leftSize)
        let left = UnsafeMutableRawBufferPointer(rebasing: block[..<leftSize])
        let right = UnsafeMutableRawBufferPointer(rebasing: block[leftSize...])
        digest(left, right, subkey(key, 3))
        stream(right, left, subkey(key, 2))
        digest(left, right, subkey(key, 1))
        stream(right, left, subkey(key, 0))
    }

    @inline(__always)
    private static func subkey(_ key: UnsafeRawBufferPointer, _ index: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: key[index * 32..<index * 32 + 32])
    }

    /// `right ^= ChaCha20(left ^ subkey)`
    @inline(__always)
    private static func stream(
        _ right: UnsafeMutableRawBufferPointer, _ left: UnsafeMutableRawBufferPointer, _ subkey: UnsafeRawBufferPointer
    ) {
        withUnsafeTemporaryAllocation(byteCount: leftSize, alignment: 16) { mixed in
            mixed.copyMemory(from: subkey)
            xor(mixed, UnsafeRawBufferPointer(left))
            ChaCha20.xor(right, oneTimeKey: UnsafeRawBufferPointer(mixed))
            SecretBytes.zero(mixed)
        }
    }

    /// `left ^= BLAKE2b-256(subkey, right)`
    @inline(__always)
    private static func digest(
        _ left: UnsafeMutableRawBufferPointer, _ right: UnsafeMutableRawBufferPointer, _ subkey: UnsafeRawBufferPointer
    ) {
        withUnsafeTemporaryAllocation(byteCount: leftSize, alignment: 16) { hash in
            BLAKE2b.hash(into: hash, UnsafeRawBufferPointer(right), key: subkey, domain: domain)
            xor(left, UnsafeRawBufferPointer(hash))
        }
    }

    @inline(__always)
    private static func xor(_ target: UnsafeMutableRawBufferPointer, _ source: UnsafeRawBufferPointer) {
        for offset in stride(from: 0, to: leftSize, by: 8) {
            let value =
                target.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                ^ source.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            target.storeBytes(of: value, toByteOffset: offset, as: UInt64.self)
        }
    }
}
