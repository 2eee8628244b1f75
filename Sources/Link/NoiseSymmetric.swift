import Primitives

/// HMAC and HKDF over BLAKE2b-512 as Noise section 4.3 has them: unkeyed hash, block of 128 bytes.
enum NoiseHash {
    static let size = 64
    static let blockSize = 128

    /// HMAC (RFC 2104) of `message ‖ suffix`; `out` is 64 bytes, `key` at most 64.
    static func hmac(
        into out: UnsafeMutableRawBufferPointer, key: UnsafeRawBufferPointer, _ message: UnsafeRawBufferPointer,
        suffix: UInt8? = nil
    ) {
        precondition(out.count == size && key.count <= blockSize)
        withUnsafeTemporaryAllocation(byteCount: blockSize + size, alignment: 8) { scratch in
            let block = UnsafeMutableRawBufferPointer(rebasing: scratch[0..<blockSize])
            let inner = UnsafeMutableRawBufferPointer(rebasing: scratch[blockSize...])
            pad(block, key, 0x36)
            var first = BLAKE2b(outputCount: size)
            first.update(UnsafeRawBufferPointer(block))
            first.update(message)
            if let suffix {
                var byte = suffix
                withUnsafeBytes(of: &byte) { first.update($0) }
            }
            first.finalize(into: inner)
            pad(block, key, 0x5c)
            var second = BLAKE2b(outputCount: size)
            second.update(UnsafeRawBufferPointer(block))
            second.update(UnsafeRawBufferPointer(inner))
            second.finalize(into: out)
            SecretBytes.zero(scratch)
        }
    }

    private static func pad(_ block: UnsafeMutableRawBufferPointer, _ key: UnsafeRawBufferPointer, _ filler: UInt8) {
        block.initializeMemory(as: UInt8.self, repeating: filler)
        for index in 0..<key.count { block[index] ^= key[index] }
    }

    /// HKDF's two outputs, side by side: 128 bytes.
    static func expand(chainingKey: borrowing SecretBytes, _ material: UnsafeRawBufferPointer) -> SecretBytes {
        var outputs = SecretBytes(count: 2 * size)
        var temporary = SecretBytes(count: size)
        temporary.withUnsafeMutableBytes { temporary in
            chainingKey.withUnsafeBytes { hmac(into: temporary, key: $0, material) }
            let key = UnsafeRawBufferPointer(temporary)
            outputs.withUnsafeMutableBytes { raw in
                let one = UnsafeMutableRawBufferPointer(rebasing: raw[0..<size])
                let two = UnsafeMutableRawBufferPointer(rebasing: raw[size...])
                hmac(into: one, key: key, UnsafeRawBufferPointer(start: nil, count: 0), suffix: 1)
                hmac(into: two, key: key, UnsafeRawBufferPointer(one), suffix: 2)
            }
        }
        return outputs
    }
}

/// Noise's `SymmetricState` (section 5.2).
struct NoiseSymmetric: ~Copyable, Sendable {
    private var chainingKey: SecretBytes
    private(set) var hash: Bytes64
    private var cipher: NoiseCipher

    /// - Parameter protocolName: longer than 64 bytes is hashed, as Noise has it.
    init(protocolName: String) {
        let name = Array(protocolName.utf8)
        if name.count <= NoiseHash.size {
            hash = Bytes64(name + [UInt8](repeating: 0, count: NoiseHash.size - name.count)) ?? Bytes64()
        } else {
            var long = BLAKE2b(outputCount: NoiseHash.size)
            long.update(name)
            hash = long.finalize()
        }
        var start = hash.bytes
        chainingKey = SecretBytes(taking: &start)
        cipher = NoiseCipher()
    }

    private init(chainingKey: consuming SecretBytes, hash: Bytes64, cipher: consuming NoiseCipher) {
        self.chainingKey = chainingKey
        self.hash = hash
        self.cipher = cipher
    }

    borrowing func copy() -> NoiseSymmetric {
        NoiseSymmetric(chainingKey: chainingKey.copy(), hash: hash, cipher: cipher.copy())
    }

    mutating func mixHash(_ bytes: UnsafeRawBufferPointer) {
        var next = BLAKE2b(outputCount: NoiseHash.size)
        next.update(hash)
        next.update(bytes)
        hash = next.finalize()
    }

    mutating func mixHash(_ bytes: [UInt8]) { bytes.withUnsafeBytes { mixHash($0) } }

    mutating func mixKey(_ material: borrowing SecretBytes) {
        let outputs = material.withUnsafeBytes { NoiseHash.expand(chainingKey: chainingKey, $0) }
        outputs.withUnsafeBytes { raw in
            chainingKey = SecretBytes(copying: UnsafeRawBufferPointer(rebasing: raw[0..<64]))
            cipher = NoiseCipher(key: SecretBytes(copying: UnsafeRawBufferPointer(rebasing: raw[64..<96])))
        }
    }

    /// Noise's `EncryptAndHash`, appended to `message`.
    mutating func seal(_ plaintext: [UInt8], onto message: inout [UInt8]) throws(LinkError) {
        guard cipher.isKeyed else {
            mixHash(plaintext)
            message += plaintext
            return
        }
        var sealed = plaintext + [UInt8](repeating: 0, count: ChaChaPoly.tagSize)
        try transform(&sealed) { (cipher, raw, hash) throws(LinkError) in try cipher.seal(raw, associated: hash) }
        mixHash(sealed)
        message += sealed
    }

    /// Noise's `DecryptAndHash`.
    mutating func open(_ ciphertext: ArraySlice<UInt8>) throws(LinkError) -> [UInt8] {
        var plaintext = Array(ciphertext)
        guard cipher.isKeyed else {
            mixHash(plaintext)
            return plaintext
        }
        try transform(&plaintext) { (cipher, raw, hash) throws(LinkError) in try cipher.open(raw, associated: hash) }
        ciphertext.withUnsafeBytes { mixHash($0) }
        plaintext.removeLast(ChaChaPoly.tagSize)
        return plaintext
    }

    private mutating func transform(
        _ bytes: inout [UInt8],
        _ body: (inout NoiseCipher, UnsafeMutableRawBufferPointer, UnsafeRawBufferPointer) throws(LinkError) -> Void
    ) throws(LinkError) {
        var failure: LinkError?
        let hash = hash
        bytes.withUnsafeMutableBytes { raw in
            do throws(LinkError) {
                try hash.withUnsafeBytes { (hash) throws(LinkError) in try body(&cipher, raw, hash) }
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }

    /// Bytes that a sealed field is longer than its plaintext at this point.
    var overhead: Int { cipher.isKeyed ? ChaChaPoly.tagSize : 0 }

    /// Noise's `Split`: the initiator's sending key, then the responder's.
    consuming func split() -> NoiseKeys {
        let outputs = NoiseHash.expand(chainingKey: chainingKey, UnsafeRawBufferPointer(start: nil, count: 0))
        let hash = hash
        return outputs.withUnsafeBytes { raw in
            NoiseKeys(
                fromInitiator: SecretBytes(copying: UnsafeRawBufferPointer(rebasing: raw[0..<32])),
                fromResponder: SecretBytes(copying: UnsafeRawBufferPointer(rebasing: raw[64..<96])), hash: hash)
        }
    }
}

/// What a finished handshake leaves: two transport keys and the handshake hash.
struct NoiseKeys: ~Copyable, Sendable {
    var fromInitiator: SecretBytes
    var fromResponder: SecretBytes
    let hash: Bytes64
}
