import CSodium

/// An Ed25519 signature (RFC 8032).
public struct Signature: Hashable, Sendable, BitwiseCopyable {
    public var bytes: Bytes64
    public init(_ bytes: Bytes64) { self.bytes = bytes }
}

/// An Ed25519 public key: a cluster, server, user or operational identity.
public struct VerifyingKey: Hashable, Sendable, BitwiseCopyable, Comparable {
    public var bytes: Bytes32
    public init(_ bytes: Bytes32) { self.bytes = bytes }

    /// Whether `signature` over `message` was made by the owner of this key.
    public func isValid(_ signature: Signature, for message: UnsafeRawBufferPointer) -> Bool {
        _ = Sodium.isReady
        return signature.bytes.withUnsafeBytes { sig in
            bytes.withUnsafeBytes { key in
                crypto_sign_ed25519_verify_detached(
                    sig.octets,
                    message.octets, UInt64(message.count),
                    key.octets) == 0
            }
        }
    }

    public func isValid(_ signature: Signature, for message: [UInt8]) -> Bool {
        message.withUnsafeBytes { isValid(signature, for: $0) }
    }

    public static func < (left: VerifyingKey, right: VerifyingKey) -> Bool { left.bytes < right.bytes }
}

/// An Ed25519 private key; zeroed when dropped.
public struct SigningKey: ~Copyable, Sendable {
    // seed ‖ public key, libsodium's form
    private let secret: SecretBytes
    public let publicKey: VerifyingKey

    /// A new key.
    public init(_ entropy: inout Entropy) {
        var seed = SecretBytes(count: 32)
        seed.withUnsafeMutableBytes { entropy.fill($0) }
        self.init(unchecked: seed)
    }

    /// The key of a 32-byte seed.
    /// - Throws: ``PrimitiveError/wrongLength(expected:actual:)``
    public init(seed: consuming SecretBytes) throws(PrimitiveError) {
        guard seed.count == 32 else { throw .wrongLength(expected: 32, actual: seed.count) }
        self.init(unchecked: seed)
    }

    /// The key whose seed is derived from another secret: `KDF(secret, domain, context)`.
    public init(derivedFrom secret: borrowing SecretBytes, _ domain: Domain, context: [UInt8]) {
        self.init(unchecked: BLAKE2b.deriveKey(from: secret, domain, context: context))
    }

    private init(unchecked seed: consuming SecretBytes) {
        var secret = SecretBytes(count: 64)
        publicKey = VerifyingKey(
            Bytes32(unsafe: { out in
                secret.withUnsafeMutableBytes { sk in
                    seed.withUnsafeBytes { seed in
                        _ = crypto_sign_ed25519_seed_keypair(
                            out.octets,
                            sk.octets,
                            seed.octets)
                    }
                }
            }))
        self.secret = secret
    }

    /// The 32-byte seed, for storage under encryption.
    public borrowing func seed() -> SecretBytes {
        secret.withUnsafeBytes { SecretBytes(copying: UnsafeRawBufferPointer(rebasing: $0[0..<32])) }
    }

    public borrowing func copy() -> SigningKey {
        SigningKey(unchecked: seed())
    }

    public borrowing func sign(_ message: UnsafeRawBufferPointer) -> Signature {
        Signature(
            Bytes64(unsafe: { out in
                secret.withUnsafeBytes { sk in
                    _ = crypto_sign_ed25519_detached(
                        out.octets, nil,
                        message.octets, UInt64(message.count),
                        sk.octets)
                }
            }))
    }

    public borrowing func sign(_ message: [UInt8]) -> Signature { message.withUnsafeBytes { sign($0) } }

    /// SHA-512 of the seed: the clamped scalar (32) and the nonce prefix (32).
    borrowing func expanded() -> SecretBytes {
        var out = SecretBytes(count: 64)
        out.withUnsafeMutableBytes { raw in
            secret.withUnsafeBytes { sk in
                let base = raw.octets
                _ = crypto_hash_sha512(base, sk.octets, 32)
                base[0] &= 248
                base[31] &= 127
                base[31] |= 64
            }
        }
        return out
    }
}
