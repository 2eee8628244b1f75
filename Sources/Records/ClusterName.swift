/// What a cluster may call itself: letters and digits of any script with `-`, `_`, `.` and single blanks between them.
///
/// A name proves nothing, and others may have the same. The rule keeps out what cannot be read aloud, typed behind an
/// `@`, or told apart from an ID. Descriptors of others may break it (specs/map.md); those clusters are written by ID.
public enum ClusterName {
    /// Bytes in UTF-8, as of a descriptor.
    public static let limit = ClusterDescriptor.nameLimit

    /// Why a name cannot be had.
    public enum Failure: Error, Equatable, Sendable, CustomStringConvertible {
        case length(Int)
        /// At this position from 0.
        case character(Unicode.Scalar, position: Int)
        /// It reads like the ID of a cluster or user.
        case identity

        public var description: String {
            switch self {
            case .length(let count): "must have 1 to \(ClusterName.limit) bytes, not \(count)"
            case .character(let scalar, let position):
                "character \(position + 1), U+\(ClusterName.hexadecimal(scalar)), cannot stand there: a name has letters and "
                    + "digits, and between them -, _, . or a single blank"
            case .identity: "reads like an ID"
            }
        }
    }

    public static func check(_ name: String) throws(Failure) {
        // Before the length: an ID is longer than a name may be.
        let small = name.lowercased()
        let isHex = small.utf8.count >= 16 && small.utf8.allSatisfy { Character(Unicode.Scalar($0)).isHexDigit }
        guard !isHex, !small.hasPrefix("huldac1"), !small.hasPrefix("hulda1") else { throw .identity }
        guard (1...limit).contains(name.utf8.count) else { throw .length(name.utf8.count) }
        let scalars = Array(name.unicodeScalars)
        for (position, scalar) in scalars.enumerated() {
            let isInner = position > 0 && position < scalars.count - 1
            let isAllowed =
                switch scalar {
                case "-", "_", ".": isInner
                case " ": isInner && scalars[position - 1] != " "
                case _ where isMark(scalar): position > 0 && isWord(scalars[position - 1])
                default: isWord(scalar)
                }
            guard isAllowed else { throw .character(scalar, position: position) }
        }
    }

    /// Whether the name of another cluster can stand behind an `@`, for people to read and type.
    public static func isWritable(_ name: String) -> Bool {
        do throws(Failure) {
            try check(name)
            return true
        } catch { return false }
    }

    /// Names that differ in capital letters only are one name to people: this is the same of both.
    public static func folded(_ name: String) -> String { name.lowercased() }

    private static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .otherLetter, .modifierLetter, .decimalNumber:
            !scalar.properties.isDefaultIgnorableCodePoint
        default: isMark(scalar)
        }
    }

    private static func isMark(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .spacingMark: !scalar.properties.isDefaultIgnorableCodePoint
        default: false
        }
    }

    private static func hexadecimal(_ scalar: Unicode.Scalar) -> String {
        let digits = String(scalar.value, radix: 16, uppercase: true)
        return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }
}
