import CSodium
import Glibc

/// A random source that is handed into protocol cores: seeded from the system in a node, from a number in a test.
///
/// ChaCha20 with fast key erasure (D. J. Bernstein, 2017): each refill yields the next key and a block of output,
/// and overwrites both as they are used, so a seized state reveals nothing drawn before.
public struct Entropy: ~Copyable, @unchecked Sendable {
    private static let blockSize = 1024
    private static let keySize = 32
    private var state: SecretBytes
    private var position: Int

    /// Deterministic output from `seed`.
    public init(seed: Bytes32) {
        state = SecretBytes(count: Entropy.blockSize)
        position = Entropy.blockSize
        state.withUnsafeMutableBytes { raw in seed.withUnsafeBytes { raw.copyBytes(from: $0) } }
    }

    /// Deterministic output from a number, for simulations and tests.
    public init(seed: UInt64) {
        var bytes = Bytes32()
        bytes.withUnsafeMutableBytes { $0.storeBytes(of: seed.littleEndian, as: UInt64.self) }
        self.init(seed: bytes)
    }

    /// Output seeded by the operating system.
    public static func system() -> Entropy {
        var entropy = Entropy(seed: Bytes32())
        entropy.state.withUnsafeMutableBytes { randombytes_buf($0.octets, keySize) }
        return entropy
    }

    /// Fills `out` with random bytes.
    public mutating func fill(_ out: UnsafeMutableRawBufferPointer) {
        var offset = 0
        while offset < out.count {
            if position == Entropy.blockSize { refill() }
            let size = min(Entropy.blockSize - position, out.count - offset)
            let start = position
            state.withUnsafeMutableBytes { raw in
                let source = UnsafeMutableRawBufferPointer(rebasing: raw[start..<start + size])
                UnsafeMutableRawBufferPointer(rebasing: out[offset..<offset + size])
                    .copyMemory(from: UnsafeRawBufferPointer(source))
                SecretBytes.zero(source)
            }
            position += size
            offset += size
        }
    }

    /// A random value of public bytes: a nonce, a handle, an identifier.
    public mutating func bytes<T: FixedBytes>(_ type: T.Type = T.self) -> T {
        var value = T()
        value.withUnsafeMutableBytes { fill($0) }
        return value
    }

    /// `count` random bytes.
    public mutating func array(_ count: Int) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: count)
        out.withUnsafeMutableBytes { fill($0) }
        return out
    }

    public mutating func uint64() -> UInt64 {
        var value: UInt64 = 0
        withUnsafeMutableBytes(of: &value) { fill($0) }
        return value
    }

    /// A uniform number below `bound`, without bias; 0 when `bound` is 0 or 1.
    public mutating func below(_ bound: Int) -> Int {
        guard bound > 1 else { return 0 }
        let limit = UInt64(bound)
        let excess = UInt64.max % limit &+ 1
        while true {
            let draw = uint64()
            if excess == limit || draw <= UInt64.max - excess { return Int(draw % limit) }
        }
    }

    /// A uniform number in (0, 1].
    public mutating func unit() -> Double {
        Double((uint64() >> 11) + 1) / 9_007_199_254_740_992.0
    }

    /// A draw from the exponential distribution, by inversion: from 0, and at most some 37 times the mean.
    public mutating func exponential(mean: Double) -> Double { -log(unit()) * mean }

    /// Shuffles in place (Fisher–Yates).
    public mutating func shuffle<T>(_ items: inout [T]) {
        guard items.count > 1 else { return }
        for last in stride(from: items.count - 1, to: 0, by: -1) {
            items.swapAt(last, below(last + 1))
        }
    }

    private mutating func refill() {
        let size = Entropy.blockSize
        let keySize = Entropy.keySize
        state.withUnsafeMutableBytes { raw in
            let base = raw.octets
            withUnsafeTemporaryAllocation(byteCount: keySize, alignment: 16) { key in
                let keyBase = key.octets
                key.copyMemory(from: UnsafeRawBufferPointer(rebasing: raw[0..<keySize]))
                withUnsafeTemporaryAllocation(byteCount: 8, alignment: 8) { nonce in
                    nonce.initializeMemory(as: UInt8.self, repeating: 0)
                    let nonceBase = nonce.octets
                    _ = crypto_stream_chacha20(base, UInt64(size), nonceBase, keyBase)
                }
                SecretBytes.zero(key)
            }
        }
        position = keySize
    }
}
