import CSodium

/// A domain string: BLAKE2b's personalisation, so that equal inputs of different uses give unrelated outputs.
public struct Domain: Sendable {
    @usableFromInline let personal: Bytes16

    /// - Parameter name: at most 16 bytes of UTF-8; a longer one is cut, which no constant in this project is.
    public init(_ name: StaticString) {
        var bytes = Bytes16()
        bytes.withUnsafeMutableBytes { out in
            name.withUTF8Buffer { out.copyBytes(from: $0.prefix(16)) }
        }
        personal = bytes
    }
}

/// BLAKE2b (RFC 7693) with key and personalisation, streaming.
public struct BLAKE2b: ~Copyable {
    // libsodium's state wants an alignment of 64, which a Swift value does not keep when it moves.
    private let buffer: UnsafeMutableRawBufferPointer
    private let outputCount: Int
    private var state: OpaquePointer { OpaquePointer(buffer.octets) }

    /// - Parameters:
    ///   - outputCount: 16 to 64 bytes.
    ///   - key: at most 64 bytes; empty for an unkeyed hash.
    public init(
        outputCount: Int, key: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
        domain: Domain? = nil
    ) {
        _ = Sodium.isReady
        precondition((16...64).contains(outputCount) && key.count <= 64)
        self.outputCount = outputCount
        buffer = .allocate(byteCount: crypto_generichash_blake2b_statebytes(), alignment: 64)
        let keyBase = key.octets
        if let domain {
            domain.personal.withUnsafeBytes { personal in
                _ = crypto_generichash_blake2b_init_salt_personal(
                    state, keyBase, key.count, outputCount, nil,
                    personal.octets)
            }
        } else {
            _ = crypto_generichash_blake2b_init(state, keyBase, key.count, outputCount)
        }
    }

    deinit {
        SecretBytes.zero(buffer)
        buffer.deallocate()
    }

    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        _ = crypto_generichash_blake2b_update(
            state, bytes.octets, UInt64(bytes.count))
    }

    public mutating func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

    public mutating func update<T: FixedBytes>(_ value: T) { value.withUnsafeBytes { update($0) } }

    public mutating func update(_ value: UInt64) {
        var little = value.littleEndian
        withUnsafeBytes(of: &little) { update($0) }
    }

    /// Writes the digest; `out` must have the output count given at the start.
    public consuming func finalize(into out: UnsafeMutableRawBufferPointer) {
        precondition(out.count == outputCount)
        _ = crypto_generichash_blake2b_final(
            state, out.octets, outputCount)
    }

    /// The digest as a secret.
    public consuming func finalizeSecret() -> SecretBytes {
        var out = SecretBytes(count: outputCount)
        out.withUnsafeMutableBytes { _ = crypto_generichash_blake2b_final(state, $0.octets, $0.count) }
        return out
    }

    /// The digest as a value whose size is the output count.
    public consuming func finalize<T: FixedBytes>(as type: T.Type = T.self) -> T {
        var value = T()
        precondition(T.count == outputCount)
        value.withUnsafeMutableBytes { out in
            _ = crypto_generichash_blake2b_final(
                state, out.octets, outputCount)
        }
        return value
    }

    /// One-shot hash without allocation, for the hot paths.
    /// - Parameters:
    ///   - out: 16 to 64 bytes.
    ///   - key: at most 64 bytes.
    @inline(__always)
    public static func hash(
        into out: UnsafeMutableRawBufferPointer, _ message: UnsafeRawBufferPointer,
        key: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0), domain: Domain
    ) {
        precondition((16...64).contains(out.count) && key.count <= 64)
        domain.personal.withUnsafeBytes { personal in
            _ = crypto_generichash_blake2b_salt_personal(
                out.octets, out.count,
                message.octets, UInt64(message.count),
                key.octets, key.count, nil,
                personal.octets)
        }
    }

    /// The design's `H`: BLAKE2b-256 of `message` under a domain string.
    public static func h(_ domain: Domain, _ message: [UInt8]) -> Bytes32 {
        Bytes32(unsafe: { out in message.withUnsafeBytes { hash(into: out, $0, domain: domain) } })
    }

    /// The design's `H` over one fixed-size value.
    public static func h<T: FixedBytes>(_ domain: Domain, _ value: T) -> Bytes32 {
        Bytes32(unsafe: { out in value.withUnsafeBytes { hash(into: out, $0, domain: domain) } })
    }

    /// The design's `H` over a fixed-size value and a number.
    public static func h<T: FixedBytes>(_ domain: Domain, _ value: T, _ number: UInt64) -> Bytes32 {
        var hash = BLAKE2b(outputCount: 32, domain: domain)
        hash.update(value)
        hash.update(number)
        return hash.finalize()
    }

    /// A secret key derived from a secret: keyed BLAKE2b of `context` under a domain string.
    public static func deriveKey(from secret: borrowing SecretBytes, _ domain: Domain, context: [UInt8] = [])
        -> SecretBytes
    {
        var out = SecretBytes(count: 32)
        out.withUnsafeMutableBytes { raw in
            secret.withUnsafeBytes { key in
                context.withUnsafeBytes { hash(into: raw, $0, key: key, domain: domain) }
            }
        }
        return out
    }
}
