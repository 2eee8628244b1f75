import Primitives
import Testing

/// Chi-square of `counts` against equal expectation.
private func chiSquare(_ counts: [Int]) -> Double {
    let expected = Double(counts.reduce(0, +)) / Double(counts.count)
    return counts.reduce(0) { $0 + (Double($1) - expected) * (Double($1) - expected) / expected }
}

/// Within five deviations of what chance gives: mean k - 1, variance 2(k - 1). Seeds are fixed, so it never flickers.
private func looksUniform(_ counts: [Int]) -> Bool {
    let freedom = Double(counts.count - 1)
    return abs(chiSquare(counts) - freedom) < 5 * (2 * freedom).squareRoot() + 5
}

@Suite("Entropy")
struct EntropyTests {
    /// The second half of ChaCha20's first block under a zero key (RFC 8439 appendix A.1, test vector 1): the first
    /// half has become the next key.
    @Test("begins with the key stream that follows the next key")
    func known() throws {
        var entropy = Entropy(seed: Bytes32())
        let expected = try hex("da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586")
        #expect(entropy.array(32) == expected)
    }

    @Test("gives the same from the same seed, however it is drawn, and other things from other seeds")
    func determinism() {
        var whole = Entropy(seed: 24)
        var pieces = Entropy(seed: 24)
        var other = Entropy(seed: 25)
        let expected = whole.array(5000)
        var found: [UInt8] = []
        for size in [1, 991, 1, 992, 993, 1024, 998] { found += pieces.array(size) }
        #expect(found == expected)
        #expect(other.array(5000) != expected)
        var system = Entropy.system()
        var again = Entropy.system()
        #expect(system.array(32) != again.array(32))
    }

    @Test("is uniform in its bytes and bits")
    func uniformBytes() {
        var entropy = Entropy(seed: 26)
        var counts = [Int](repeating: 0, count: 256)
        var ones = [Int](repeating: 0, count: 8)
        for byte in entropy.array(1 << 18) {
            counts[Int(byte)] += 1
            for bit in 0..<8 where byte >> UInt8(bit) & 1 == 1 { ones[bit] += 1 }
        }
        #expect(looksUniform(counts), "chi-square \(chiSquare(counts))")
        // Binomial with mean 131,072 and deviation 256.
        for count in ones { #expect(abs(count - 1 << 17) < 1280) }
    }

    @Test("draws from the exponential distribution: its mean, and the shares beyond one and three means")
    func exponential() {
        var entropy = Entropy(seed: 27)
        let draws = (0..<20_000).map { _ in entropy.exponential(mean: 50) }
        #expect(draws.allSatisfy { $0 >= 0 && $0.isFinite })
        // Five deviations: of the mean 50 / √20,000, of a share √(p(1 - p) / 20,000).
        #expect(abs(draws.reduce(0, +) / 20_000 - 50) < 1.8)
        #expect(abs(Double(draws.count { $0 > 50 }) / 20_000 - 0.3679) < 0.018)
        #expect(abs(Double(draws.count { $0 > 150 }) / 20_000 - 0.0498) < 0.008)
    }

    @Test("draws numbers below a bound without preference", arguments: [2, 3, 5, 10, 64, 1000])
    func uniformNumbers(bound: Int) {
        var entropy = Entropy(seed: UInt64(bound))
        var counts = [Int](repeating: 0, count: bound)
        for _ in 0..<(bound * 100) { counts[entropy.below(bound)] += 1 }
        #expect(looksUniform(counts), "chi-square \(chiSquare(counts))")
    }

    @Test("draws below the least and greatest bounds too")
    func bounds() {
        var entropy = Entropy(seed: 27)
        #expect(entropy.below(0) == 0)
        #expect(entropy.below(1) == 0)
        #expect(entropy.below(-5) == 0)
        for _ in 0..<1000 {
            #expect((0..<Int.max).contains(entropy.below(.max)))
            let unit = entropy.unit()
            #expect(unit > 0 && unit <= 1)
        }
    }

    @Test("draws units with the mean and spread of a uniform number")
    func units() {
        var entropy = Entropy(seed: 28)
        var deciles = [Int](repeating: 0, count: 10)
        for _ in 0..<100_000 { deciles[min(9, Int(entropy.unit() * 10))] += 1 }
        #expect(looksUniform(deciles), "chi-square \(chiSquare(deciles))")
    }

    @Test("shuffles into each order equally often")
    func shuffles() {
        var entropy = Entropy(seed: 29)
        var counts: [[Int]: Int] = [:]
        for _ in 0..<24_000 {
            var items = [0, 1, 2, 3]
            entropy.shuffle(&items)
            counts[items, default: 0] += 1
        }
        #expect(counts.count == 24)
        #expect(looksUniform(Array(counts.values)), "chi-square \(chiSquare(Array(counts.values)))")
        var none: [Int] = []
        entropy.shuffle(&none)
        #expect(none.isEmpty)
    }
}

@Suite("Secret bytes")
struct SecretBytesTests {
    @Test("are zero at first, and leave zeros in the array they were taken from")
    func taking() {
        #expect(bytes(SecretBytes(count: 40)) == [UInt8](repeating: 0, count: 40))
        var source: [UInt8] = [1, 2, 3]
        let taken = SecretBytes(taking: &source)
        #expect(source == [0, 0, 0])
        #expect(bytes(taken) == [1, 2, 3])
        #expect(bytes(taken.copy()) == [1, 2, 3])
        #expect(taken.count == 3)
    }

