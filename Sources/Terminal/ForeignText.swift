/// Text that somebody else wrote, made fit to be printed: the one place through which message texts, names, IDs and
/// links from arguments, cluster names, paths and log values go.
///
/// How to use it:
/// - ``inline(_:limit:)`` inside a sentence, a table's cell or a log line: one line, cut to a length. A missing call is a
///   hole only as long as the text stays on one line: ``page(_:)`` runs over everything that the program prints.
/// - ``block(_:on:)`` for a message: every line that the reader sees begins with ``mark``. No line of the program's own
///   does, so a message cannot imitate one, wherever the terminal would wrap it.
/// - ``paragraph(_:on:hanging:)`` for the program's own sentences with foreign words in them.
/// - ``json(_:)`` for a line of JSON, which escapes less than a terminal needs.
///
/// What stays as it is, and what is written as `\u{…}`, is told by ``Legibility``.
public enum ForeignText {
    /// What begins each line of a message, and no other line.
    public static let mark = "| "
    /// Cells of a name, ID or path in a sentence: a network ID with its scheme fits.
    public static let inlineLimit = 80

    /// One line: line ends and tabs are written as `\n` and `\t`, the rest beyond `limit` cells as an ellipsis.
    public static func inline(_ text: String, limit: Int = inlineLimit) -> String {
        // A foreign text of megabytes is not looked at to its end: each cell takes four characters at the most.
        let isLong = text.utf8.count > limit * 64
        let start = isLong ? String(text.unicodeScalars.prefix(limit * 8)) : text
        let clean = Legibility.clean(start, lines: .escaped)
        var (out, cells) = ("", 0)
        for unit in DisplayWidth.units(clean) {
            let width = DisplayWidth.bound(unit)
            guard cells + width <= limit else { return cut(out, to: limit) + "\u{2026}" }
            out += unit
            cells += width
        }
        return isLong ? out + "\u{2026}" : out
    }

    /// A message: lines that fit `screen`, each with ``mark`` before it. Line ends at the end are left out.
    ///
    /// Where the output is no terminal, lines are as long as the writer made them. A pager that folds them at its edge
    /// shows a folded rest without a mark: `less -S` does not fold.
    public static func block(_ text: String, on screen: Screen) -> String {
        let clean = Legibility.clean(text, lines: .kept)
        var lines = clean.split(separator: "\n", omittingEmptySubsequences: false)
        while lines.count > 1, lines.last?.isEmpty == true { lines.removeLast() }
        return lines.flatMap { screen.folded(String($0), after: mark, hanging: mark) }.joined(separator: "\n")
    }

    /// Lines of the program's own; what a terminal would wrap is indented by `hanging` blanks.
    public static func paragraph(_ text: String, on screen: Screen, hanging: Int = 2) -> String {
        page(text).split(separator: "\n", omittingEmptySubsequences: false).flatMap {
            screen.folded(String($0), after: "", hanging: String(repeating: " ", count: hanging))
        }.joined(separator: "\n")
    }

    /// Several lines of the program's own as they are, but for characters that are not legible.
    public static func page(_ text: String) -> String { Legibility.clean(text, lines: .kept) }

    /// JSON in which nothing but legible characters stands: others become `\uXXXX`, which means the same to a program.
    public static func json(_ text: String) -> String {
        guard !text.utf8.allSatisfy({ (0x20...0x7e).contains($0) }) else { return text }
        var out = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            if Legibility.isPlain(scalar) || Legibility.isMark(scalar) {
                out.append(scalar)
            } else {
                for unit in String(scalar).utf16 {
                    let digits = String(unit, radix: 16)
                    out.append(
                        contentsOf: ("\\u" + String(repeating: "0", count: 4 - digits.count) + digits).unicodeScalars)
                }
            }
        }
        return String(out)
    }

    /// The longest beginning of `text` that leaves a cell for the ellipsis.
    private static func cut(_ text: String, to limit: Int) -> String {
        var units = DisplayWidth.units(text)
        while units.reduce(0, { $0 + DisplayWidth.bound($1) }) >= limit, !units.isEmpty { units.removeLast() }
        return units.joined()
    }
}

extension String {
    /// The text as one legible line, cut to the length of an ID: for what others wrote, in a sentence of ours.
    public var shown: String { ForeignText.inline(self) }
}
