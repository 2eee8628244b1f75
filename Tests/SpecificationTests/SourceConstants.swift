import Foundation

/// The integer constants that the sources declare, by name and value: what a page of the specifications can be held against,
/// private ones included.
///
/// Read from the text: `let` or `var` with an integer as its value, at any depth of types, and parameters with such a
/// default. The value may be computed from literals and other constants.
struct SourceConstants {
    struct Constant {
        /// The types around it and its own name, as `DatagramBounds.calls`.
        let name: String
        let file: String
        let expression: String
    }

    /// By name; two declarations of one name have to agree.
    private(set) var constants: [String: [Constant]] = [:]

    /// - Parameter folders: which targets of `Sources` to read.
    init(sources: URL, without skipped: Set<String> = []) throws {
        let files = FileManager.default.enumerator(at: sources, includingPropertiesForKeys: nil)
        while let file = files?.nextObject() as? URL {
            guard file.pathExtension == "swift" else { continue }
            let path = file.standardized.path.dropFirst(sources.standardized.path.count + 1)
            guard !skipped.contains(String(path.prefix { $0 != "/" })) else { continue }
            read(try String(contentsOf: file, encoding: .utf8), of: String(path))
        }
    }

    init(text: String) {
        read(text, of: "text")
    }

    private mutating func read(_ text: String, of file: String) {
        var scopes: [(indentation: Int, name: String)] = []
        // A value may stand on the line after its name.
        let text = text.replacing(/=\n +/, with: "= ")
        for line in text.split(separator: "\n", omittingEmptySubsequences: true) {
            let indentation = line.prefix { $0 == " " }.count
            let code = line.drop { $0 == " " }
            // The formatter indents every line: a line this far to the left is outside of what began further right.
            if !code.isEmpty, code.first != "}", code.first != "/" {
                while let last = scopes.last, last.indentation >= indentation { scopes.removeLast() }
            }
            if let type = code.firstMatch(of: Self.typePattern) {
                scopes.append((indentation, String(type.output.1)))
                continue
            }
            let around = scopes.map(\.name).joined(separator: ".")
            func add(_ name: Substring, _ expression: Substring) {
                let full = around.isEmpty ? String(name) : "\(around).\(name)"
                constants[full, default: []].append(Constant(name: full, file: file, expression: String(expression)))
            }
            if let match = code.firstMatch(of: Self.constantPattern) {
                // Deeper ones are a function's own.
                guard indentation == scopes.last.map({ $0.indentation + 4 }) ?? 0 else { continue }
                add(match.output.1, match.output.2)
            } else if code.contains("func ") || code.contains("init(") || code.first?.isLowercase == true {
                for match in code.matches(of: Self.parameterPattern) { add(match.output.1, match.output.2) }
            }
        }
    }

    /// The value of a constant, or of one that the type of `near` has by that name; `nil` when there is none, or it is
    /// no integer that can be computed from the text.
    func value(_ name: String, near: String = "", depth: Int = 8) -> Int? {
        guard depth > 0 else { return nil }
        var scope = near.split(separator: ".").dropLast()
        while true {
            let full = (scope.map(String.init) + [name]).joined(separator: ".")
            if let found = constants[full] {
                let values = Set(found.map { Arithmetic(self, $0, depth: depth - 1).value() })
                return values.count == 1 ? values.first.flatMap { $0 } : nil
            }
            if scope.isEmpty { return nil }
            scope.removeLast()
        }
    }

    nonisolated(unsafe) private static let typePattern =
        #/
        ^(?:@\w+\ |public\ |package\ |private\ |fileprivate\ |internal\ |final\ |indirect\ )*
        (?:struct|enum|class|actor|extension|protocol)\ ([A-Za-z0-9_.]+)
        /#
    nonisolated(unsafe) private static let constantPattern =
        #/
        ^(?:public\ |package\ |private\ |fileprivate\ |internal\ )?(?:static\ )?(?:let|var)\ ([A-Za-z0-9]+)
        (?::\ U?Int[0-9]*)?\ (?:=|{)\ ([0-9A-Za-z_.()+*<\/,\ -]+?)(?:\ })?$
        /#
    nonisolated(unsafe) private static let parameterPattern = /([A-Za-z0-9]+): U?Int[0-9]* = ([0-9_]+(?: << [0-9]+)?)/
}

/// `2 * limit`, `1 << 20`, `102 + max(7 * a, 2 * b)`: by Swift's precedence.
private struct Arithmetic {
    private var tokens: ArraySlice<Substring>
    private let constants: SourceConstants
    private let of: SourceConstants.Constant
    private let depth: Int

    init(_ constants: SourceConstants, _ constant: SourceConstants.Constant, depth: Int) {
        let words = constant.expression.matches(of: /[0-9][0-9_]*|[A-Za-z][A-Za-z0-9.]*|<<|\S/)
        tokens = words.map(\.output)[...]
        self.constants = constants
        of = constant
        self.depth = depth
    }

    func value() -> Int? {
        var copy = self
        let result = copy.sum()
        return copy.tokens.isEmpty ? result : nil
    }

    private mutating func sum() -> Int? {
        guard var result = product() else { return nil }
        while let sign = tokens.first, sign == "+" || sign == "-" {
            tokens.removeFirst()
            guard let next = product() else { return nil }
            result = sign == "+" ? result &+ next : result &- next
        }
        return result
    }

    private mutating func product() -> Int? {
        guard var result = shift() else { return nil }
        while let sign = tokens.first, sign == "*" || sign == "/" {
            tokens.removeFirst()
            guard let next = shift(), sign == "*" || next != 0 else { return nil }
            result = sign == "*" ? result &* next : result / next
        }
        return result
    }

    private mutating func shift() -> Int? {
        guard let result = atom() else { return nil }
        guard tokens.first == "<<" else { return result }
        tokens.removeFirst()
        return atom().map { result << $0 }
    }

    private mutating func atom() -> Int? {
        guard let token = tokens.popFirst(), let first = token.first else { return nil }
        if first.isNumber { return Int(token.filter { $0 != "_" }) }
        guard first.isLetter || first == "(" else { return nil }
        guard first == "(" || tokens.first == "(" else {
            let name = token.hasPrefix("Self.") ? token.dropFirst(5) : token
            return constants.value(String(name), near: of.name, depth: depth)
        }
        if first != "(" { tokens.removeFirst() }
        var values: [Int] = []
        repeat {
            guard let next = sum() else { return nil }
            values.append(next)
        } while tokens.popFirst(",") != nil
        guard tokens.popFirst() == ")" else { return nil }
        switch token {
        case "max": return values.max()
        case "min": return values.min()
        case "(", "Int", "UInt64", "UInt32", "UInt16", "UInt8": return values.count == 1 ? values[0] : nil
        default: return nil
        }
    }
}

extension ArraySlice<Substring> {
    fileprivate mutating func popFirst(_ wanted: Substring) -> Substring? {
        first == wanted ? popFirst() : nil
    }
}