    @Test("are overwritten by zero, also when there are none")
    func zero() {
        var buffer = [UInt8](repeating: 0xaa, count: 1000)
        buffer.withUnsafeMutableBytes { SecretBytes.zero(UnsafeMutableRawBufferPointer(rebasing: $0[1..<999])) }
        #expect(buffer == [0xaa] + [UInt8](repeating: 0, count: 998) + [0xaa])
        SecretBytes.zero(UnsafeMutableRawBufferPointer(start: nil, count: 0))
    }

    @Test("of two owners do not share memory")
    func owners() {
        var first = SecretBytes(count: 4)
        let second = first.copy()
        first.withUnsafeMutableBytes { $0[0] = 9 }
        #expect(bytes(first) == [9, 0, 0, 0])
        #expect(bytes(second) == [0, 0, 0, 0])
    }

    @Test("compare equal in constant time exactly when length and content are equal")
    func comparison() {
        func equal(_ left: [UInt8], _ right: [UInt8]) -> Bool {
            left.withUnsafeBytes { l in right.withUnsafeBytes { r in ConstantTime.equal(l, r) } }
        }
        var entropy = Entropy(seed: 30)
        for count in [0, 1, 16, 33] {
            let value = entropy.array(count)
            #expect(equal(value, value))
            #expect(!equal(value, value + [0]))
            for index in value.indices {
                var other = value
                other[index] ^= 0x80
                #expect(!equal(value, other))
            }
        }
        let tag = entropy.bytes(Bytes16.self)
        #expect(ConstantTime.equal(tag, tag))
        #expect(!ConstantTime.equal(tag, Bytes16()))
        Bytes16().withUnsafeBytes { #expect(ConstantTime.isZero($0)) }
        tag.withUnsafeBytes { #expect(!ConstantTime.isZero($0)) }
    }
}

@Suite("Fixed-size bytes and hexadecimal")
struct FixedBytesTests {
    @Test("take exactly their size and order like their bytes")
    func values() throws {
        #expect(Bytes16([UInt8](repeating: 0, count: 15)) == nil)
        #expect(Bytes24([UInt8](repeating: 0, count: 25)) == nil)
        #expect(Bytes64([]) == nil)
        var entropy = Entropy(seed: 31)
        for _ in 0..<200 {
            let left = entropy.array(32)
            let right = Array(left.prefix(entropy.below(32))) + entropy.array(32)
            let (a, b) = (try #require(Bytes32(left)), try #require(Bytes32(Array(right.prefix(32)))))
            #expect(a.bytes == left)
            #expect((a < b) == left.lexicographicallyPrecedes(right.prefix(32)))
            #expect(try hex(a.hex) == left)
        }
    }

    @Test("spell and read hexadecimal, and nothing else")
    func hexadecimal() {
        #expect(Hex.encode([0, 0x9f, 0xff]) == "009fff")
        #expect(Hex.decode("009FfF") == [0, 0x9f, 0xff])
        #expect(Hex.decode("") == [])
        for text in ["0", "0g", "0x00", " 00", "٠٠", "+1", "é"] { #expect(Hex.decode(text) == nil) }
    }
}
