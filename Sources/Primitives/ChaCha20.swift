import CSodium

/// ChaCha20 in its IETF form (RFC 8439 section 2.4): 32-byte key, 12-byte nonce, 32-bit block counter.
public enum ChaCha20 {
    /// XORs the key stream into `buffer` in place, under an all-zero nonce.
    ///
    /// For keys that encrypt one message only, as each envelope key does.
    @inline(__always)
    public static func xor(_ buffer: UnsafeMutableRawBufferPointer, oneTimeKey key: UnsafeRawBufferPointer) {
        precondition(key.count == 32)
        var nonce = (UInt64(0), UInt32(0))
        withUnsafeBytes(of: &nonce) { nonce in
            xor(buffer, key: key, nonce: UnsafeRawBufferPointer(rebasing: nonce[0..<12]), counter: 0)
        }
    }

    /// XORs the key stream into `buffer` in place.
    /// - Parameters:
    ///   - key: 32 bytes.
    ///   - nonce: 12 bytes.
    ///   - counter: the first block's number.
    @inline(__always)
    public static func xor(
        _ buffer: UnsafeMutableRawBufferPointer, key: UnsafeRawBufferPointer, nonce: UnsafeRawBufferPointer,
        counter: UInt32
    ) {
        precondition(key.count == 32 && nonce.count == 12)
        let base = buffer.octets
        _ = crypto_stream_chacha20_ietf_xor_ic(
            base, base, UInt64(buffer.count), nonce.octets, counter,
            key.octets)
    }

    /// Writes the key stream itself, under an all-zero nonce.
    @inline(__always)
    public static func stream(into buffer: UnsafeMutableRawBufferPointer, oneTimeKey key: UnsafeRawBufferPointer) {
        precondition(key.count == 32)
        var nonce = (UInt64(0), UInt32(0))
        withUnsafeBytes(of: &nonce) { nonce in
            _ = crypto_stream_chacha20_ietf(
                buffer.octets, UInt64(buffer.count),
                nonce.octets,
                key.octets)
        }
    }
}

/// ChaCha20-Poly1305 in its IETF form (RFC 8439 section 2.8).
public enum ChaChaPoly {
    /// Bytes that sealing adds.
    public static let tagSize = 16

    /// Encrypts `buffer` in place and writes the tag to its last 16 bytes: the plaintext is the rest.
    /// - Parameters:
    ///   - key: 32 bytes.
    ///   - nonce: 12 bytes, never used twice under one key.
    public static func seal(
        _ buffer: UnsafeMutableRawBufferPointer, key: UnsafeRawBufferPointer, nonce: UnsafeRawBufferPointer,
        associated: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
    ) {
        precondition(key.count == 32 && nonce.count == 12 && buffer.count >= tagSize)
        let base = buffer.octets
        let size = buffer.count - tagSize
        _ = crypto_aead_chacha20poly1305_ietf_encrypt_detached(
            base, base + size, nil, base, UInt64(size),
            associated.octets, UInt64(associated.count), nil,
            nonce.octets,
            key.octets)
    }

    /// Decrypts `buffer` in place: its last 16 bytes are the tag, the rest becomes the plaintext.
    /// - Throws: ``PrimitiveError/authenticationFailed``; `buffer` is then unchanged or zero, never plaintext.
    public static func open(
        _ buffer: UnsafeMutableRawBufferPointer, key: UnsafeRawBufferPointer, nonce: UnsafeRawBufferPointer,
        associated: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
    ) throws(PrimitiveError) {
        precondition(key.count == 32 && nonce.count == 12)
        guard buffer.count >= tagSize else { throw .authenticationFailed }
        let base = buffer.octets
        let size = buffer.count - tagSize
        let status = crypto_aead_chacha20poly1305_ietf_decrypt_detached(
            base, nil, base, UInt64(size), base + size,
            associated.octets, UInt64(associated.count),
            nonce.octets,
            key.octets)
        guard status == 0 else { throw .authenticationFailed }
    }

    /// `message` encrypted under a key that is used once: all-zero nonce. 16 bytes longer.
    public static func sealOnce(_ message: [UInt8], key: borrowing SecretBytes, associated: [UInt8] = []) -> [UInt8] {
        var out = message + [UInt8](repeating: 0, count: tagSize)
        let nonce = [UInt8](repeating: 0, count: 12)
        out.withUnsafeMutableBytes { out in
            key.withUnsafeBytes { key in
                nonce.withUnsafeBytes { nonce in
                    associated.withUnsafeBytes { seal(out, key: key, nonce: nonce, associated: $0) }
                }
            }
        }
        return out
    }

