import FoundationEssentials

/// Text of strangers on a terminal.
enum Terminal {
    /// The end of the year 9999: a stranger's clock may say anything.
    private static let lastSecond: UInt64 = 253_402_300_799

    static func date(_ seconds: UInt64) -> String {
        Date(timeIntervalSince1970: Double(min(seconds, lastSecond))).description
    }

    /// Control characters, which could rewrite the screen, shown as `\u{…}`; lines are indented.
    ///
    /// Empty lines at the end, which piped text has, are left out.
    static func safe(_ text: String) -> String {
        var out = ""
        for scalar in text.unicodeScalars.reversed().drop(while: { $0 == "\n" }).reversed() {
            switch scalar {
            case "\n": out += "\n  "
            case "\t": out += "\t"
            case _ where scalar.properties.generalCategory == .control || scalar.properties.generalCategory == .format:
                out += "\\u{" + String(scalar.value, radix: 16) + "}"
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out
    }
}
