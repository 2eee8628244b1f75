import CSodium

/// Key blinding: a public key multiplied by a scalar that only those who know the key can compute.
///
/// As in Tor's rendezvous specification version 3, appendix A.2, with BLAKE2b for the blinding factor (specs/directory.md,
/// "Blinding"). A blinded signature verifies with the plain Ed25519 function under the blinded key.
public struct BlindingFactor: Sendable {
    let scalar: Bytes32

    /// `b = scalar(H512(domain, key, epoch))`: BLAKE2b-512, reduced modulo the group order.
    public init(_ domain: Domain, key: VerifyingKey, epoch: UInt64) {
        var hash = BLAKE2b(outputCount: 64, domain: domain)
        hash.update(key.bytes)
        hash.update(epoch)
        self.init(wide: hash.finalize())
    }

    /// `b = scalar(H512(domain, key, label, epoch))`: one key blinded for each of many labels.
    public init(_ domain: Domain, key: VerifyingKey, label: Bytes32, epoch: UInt64) {
        var hash = BLAKE2b(outputCount: 64, domain: domain)
        hash.update(key.bytes)
        hash.update(label)
        hash.update(epoch)
        self.init(wide: hash.finalize())
    }

    private init(wide: Bytes64) {
        scalar = Bytes32(unsafe: { out in
            wide.withUnsafeBytes { wide in
                crypto_core_ed25519_scalar_reduce(
                    out.octets,
                    wide.octets)
            }
        })
    }

    /// `A' = b·A`.
    /// - Throws: ``PrimitiveError/invalidPublicKey`` when `key` is not a point of the prime-order group.
    public func blind(_ key: VerifyingKey) throws(PrimitiveError) -> VerifyingKey {
        var failed = false
        let blinded = Bytes32(unsafe: { out in
            scalar.withUnsafeBytes { scalar in
                key.bytes.withUnsafeBytes { point in
                    failed =
                        crypto_scalarmult_ed25519_noclamp(
                            out.octets,
                            scalar.octets,
                            point.octets) != 0
                }
            }
        })
        guard !failed else { throw .invalidPublicKey }
        return VerifyingKey(blinded)
    }
}

/// A private key blinded for one epoch: signs under `b·A`, reveals nothing of `A`.
public struct BlindedSigningKey: ~Copyable, Sendable {
    // scalar b·a mod L (32) ‖ nonce prefix (32)
    private let secret: SecretBytes
    public let publicKey: VerifyingKey

    public init(_ key: borrowing SigningKey, _ factor: BlindingFactor) {
        _ = Sodium.isReady
        let expanded = key.expanded()
        var secret = SecretBytes(count: 64)
        secret.withUnsafeMutableBytes { out in
            expanded.withUnsafeBytes { wide in
                factor.scalar.withUnsafeBytes { b in
                    crypto_core_ed25519_scalar_mul(
                        out.octets,
                        b.octets,
                        wide.octets)
                    // The nonce prefix must differ from the plain key's, or two signatures over one message
                    // under both keys would share a nonce.
                    BLAKE2b.hash(
                        into: UnsafeMutableRawBufferPointer(rebasing: out[32..<64]), b,
                        key: UnsafeRawBufferPointer(rebasing: wide[32..<64]), domain: Domain("hulda/blind-r"))
                }
            }
        }
        publicKey = VerifyingKey(
            Bytes32(unsafe: { out in
                secret.withUnsafeBytes { sk in
                    _ = crypto_scalarmult_ed25519_base_noclamp(
                        out.octets,
                        sk.octets)
                }
            }))
        self.secret = secret
    }

    /// `R = r·B`, `S = r + SHA-512(R ‖ A' ‖ M)·a'` (RFC 8032 section 5.1.6 with the blinded scalar).
    public borrowing func sign(_ message: [UInt8]) -> Signature {
        var nonce = SecretBytes(count: 32)
        var challenge = Bytes32()
        var out = Bytes64()
        secret.withUnsafeBytes { sk in
            nonce.withUnsafeMutableBytes { r in
                BlindedSigningKey.reducedSHA512(
                    into: r, UnsafeRawBufferPointer(rebasing: sk[32..<64]), nil, message)
            }
            out.withUnsafeMutableBytes { out in
                let base = out.octets
                nonce.withUnsafeBytes { r in
                    _ = crypto_scalarmult_ed25519_base_noclamp(
                        base, r.octets)
                }
                challenge.withUnsafeMutableBytes { k in
                    BlindedSigningKey.reducedSHA512(
                        into: k, UnsafeRawBufferPointer(rebasing: out[0..<32]), publicKey.bytes, message)
                    var product = SecretBytes(count: 32)
                    product.withUnsafeMutableBytes { product in
                        let p = product.octets
                        crypto_core_ed25519_scalar_mul(
                            p, k.octets,
                            sk.octets)
                        nonce.withUnsafeBytes { r in
                            crypto_core_ed25519_scalar_add(
                                base + 32, r.octets, p)
                        }
                    }
                }
            }
        }
        return Signature(out)
    }

    private static func reducedSHA512(
        into out: UnsafeMutableRawBufferPointer, _ first: UnsafeRawBufferPointer, _ second: Bytes32?, _ message: [UInt8]
    ) {
        var state = crypto_hash_sha512_state()
        _ = crypto_hash_sha512_init(&state)
        _ = crypto_hash_sha512_update(
            &state, first.octets, UInt64(first.count))
        if let second {
            second.withUnsafeBytes {
                _ = crypto_hash_sha512_update(
                    &state, $0.octets, UInt64($0.count))
            }
        }
        _ = crypto_hash_sha512_update(&state, message, UInt64(message.count))
        var wide = SecretBytes(count: 64)
        wide.withUnsafeMutableBytes { wide in
            let base = wide.octets
            _ = crypto_hash_sha512_final(&state, base)
            crypto_core_ed25519_scalar_reduce(out.octets, base)
        }
        withUnsafeMutableBytes(of: &state) { SecretBytes.zero($0) }
    }
}
