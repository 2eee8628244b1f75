import CSodium

/// libsodium's functions on buffers of their own: nothing but the primitive.
final class Bare {
    private let out = Bare.random(4096)
    private let input = Bare.random(4096)
    private let nonce = Bare.random(24)
    private let key = Bare.random(32)
    private let wide = Bare.random(64)
    private let point = Bare.random(32)
    private let edwardsPoint = Bare.random(32)
    private let signingKey = Bare.random(64)
    private let signature = Bare.random(64)
    private let sealed = Bare.random(4096)
    private let openable = Bare.random(4096)

    /// - Parameter size: bytes of the messages that are signed, sealed and opened.
    init(size: Int = 0) {
        crypto_scalarmult_curve25519_base(point, key)
        crypto_sign_ed25519_keypair(edwardsPoint, signingKey)
        crypto_sign_ed25519_detached(signature, nil, input, UInt64(size), signingKey)
        crypto_aead_chacha20poly1305_ietf_encrypt(
            sealed, nil, input, UInt64(size), nil, 0, nil, nonce, key)
        crypto_aead_xchacha20poly1305_ietf_encrypt(
            openable, nil, input, UInt64(size), nil, 0, nil, nonce, key)
    }

    deinit {
        for buffer in [
            out, input, nonce, key, wide, point, edwardsPoint, signingKey, signature, sealed, openable,
        ] { buffer.deallocate() }
    }

    private static func random(_ count: Int) -> UnsafeMutablePointer<UInt8> {
        _ = sodium_init()
        let bytes = UnsafeMutablePointer<UInt8>.allocate(capacity: count)
        randombytes_buf(bytes, count)
        return bytes
    }

    func multiply() { consume(crypto_scalarmult_curve25519(out, key, point)) }

    func multiplyBase() { consume(crypto_scalarmult_curve25519_base(out, key)) }

    /// Of a point of Ed25519 by a scalar, neither clamped.
    func multiplyEdwards() { consume(crypto_scalarmult_ed25519_noclamp(out, key, edwardsPoint)) }

    func multiplyEdwardsBase() { consume(crypto_scalarmult_ed25519_base_noclamp(out, key)) }

    func scalarMultiplyAdd() {
        crypto_core_ed25519_scalar_mul(out, key, nonce)
        crypto_core_ed25519_scalar_add(out, out, key)
    }

    func reduce() { crypto_core_ed25519_scalar_reduce(out, wide) }

    /// SHA-512 of `count` bytes.
    func sha512(_ count: Int) { consume(crypto_hash_sha512(out, input, UInt64(count))) }

    /// ChaCha20 of `count` bytes.
    func stream(_ count: Int) { consume(crypto_stream_chacha20_xor(out, input, UInt64(count), nonce, key)) }

    /// BLAKE2b of `count` bytes to 32.
    func hash(_ count: Int) { consume(crypto_generichash_blake2b(out, 32, input, UInt64(count), key, 32)) }

    func sign(_ size: Int) {
        consume(crypto_sign_ed25519_detached(out, nil, input, UInt64(size), signingKey))
    }

    func verify(_ size: Int) -> Bool {
        crypto_sign_ed25519_verify_detached(signature, input, UInt64(size), edwardsPoint) == 0
    }

    func seal(_ size: Int) {
        consume(crypto_aead_chacha20poly1305_ietf_encrypt(out, nil, input, UInt64(size), nil, 0, nil, nonce, key))
    }

    func open(_ size: Int) -> Bool {
        crypto_aead_chacha20poly1305_ietf_decrypt(
            out, nil, nil, sealed, UInt64(size) + 16, nil, 0, nonce, key) == 0
    }

    func openExtended(_ size: Int) -> Bool {
        crypto_aead_xchacha20poly1305_ietf_decrypt(
            out, nil, nil, openable, UInt64(size) + 16, nil, 0, nonce, key) == 0
    }
}
