/// Texts from a seed, rich in what is hard to print.
struct Seeded: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    /// SplitMix64.
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    private static let ranges: [ClosedRange<UInt32>] = [
        0x20...0x7e, 0x20...0x20, 0...0x1f, 0x80...0x9f, 0xa0...0x24f, 0x300...0x36f, 0x5d0...0x6ff, 0x900...0xdff,
        0xe00...0xeff, 0x1100...0x11ff, 0x200b...0x200f, 0x2028...0x202e, 0x20d0...0x20ff, 0x2600...0x27bf,
        0x3000...0x30ff, 0x4e00...0x4eff, 0xac00...0xacff, 0xfe00...0xfe0f, 0xff00...0xffef, 0x1f1e6...0x1f1ff,
        0x1f300...0x1faff, 0x1f3fb...0x1f3ff, 0xe0001...0xe01ef, 0...0x10ffff,
    ]

    mutating func text(_ limit: Int) -> String {
        var view = String.UnicodeScalarView()
        for _ in 0..<Int.random(in: 0...limit, using: &self) {
            let range = Seeded.ranges.randomElement(using: &self) ?? 0x20...0x7e
            if let scalar = Unicode.Scalar(UInt32.random(in: range, using: &self)) { view.append(scalar) }
        }
        return String(view)
    }
}
