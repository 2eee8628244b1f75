import Primitives

/// Noise's `CipherState` with ChaChaPoly (Noise revision 34, sections 5.1 and 12.3).
struct NoiseCipher: ~Copyable, Sendable {
    private var key: SecretBytes
    private(set) var isKeyed: Bool
    /// The nonce of the next message.
    private(set) var counter: UInt64
    /// The nonce at which ``rekey()`` last ran: a forged frame at the boundary must not advance the key twice.
    private(set) var rekeyedAt: UInt64 = 0

    /// Noise reserves the highest nonce for ``rekey()``.
    static let reservedCounter = UInt64.max

    /// Without a key: messages pass unchanged.
    init() {
        key = SecretBytes(count: 32)
        isKeyed = false
        counter = 0
    }

    /// - Parameter key: 32 bytes.
    init(key: consuming SecretBytes, counter: UInt64 = 0) {
        precondition(key.count == 32)
        self.key = key
        self.counter = counter
        isKeyed = true
    }

    borrowing func copy() -> NoiseCipher {
        var other = NoiseCipher(key: key.copy(), counter: counter)
        other.isKeyed = isKeyed
        other.rekeyedAt = rekeyedAt
        return other
    }

    consuming func takeKey() -> SecretBytes { key }

    /// Encrypts all but the last 16 bytes of `buffer` in place under the next nonce; the tag goes into those.
    mutating func seal(
        _ buffer: UnsafeMutableRawBufferPointer,
        associated: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
    ) throws(LinkError) {
        guard counter < NoiseCipher.reservedCounter else { throw .exhausted }
        key.withUnsafeBytes { ChaChaPoly.seal(buffer, key: $0, counter: counter, associated: associated) }
        counter += 1
    }

    /// The inverse of ``seal(_:associated:)``; a failure leaves the nonce as it was.
    mutating func open(
        _ buffer: UnsafeMutableRawBufferPointer,
        associated: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
    ) throws(LinkError) {
        guard counter < NoiseCipher.reservedCounter else { throw .exhausted }
        try key.withUnsafeBytes { (key) throws(LinkError) in
            try ChaChaPoly.open(buffer, key: key, counter: counter, associated: associated)
        }
        counter += 1
    }

    /// Noise's `REKEY`: the first 32 bytes of 32 zero bytes encrypted under the reserved nonce.
    mutating func rekey() {
        rekeyedAt = counter
        withUnsafeTemporaryAllocation(byteCount: 48, alignment: 8) { block in
            block.initializeMemory(as: UInt8.self, repeating: 0)
            key.withUnsafeMutableBytes { key in
                ChaChaPoly.seal(block, key: UnsafeRawBufferPointer(key), counter: NoiseCipher.reservedCounter)
                key.copyMemory(from: UnsafeRawBufferPointer(rebasing: block[0..<32]))
            }
            SecretBytes.zero(block)
        }
    }
}

extension ChaChaPoly {
    /// Seals under Noise's nonce: 32 zero bits, then the counter in little-endian order.
    static func seal(
        _ buffer: UnsafeMutableRawBufferPointer, key: UnsafeRawBufferPointer, counter: UInt64,
        associated: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
    ) {
        withNonce(counter) { nonce in seal(buffer, key: key, nonce: nonce, associated: associated) }
    }

    /// Opens under Noise's nonce.
    static func open(
        _ buffer: UnsafeMutableRawBufferPointer, key: UnsafeRawBufferPointer, counter: UInt64,
        associated: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
    ) throws(LinkError) {
        var authentic = false
        withNonce(counter) { nonce in
            do throws(PrimitiveError) {
                try open(buffer, key: key, nonce: nonce, associated: associated)
                authentic = true
            } catch {
                authentic = false
            }
        }
        guard authentic else { throw .authenticationFailed }
    }

    private static func withNonce(_ counter: UInt64, _ body: (UnsafeRawBufferPointer) -> Void) {
        var nonce = (
            UInt32(0), UInt32(truncatingIfNeeded: counter).littleEndian,
            UInt32(truncatingIfNeeded: counter >> 32).littleEndian
        )
        withUnsafeBytes(of: &nonce) { body($0) }
    }
}
