/// How many cells of a terminal a text takes.
///
/// Terminals disagree: about emoji, about sequences with joiners, about characters that are younger than their tables.
/// ``cells(_:)`` is what most show, for columns of a table. ``bound(_:)`` is the most that one shows, for deciding where
/// a line ends: then none of them wraps it in another place.
public enum DisplayWidth {
    /// Cells in most terminals (UAX #11, UTS #51).
    public static func cells(_ text: String) -> Int {
        if isASCII(text) { return text.utf8.count }
        return text.reduce(0) { sum, character in
            let scalars = character.unicodeScalars
            guard let first = scalars.first else { return sum }
            if first.properties.isEmojiPresentation || scalars.contains("\u{FE0F}") { return sum + 2 }
            return sum + scalars.reduce(0) { $0 + (isZero($1) || isTrailingJamo($1) ? 0 : isWide($1) ? 2 : 1) }
        }
    }

    /// The most cells that a terminal takes for it.
    /// - Parameter isEastAsian: whether characters of ambiguous width take two, as in Chinese, Japanese and Korean.
    static func bound(_ text: String, isEastAsian: Bool = false) -> Int {
        if isASCII(text) { return text.utf8.count }
        let hasVariant = text.unicodeScalars.contains("\u{FE0F}")
        return text.unicodeScalars.reduce(0) { sum, scalar in
            if scalar.isASCII { return sum + (hasVariant ? 2 : 1) }
            if isZero(scalar) { return sum + (isYoung(scalar) ? 1 : 0) }
            let isTwo = isWide(scalar) || scalar.properties.isEmoji || (isEastAsian && !isTrailingJamo(scalar))
            return sum + (isTwo ? 2 : 1)
        }
    }

    /// What a line may be broken between: graphemes, and the characters of one that is longer than any that is read as one
    /// (Hangul and Indic syllables may be put together without an end).
    static func units(_ text: String) -> [String] {
        if isASCII(text) { return text.unicodeScalars.map { String($0) } }
        return text.flatMap { character -> [String] in
            let unit = String(character)
            guard bound(unit) > longestUnit else { return [unit] }
            var parts: [String] = []
            for scalar in unit.unicodeScalars {
                if isZero(scalar), !parts.isEmpty {
                    parts[parts.count - 1].unicodeScalars.append(scalar)
                } else {
                    parts.append(String(scalar))
                }
            }
            return parts
        }
    }

    /// Cells of the longest grapheme that is kept together: four emoji with skin tones.
    private static let longestUnit = 16

    private static func isASCII(_ text: String) -> Bool { text.utf8.allSatisfy { $0 < 0x80 } }

