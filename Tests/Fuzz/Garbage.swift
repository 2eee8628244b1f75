import Primitives
import Storage

/// What decoders must survive: valid input that was damaged, and nonsense. The same from the same seed.
public struct Garbage: ~Copyable {
    public var entropy: Entropy

    /// Prints the seed, with which a failure comes again.
    public init(_ name: String, seed: UInt64) {
        print("fuzz \(name) seed \(seed)")
        entropy = Entropy(seed: seed)
    }

    /// One of `valid` with bits flipped, bytes changed, cut, repeated or added; or random bytes that begin like it.
    public mutating func bytes(like valid: [[UInt8]]) -> [UInt8] {
        guard !valid.isEmpty else { return entropy.array(entropy.below(300)) }
        var out = valid[entropy.below(valid.count)]
        guard !out.isEmpty else { return entropy.array(entropy.below(60)) }
        switch entropy.below(8) {
        case 0: return Array(out.prefix(entropy.below(out.count)))
        case 1: return out + entropy.array(1 + entropy.below(16))
        case 2: return Array(out.prefix(1 + entropy.below(4))) + entropy.array(entropy.below(2 * out.count))
        case 3: out.remove(at: entropy.below(out.count))
        case 4: out.insert(UInt8(entropy.below(256)), at: entropy.below(out.count))
        case 5:
            // Lengths and counts at their extremes.
            let start = entropy.below(out.count)
            let value = entropy.below(2) == 0 ? UInt8.max : 0
            for index in start..<min(out.count, start + 1 + entropy.below(8)) { out[index] = value }
        case 6:
            let start = entropy.below(out.count)
            out.insert(contentsOf: out[start..<min(out.count, start + 1 + entropy.below(40))], at: start)
        default:
            for _ in 0...entropy.below(3) { out[entropy.below(out.count)] ^= 1 << UInt8(entropy.below(8)) }
        }
        return out
    }

    /// The same for texts; what is no UTF-8 any more is repaired, as readers of files and terminals do.
    public mutating func text(like valid: [String]) -> String {
        var out = String(decoding: bytes(like: valid.map { Array($0.utf8) }), as: UTF8.self)
        let odd: [Character] = [
            "\u{0}", "\n", "\r\n", "å", "e\u{301}", "\u{202E}", "%", "\"", "\\", "٣", "😀", "#", "=",
        ]
        for _ in 0..<entropy.below(3) {
            let place = out.index(out.startIndex, offsetBy: entropy.below(out.count + 1))
            out.insert(odd[entropy.below(odd.count)], at: place)
        }
        return out
    }

    /// A store in which some entries of `tables` are damaged and some are invented.
    public mutating func damage(_ store: MemoryStore, _ tables: [Table]) throws -> MemoryStore {
        var out = store
        for table in tables {
            var keys: [[UInt8]] = []
            var values: [[UInt8]] = []
            try store.scan(table, from: []) { key, value in
                keys.append(key)
                values.append(value)
                return true
            }
            for key in keys where entropy.below(2) == 0 { try out.put(table, key, bytes(like: values)) }
            for _ in 0..<entropy.below(4) {
                let key = Array(bytes(like: keys).prefix(500))
                try out.put(table, key.isEmpty ? [0xff] : key, bytes(like: values))
            }
            // Whatever numbers its entries finds the last number taken.
            if entropy.below(2) == 0 { try out.put(table, [UInt8](repeating: 0xff, count: 8), bytes(like: values)) }
        }
        return out
    }
}