    /// The inverse of ``sealOnce(_:key:associated:)``.
    /// - Throws: ``PrimitiveError/authenticationFailed``
    public static func openOnce(
        _ sealed: [UInt8], key: borrowing SecretBytes, associated: [UInt8] = []
    ) throws(PrimitiveError) -> [UInt8] {
        guard sealed.count >= tagSize else { throw .authenticationFailed }
        var out = sealed
        let nonce = [UInt8](repeating: 0, count: 12)
        var failure: PrimitiveError?
        out.withUnsafeMutableBytes { out in
            key.withUnsafeBytes { key in
                nonce.withUnsafeBytes { nonce in
                    associated.withUnsafeBytes { associated in
                        do throws(PrimitiveError) {
                            try open(out, key: key, nonce: nonce, associated: associated)
                        } catch {
                            failure = error
                        }
                    }
                }
            }
        }
        if let failure { throw failure }
        out.removeLast(tagSize)
        return out
    }
}

/// XChaCha20-Poly1305 with a random 24-byte nonce: records, and what lies on disk.
public enum XChaChaPoly {
    /// Bytes that sealing adds: the tag. The nonce travels beside the ciphertext.
    public static let tagSize = 16

    /// `message` encrypted; 16 bytes longer.
    public static func seal(
        _ message: [UInt8], key: borrowing SecretBytes, nonce: Bytes24, associated: [UInt8] = []
    ) -> [UInt8] {
        precondition(key.count == 32)
        var out = [UInt8](repeating: 0, count: message.count + tagSize)
        nonce.withUnsafeBytes { nonce in
            key.withUnsafeBytes { key in
                _ = crypto_aead_xchacha20poly1305_ietf_encrypt(
                    &out, nil, message, UInt64(message.count), associated, UInt64(associated.count), nil,
                    nonce.octets,
                    key.octets)
            }
        }
        return out
    }

    /// The inverse of ``seal(_:key:nonce:associated:)``.
    /// - Throws: ``PrimitiveError/authenticationFailed``
    public static func open(
        _ sealed: [UInt8], key: borrowing SecretBytes, nonce: Bytes24, associated: [UInt8] = []
    ) throws(PrimitiveError) -> [UInt8] {
        precondition(key.count == 32)
        guard sealed.count >= tagSize else { throw .authenticationFailed }
        var out = [UInt8](repeating: 0, count: sealed.count - tagSize)
        let status = nonce.withUnsafeBytes { nonce in
            key.withUnsafeBytes { key in
                crypto_aead_xchacha20poly1305_ietf_decrypt(
                    &out, nil, nil, sealed, UInt64(sealed.count), associated, UInt64(associated.count),
                    nonce.octets,
                    key.octets)
            }
        }
        guard status == 0 else { throw .authenticationFailed }
        return out
    }

    // MARK: Keys

    /// A secret encrypted; 16 bytes longer.
    public static func seal(
        _ message: borrowing SecretBytes, key: borrowing SecretBytes, nonce: Bytes24, associated: [UInt8] = []
    ) -> [UInt8] {
        precondition(key.count == 32)
        var out = [UInt8](repeating: 0, count: message.count + tagSize)
        nonce.withUnsafeBytes { nonce in
            key.withUnsafeBytes { key in
                message.withUnsafeBytes { message in
                    _ = crypto_aead_xchacha20poly1305_ietf_encrypt(
                        &out, nil, message.octets, UInt64(message.count), associated, UInt64(associated.count), nil,
                        nonce.octets, key.octets)
                }
            }
        }
        return out
    }

    /// What ``open(_:key:nonce:associated:)`` gives, as a secret.
    /// - Throws: ``PrimitiveError/authenticationFailed``
    public static func openSecret(
        _ sealed: [UInt8], key: borrowing SecretBytes, nonce: Bytes24, associated: [UInt8] = []
    ) throws(PrimitiveError) -> SecretBytes {
        precondition(key.count == 32)
        guard sealed.count >= tagSize else { throw .authenticationFailed }
        var out = SecretBytes(count: sealed.count - tagSize)
        let status = out.withUnsafeMutableBytes { out in
            nonce.withUnsafeBytes { nonce in
                key.withUnsafeBytes { key in
                    crypto_aead_xchacha20poly1305_ietf_decrypt(
                        out.octets, nil, nil, sealed, UInt64(sealed.count), associated, UInt64(associated.count),
                        nonce.octets, key.octets)
                }
            }
        }
        guard status == 0 else { throw .authenticationFailed }
        return out
    }
}