    /// Takes no cell of its own.
    private static func isZero(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format: true
        default: false
        }
    }

    /// The second and third part of a Hangul syllable that is written in its parts.
    private static func isTrailingJamo(_ scalar: Unicode.Scalar) -> Bool {
        (0x1160...0x11ff).contains(scalar.value) || (0xd7b0...0xd7ff).contains(scalar.value)
    }

    /// Younger than Unicode 9 (2016), which every terminal in use knows.
    private static func isYoung(_ scalar: Unicode.Scalar) -> Bool {
        (scalar.properties.age?.major ?? 99) > 9
    }

    /// East_Asian_Width W or F, of Unicode 18 (a terminal may know more than this program).
    private static func isWide(_ scalar: Unicode.Scalar) -> Bool {
        let value = scalar.value
        guard value >= 0x1100 else { return false }
        var (low, high) = (0, wide.count)
        while low < high {
            let middle = (low + high) / 2
            if wide[middle].upperBound < value { low = middle + 1 } else { high = middle }
        }
        return low < wide.count && wide[low].contains(value)
    }

    private static let wide: [ClosedRange<UInt32>] = [
        0x1100...0x115f, 0x231a...0x231b, 0x2329...0x232a, 0x23e9...0x23ec, 0x23f0...0x23f0, 0x23f3...0x23f3,
        0x25fd...0x25fe, 0x2614...0x2615, 0x2630...0x2637, 0x2648...0x2653, 0x267f...0x267f, 0x268a...0x268f,
        0x2693...0x2693, 0x26a1...0x26a1, 0x26aa...0x26ab, 0x26bd...0x26be, 0x26c4...0x26c5, 0x26ce...0x26ce,
        0x26d4...0x26d4, 0x26ea...0x26ea, 0x26f2...0x26f3, 0x26f5...0x26f5, 0x26fa...0x26fa, 0x26fd...0x26fd,
        0x2705...0x2705, 0x270a...0x270b, 0x2728...0x2728, 0x274c...0x274c, 0x274e...0x274e, 0x2753...0x2755,
        0x2757...0x2757, 0x2795...0x2797, 0x27b0...0x27b0, 0x27bf...0x27bf, 0x2b1b...0x2b1c, 0x2b50...0x2b50,
        0x2b55...0x2b55, 0x2e80...0x2e99, 0x2e9b...0x2ef3, 0x2f00...0x2fd5, 0x2ff0...0x3029, 0x3030...0x303e,
        0x3041...0x3096, 0x309b...0x30ff, 0x3105...0x312f, 0x3131...0x3163, 0x3165...0x318e, 0x3190...0x31e5,
        0x31ef...0x321e, 0x3220...0x3247, 0x3250...0xa48c, 0xa490...0xa4c6, 0xa960...0xa97c, 0xac00...0xd7a3,
        0xf900...0xfaff, 0xfe10...0xfe19, 0xfe30...0xfe52, 0xfe54...0xfe66, 0xfe68...0xfe6b, 0xff01...0xff60,
        0xffe0...0xffe6, 0x16fe0...0x16fe3, 0x16ff2...0x16ff6, 0x17000...0x18cda, 0x18cff...0x18d20,
        0x18d80...0x18df2, 0x18e00...0x19191, 0x191a0...0x191d2, 0x1aff0...0x1aff3, 0x1aff5...0x1affb,
        0x1affd...0x1affe, 0x1b000...0x1b128, 0x1b132...0x1b132, 0x1b150...0x1b152, 0x1b155...0x1b155,
        0x1b164...0x1b168, 0x1b170...0x1b2fb, 0x1d300...0x1d356, 0x1d360...0x1d376, 0x1f004...0x1f004,
        0x1f0cf...0x1f0cf, 0x1f18e...0x1f18e, 0x1f191...0x1f19a, 0x1f1ae...0x1f1ae, 0x1f1e6...0x1f202,
        0x1f210...0x1f23b, 0x1f240...0x1f248, 0x1f250...0x1f251, 0x1f260...0x1f265, 0x1f300...0x1f320,
        0x1f32d...0x1f335, 0x1f337...0x1f37c, 0x1f37e...0x1f393, 0x1f3a0...0x1f3ca, 0x1f3cf...0x1f3d3,
        0x1f3e0...0x1f3f0, 0x1f3f4...0x1f3f4, 0x1f3f8...0x1f43e, 0x1f440...0x1f440, 0x1f442...0x1f4fc,
        0x1f4ff...0x1f53d, 0x1f54b...0x1f54e, 0x1f550...0x1f567, 0x1f57a...0x1f57a, 0x1f595...0x1f596,
        0x1f5a4...0x1f5a4, 0x1f5fb...0x1f64f, 0x1f680...0x1f6c5, 0x1f6cc...0x1f6cc, 0x1f6d0...0x1f6d2,
        0x1f6d5...0x1f6d9, 0x1f6dc...0x1f6df, 0x1f6eb...0x1f6ec, 0x1f6f4...0x1f6fc, 0x1f7da...0x1f7da,
        0x1f7e0...0x1f7eb, 0x1f7f0...0x1f7f0, 0x1f90c...0x1f93a, 0x1f93c...0x1f945, 0x1f947...0x1f9ff,
        0x1fa70...0x1fa7c, 0x1fa80...0x1fac6, 0x1fac8...0x1fac8, 0x1facc...0x1fadd, 0x1fadf...0x1faeb,
        0x1faef...0x1fafa, 0x20000...0x2fffd, 0x30000...0x3fffd,
    ]
}
