import CSodium

/// An X25519 public key (RFC 7748).
public struct X25519PublicKey: Hashable, Sendable, BitwiseCopyable {
    public var bytes: Bytes32
    public init(_ bytes: Bytes32) { self.bytes = bytes }
}

/// An X25519 private key with its public key; zeroed when dropped.
public struct X25519PrivateKey: ~Copyable, Sendable {
    @usableFromInline let secret: SecretBytes
    public let publicKey: X25519PublicKey

    /// A new key. Costs one base multiplication.
    public init(_ entropy: inout Entropy) {
        var secret = SecretBytes(count: 32)
        secret.withUnsafeMutableBytes { entropy.fill($0) }
        self.init(unchecked: secret)
    }

    /// The key with these 32 bytes.
    /// - Throws: ``PrimitiveError/wrongLength(expected:actual:)``
    public init(_ secret: consuming SecretBytes) throws(PrimitiveError) {
        guard secret.count == 32 else { throw .wrongLength(expected: 32, actual: secret.count) }
        self.init(unchecked: secret)
    }

    private init(unchecked secret: consuming SecretBytes) {
        publicKey = X25519PublicKey(
            Bytes32(unsafe: { out in secret.withUnsafeBytes { X25519.multiplyBase(into: out, scalar: $0) } }))
        self.secret = secret
    }

    /// Another owner of the same key.
    public borrowing func copy() -> X25519PrivateKey {
        X25519PrivateKey(secret: secret.copy(), publicKey: publicKey)
    }

    private init(secret: consuming SecretBytes, publicKey: X25519PublicKey) {
        self.secret = secret
        self.publicKey = publicKey
    }

    public borrowing func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try secret.withUnsafeBytes(body)
    }

    /// The 32-byte shared secret with `peer`.
    /// - Throws: ``PrimitiveError/invalidPublicKey`` for a point of low order.
    public borrowing func sharedSecret(with peer: X25519PublicKey) throws(PrimitiveError) -> SecretBytes {
        var shared = SecretBytes(count: 32)
        try shared.withUnsafeMutableBytes { (out) throws(PrimitiveError) in
            try secret.withUnsafeBytes { (scalar) throws(PrimitiveError) in
                try peer.bytes.withUnsafeBytes { (point) throws(PrimitiveError) in
                    try X25519.multiply(into: out, scalar: scalar, point: point)
                }
            }
        }
        return shared
    }
}

/// The bare Curve25519 operations on buffers, for the hot paths.
public enum X25519 {
    /// One Curve25519 multiplication; all buffers are 32 bytes.
    /// - Throws: ``PrimitiveError/invalidPublicKey`` when the result is zero, so `point` is of low order.
    @inline(__always)
    public static func multiply(
        into out: UnsafeMutableRawBufferPointer, scalar: UnsafeRawBufferPointer, point: UnsafeRawBufferPointer
    ) throws(PrimitiveError) {
        precondition(out.count == 32 && scalar.count == 32 && point.count == 32)
        let status = crypto_scalarmult_curve25519(
            out.octets,
            scalar.octets,
            point.octets)
        guard status == 0 else { throw .invalidPublicKey }
    }

    /// One multiplication of the base point; both buffers are 32 bytes.
    @inline(__always)
    public static func multiplyBase(into out: UnsafeMutableRawBufferPointer, scalar: UnsafeRawBufferPointer) {
        precondition(out.count == 32 && scalar.count == 32)
        _ = crypto_scalarmult_curve25519_base(
            out.octets,
            scalar.octets)
    }
}
