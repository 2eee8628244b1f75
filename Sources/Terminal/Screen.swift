import Glibc

/// Where text is printed: a terminal of some width, or no terminal.
public struct Screen: Sendable, Equatable {
    /// Cells in a line; `nil` when lines are not folded.
    public let columns: Int?
    /// Whether characters of ambiguous width take two cells.
    private let isEastAsian: Bool

    public init(columns: Int?, isEastAsian: Bool = false) {
        self.columns = columns
        self.isEastAsian = isEastAsian
    }

    /// The terminal behind a descriptor. One that does not tell its width has 80 columns.
    public init(descriptor: Int32) {
        guard isatty(descriptor) == 1 else {
            self.init(columns: nil)
            return
        }
        var size = winsize()
        let isKnown = ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
        var locale = ""
        for variable in ["LANG", "LC_CTYPE", "LC_ALL"] {
            if let value = getenv(variable), value.pointee != 0 { locale = String(cString: value) }
        }
        self.init(
            columns: isKnown ? Int(size.ws_col) : 80,
            isEastAsian: ["zh", "ja", "ko"].contains { locale.hasPrefix($0) })
    }

    /// The lines into which a clean line is folded: at blanks where there are any. The last column stays empty, for not
    /// all terminals agree on what follows a character in it.
    func folded(_ line: String, after first: String, hanging: String) -> [String] {
        guard let columns else { return [first + line] }
        var lines: [String] = []
        var prefix = first
        func room() -> Int { max(1, columns - 1 - DisplayWidth.bound(prefix, isEastAsian: isEastAsian)) }
        // The units of the line that is being made, their cells, and where it may be broken.
        var (units, cells, lastBlank): ([(text: String, width: Int)], Int, Int?) = ([], 0, nil)
        func take(_ text: String) {
            let width = DisplayWidth.bound(text, isEastAsian: isEastAsian)
            // Breaking at a blank may free a single cell, which is too few for a wide character.
            while cells + width > room(), !units.isEmpty {
                let end = lastBlank ?? units.count
                lines.append(prefix + units[..<end].map(\.text).joined())
                prefix = hanging
                units.removeSubrange(..<end)
                (cells, lastBlank) = (units.reduce(0) { $0 + $1.width }, nil)
            }
            units.append((text, width))
            cells += width
            if text == " " { lastBlank = units.count }
        }
        for unit in DisplayWidth.units(line) {
            if unit == "\t" {
                // To the next multiple of eight: where a terminal puts it depends on what stands before it.
                for _ in 0..<(8 - cells % 8) { take(" ") }
            } else {
                take(unit)
            }
        }
        lines.append(prefix + units.map(\.text).joined())
        return lines
    }
}
