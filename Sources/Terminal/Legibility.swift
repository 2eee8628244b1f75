/// Which characters of foreign text are printed as they are, and which as `\u{…}`.
///
/// Printed as they are: letters, digits, signs and blanks; up to ``markLimit`` combining marks on one of them; the joiners
/// U+200C and U+200D between characters that they join, and variation selectors behind characters that have variants
/// (RFC 5892 appendix A, UAX #31 section 2.3, UTS #51 sections 2.2 and 2.3). Escaped: control and format characters, among
/// them those that turn the direction of writing (UTS #55), tags, line and paragraph separators, what has no glyph
/// (Default_Ignorable_Code_Point), private use and what this version of Unicode does not know.
enum Legibility {
    /// Combining marks on one character: Biblical Hebrew and Tibetan have up to six.
    static let markLimit = 8
    /// Joiners in one sequence of emoji: the kiss of two people has three.
    static let emojiJoinerLimit = 4

    enum LineEnds {
        /// `\n` for a line end, `\t` for a tab.
        case escaped
        /// Line ends (also CR LF) and tabs stay.
        case kept
    }

    static func clean(_ text: String, lines: LineEnds) -> String {
        let isPlainASCII = text.utf8.allSatisfy { (0x20...0x7e).contains($0) || ($0 == 0x0a && lines == .kept) }
        guard !isPlainASCII else { return text }
        let scalars = Array(text.unicodeScalars)
        var out = String.UnicodeScalarView()
        var context = Context()
        for (index, scalar) in scalars.enumerated() {
            let next = index + 1 < scalars.count ? scalars[index + 1] : nil
            switch scalar {
            case " "..."~":
                out.append(scalar)
                context.base(scalar)
            case "\n", "\t":
                let sign = lines == .kept ? String(scalar) : scalar == "\n" ? "\\n" : "\\t"
                out.append(contentsOf: sign.unicodeScalars)
                context = Context()
            case "\r" where next == "\n" && lines == .kept:
                break
            case _ where isPlain(scalar):
                out.append(scalar)
                context.base(scalar)
            case _ where isMark(scalar):
                switch context.mark(scalar) {
                case .isolated: out.append(contentsOf: ["\u{25CC}", scalar])
                case .placed: out.append(scalar)
                case .firstBeyond: out.append("\u{FFFD}")
                case .beyond: break
                }
            case _ where context.joins(scalar, next) || context.selects(scalar, next):
                out.append(scalar)
            default:
                out.append(contentsOf: ("\\u{" + String(scalar.value, radix: 16) + "}").unicodeScalars)
                context = Context()
            }
        }
        return String(out)
    }

    /// A character that stands by itself and has a glyph or is a blank.
    static func isPlain(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.isASCII { return (0x20...0x7e).contains(scalar.value) }
        let properties = scalar.properties
        switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned,
            .nonspacingMark, .enclosingMark, .spacingMark:
            return false
        default:
            // The fillers of Hangul, which are letters without a glyph.
            return !properties.isDefaultIgnorableCodePoint
        }
    }

    static func isMark(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .spacingMark: !scalar.properties.isDefaultIgnorableCodePoint
        default: false
        }
    }

    /// What stands before the next character.
    private struct Context {
        /// The character that marks, joiners and selectors go with; `nil` at the start of a line and behind an escape.
        private var base: Unicode.Scalar?
        private var last: Unicode.Scalar?
        private var marks = 0
        private var emojiJoiners = 0

        enum Place { case isolated, placed, firstBeyond, beyond }

        mutating func base(_ scalar: Unicode.Scalar) {
            // A skin tone belongs to the emoji before it.
            let continues = last == "\u{200D}" || scalar.properties.isEmojiModifier
            if !continues { emojiJoiners = 0 }
            (base, last, marks) = (scalar, scalar, 0)
        }

        mutating func mark(_ scalar: Unicode.Scalar) -> Place {
            guard base != nil else {
                base = "\u{25CC}"
                (last, marks) = (scalar, 1)
                return .isolated
            }
            marks += 1
            guard marks <= Legibility.markLimit else {
                return marks == Legibility.markLimit + 1 ? .firstBeyond : .beyond
            }
            last = scalar
            return .placed
        }

        mutating func joins(_ scalar: Unicode.Scalar, _ next: Unicode.Scalar?) -> Bool {
            guard scalar == "\u{200C}" || scalar == "\u{200D}", let base, let last, last != "\u{200C}",
                last != "\u{200D}"
            else { return false }
            let isPlaced =
                if last.properties.canonicalCombiningClass == .virama {
                    true
                } else if scalar == "\u{200D}", Legibility.isPictograph(base) {
                    emojiJoiners < Legibility.emojiJoinerLimit && next.map(Legibility.isPictograph) == true
                } else if let next {
                    // Between letters of a script that joins them, at the end of a word too, which U+200D marks; and
                    // before a virama.
                    (Legibility.isJoining(base) && (Legibility.isJoining(next) || scalar == "\u{200D}"))
                        || (next.properties.canonicalCombiningClass == .virama && base.properties.isAlphabetic)
                } else {
                    Legibility.isJoining(base) && scalar == "\u{200D}"
                }
            guard isPlaced else { return false }
            if Legibility.isPictograph(base) { emojiJoiners += 1 }
            self.last = scalar
            return true
        }

        mutating func selects(_ scalar: Unicode.Scalar, _ next: Unicode.Scalar?) -> Bool {
            // One selector, directly behind its character.
            guard let base, last == base else { return false }
            let isPlaced =
                switch scalar.value {
                case 0xfe0e, 0xfe0f:
                    base.properties.isEmoji && (!base.isASCII || next == "\u{20E3}")
                case 0xfe00...0xfe0d, 0xe0100...0xe01ef: base.properties.isUnifiedIdeograph
                case 0x180b...0x180d, 0x180f: (0x1820...0x18aa).contains(base.value)
                default: false
                }
            if isPlaced { last = scalar }
            return isPlaced
        }
    }

    private static func isPictograph(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value > 0xff && scalar.properties.isEmoji
    }

    /// Letters of scripts in which letters join (Joining_Type of the Unicode Character Database, by block).
    private static func isJoining(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x0620...0x06ff, 0x0700...0x074f, 0x0750...0x077f, 0x07ca...0x07fa, 0x0840...0x08ff, 0x1807...0x18aa,
            0xfb50...0xfdff, 0xfe70...0xfefc, 0x10d00...0x10d3f, 0x1e900...0x1e943:
            scalar.properties.isAlphabetic
        default: false
        }
    }
}
