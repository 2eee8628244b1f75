import CSodium

/// SipHash-2-4 (Aumasson and Bernstein, 2012): a keyed 64-bit hash for tables that strangers fill.
public struct SipHash: Sendable {
    private let key: Bytes16

    /// A hash under a fresh key.
    public init(_ entropy: inout Entropy) { key = entropy.bytes() }

    public init(key: Bytes16) { self.key = key }

    @inline(__always)
    public func hash<T: FixedBytes>(_ value: T) -> UInt64 {
        var out: UInt64 = 0
        withUnsafeMutableBytes(of: &out) { out in
            value.withUnsafeBytes { message in
                key.withUnsafeBytes { key in
                    _ = crypto_shorthash_siphash24(out.octets, message.octets, UInt64(message.count), key.octets)
                }
            }
        }
        return UInt64(littleEndian: out)
    }
}
