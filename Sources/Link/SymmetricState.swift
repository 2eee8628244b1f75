import Primitives

/// Noise's symmetric state (The Noise Protocol Framework, revision 34, section 5.2) over ChaChaPoly and BLAKE2b-512.
struct SymmetricState: ~Copyable {
    static let hashSize = 64
    /// BLAKE2b's block, for HMAC.
    private static let blockSize = 128

    /// `h`: the hash of everything both sides have seen.
    private(set) var hash: [UInt8]
    private var chainingKey: SecretBytes
    private var key: SecretBytes?
    private var nonce: UInt64 = 0

    init(protocolName: String) {
        var name = Array(protocolName.utf8)
        if name.count <= SymmetricState.hashSize {
            name.append(contentsOf: repeatElement(0, count: SymmetricState.hashSize - name.count))
            hash = name
        } else {
            hash = SymmetricState.digest([name])
        }
        var copy = hash
        chainingKey = SecretBytes(taking: &copy)
    }

    mutating func mixHash(_ bytes: [UInt8]) { hash = SymmetricState.digest([hash, bytes]) }

    mutating func mixKey(_ material: borrowing SecretBytes) {
        let derived = SymmetricState.hkdf(chainingKey, material)
        var chaining = SecretBytes(count: 64)
        var key = SecretBytes(count: 32)
        derived.withUnsafeBytes { raw in
            chaining.withUnsafeMutableBytes { $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: raw[0..<64])) }
            key.withUnsafeMutableBytes { $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: raw[64..<96])) }
        }
        chainingKey = chaining
        self.key = consume key
        nonce = 0
    }

    mutating func encryptAndHash(_ plain: [UInt8]) -> [UInt8] {
        var out = plain
        if key != nil {
            out.append(contentsOf: repeatElement(0, count: ChaChaPoly.tagSize))
            let associated = hash
            let nonce = nonce
            out.withUnsafeMutableBytes { out in
                key?.withUnsafeBytes { key in
                    LinkNonce.with(nonce) { nonce in
                        associated.withUnsafeBytes { ChaChaPoly.seal(out, key: key, nonce: nonce, associated: $0) }
                    }
                }
            }
            self.nonce += 1
        }
        mixHash(out)
        return out
    }

    mutating func decryptAndHash(_ sealed: [UInt8]) throws(LinkError) -> [UInt8] {
        var out = sealed
        if key != nil {
            let associated = hash
            let nonce = nonce
            var isAuthentic = false
            out.withUnsafeMutableBytes { out in
                key?.withUnsafeBytes { key in
                    LinkNonce.with(nonce) { nonce in
                        associated.withUnsafeBytes { associated in
                            do throws(PrimitiveError) {
                                try ChaChaPoly.open(out, key: key, nonce: nonce, associated: associated)
                                isAuthentic = true
                            } catch {
                                isAuthentic = false
                            }
                        }
                    }
                }
            }
            guard isAuthentic else { throw .authenticationFailed }
            out.removeLast(ChaChaPoly.tagSize)
            self.nonce += 1
        }
        mixHash(sealed)
        return out
    }

    /// The two transport keys: initiator's first.
    consuming func split() -> TransportKeys {
        let derived = SymmetricState.hkdf(chainingKey, SecretBytes(count: 0))
        var first = SecretBytes(count: 32)
        var second = SecretBytes(count: 32)
        derived.withUnsafeBytes { raw in
            first.withUnsafeMutableBytes { $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: raw[0..<32])) }
            second.withUnsafeMutableBytes { $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: raw[64..<96])) }
        }
        return TransportKeys(initiator: first, responder: second, handshakeHash: hash)
    }

    private static func digest(_ parts: [[UInt8]]) -> [UInt8] {
        var state = BLAKE2b(outputCount: hashSize)
        for part in parts { state.update(part) }
        let digest: Bytes64 = state.finalize()
        return digest.bytes
    }

    /// Two outputs of 64 bytes, one after the other (section 4.3 with HMAC, RFC 2104).
    private static func hkdf(_ chainingKey: borrowing SecretBytes, _ material: borrowing SecretBytes) -> SecretBytes {
        var out = SecretBytes(count: 128)
        var temporary = SecretBytes(count: 64)
        temporary.withUnsafeMutableBytes { temporary in
            material.withUnsafeBytes { material in
                hmac(into: temporary, chainingKey, [material])
            }
        }
        var one: UInt8 = 1
        var two: UInt8 = 2
        out.withUnsafeMutableBytes { out in
            let first = UnsafeMutableRawBufferPointer(rebasing: out[0..<64])
            let second = UnsafeMutableRawBufferPointer(rebasing: out[64..<128])
            withUnsafeBytes(of: &one) { hmac(into: first, temporary, [$0]) }
            withUnsafeBytes(of: &two) { hmac(into: second, temporary, [UnsafeRawBufferPointer(first), $0]) }
        }
        return out
    }

    private static func hmac(
        into out: UnsafeMutableRawBufferPointer, _ key: borrowing SecretBytes, _ message: [UnsafeRawBufferPointer]
    ) {
        var pad = SecretBytes(count: blockSize)
        func fill(_ byte: UInt8) {
            pad.withUnsafeMutableBytes { pad in
                pad.initializeMemory(as: UInt8.self, repeating: byte)
                key.withUnsafeBytes { key in for index in key.indices { pad[index] ^= key[index] } }
            }
        }
        fill(0x36)
        var state = BLAKE2b(outputCount: hashSize)
        pad.withUnsafeBytes { state.update($0) }
        for part in message { state.update(part) }
        let inner = state.finalizeSecret()
        fill(0x5c)
        var outer = BLAKE2b(outputCount: hashSize)
        pad.withUnsafeBytes { outer.update($0) }
        inner.withUnsafeBytes { outer.update($0) }
        outer.finalize(into: out)
    }
}

/// What a finished handshake yields.
struct TransportKeys: ~Copyable {
    /// The initiator's sending key.
    let initiator: SecretBytes
    /// The responder's sending key.
    let responder: SecretBytes
    let handshakeHash: [UInt8]
}

/// Noise's nonce: four zero bytes and a 64-bit little-endian counter.
enum LinkNonce {
    @inline(__always)
    static func with<R>(_ counter: UInt64, _ body: (UnsafeRawBufferPointer) -> R) -> R {
        var value = (UInt32(0), UInt32(truncatingIfNeeded: counter).littleEndian, UInt32(truncatingIfNeeded: counter >> 32).littleEndian)
        return withUnsafeBytes(of: &value) { body($0) }
    }
}
