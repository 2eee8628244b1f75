import Foundation
import Testing

/// Every table and queue that somebody else fills stands on specs/bounds.md with its bound. The page is held against the
/// constants of the code, both ways.
@Suite("The page of bounds")
struct BoundsPageTests {
    /// What a constant on the page looks like: `DatagramBounds.calls` = 4096.
    nonisolated(unsafe) private static let entry =
        /`([A-Z][A-Za-z0-9]*(?:\.[A-Za-z0-9]+)+)` = ([0-9][0-9,]*[0-9]|[0-9])/
    /// Under this heading the page lists constants that are called bounds and bound no table.
    private static let otherHeading = "## Other constants"

    private static func repository(_ path: String) -> URL {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../../\(path)").standardized
    }

    private let page: String
    private let constants: SourceConstants

    init() throws {
        page = try String(contentsOf: Self.repository("specs/bounds.md"), encoding: .utf8)
        // Experiments and the command line serve nobody but who starts them.
        constants = try SourceConstants(sources: Self.repository("Sources"), without: ["Simulator", "hulda"])
    }

    @Test("gives every bound the value that the code has")
    func values() {
        let entries = page.matches(of: Self.entry)
        #expect(entries.count > 50)
        for entry in entries {
            let name = String(entry.output.1)
            let stated = Int(entry.output.2.filter(\.isNumber))
            #expect(constants.value(name) == stated, "specs/bounds.md says \(name) = \(entry.output.2)")
        }
    }

    @Test("has every constant of the code that is called a limit, a capacity or a bound")
    func complete() {
        let known = Set(page.matches(of: /`([A-Z][A-Za-z0-9]*(?:\.[A-Za-z0-9]+)+)`/).map { String($0.output.1) })
        let bounds = constants.constants.values.joined().filter { isBound($0.name) }
        #expect(bounds.count > 80)
        let missing = bounds.filter { constants.value($0.name) != nil && !known.contains($0.name) }
        #expect(missing.isEmpty, "not on specs/bounds.md: \(missing.map { "\($0.name) of \($0.file)" })")
    }

    @Test("names no constant that the code does not have, and none twice with different values")
    func names() throws {
        let other = try #require(page.range(of: Self.otherHeading))
        for match in page[other.upperBound...].matches(of: /`([A-Z][A-Za-z0-9]*(?:\.[A-Za-z0-9]+)+)`/) {
            let name = String(match.output.1)
            #expect(constants.constants[name] != nil, "\(name) is not in Sources")
        }
        var stated: [String: Substring] = [:]
        for entry in page.matches(of: Self.entry) {
            let name = String(entry.output.1)
            #expect(stated.updateValue(entry.output.2, forKey: name) ?? entry.output.2 == entry.output.2)
        }
    }

    @Test("is held against the sources by a reader that knows what a constant is")
    func reader() {
        let text = """
            struct Outer: Sendable {
                /// Not this one: `let limit = 5`.
                private static let limit: UInt64 = 2_000
                struct Inner {
                    static let limit = 1 << 20
                }
                static let all =
                    3 + max(2 * limit, Inner.limit / 2) * 2
                static var computed: Int { 256 }

                func look(at index: Int) {
                    let found = index
                }
                public init(capacity: Int = 8192, other: Bool = true) {
                }
            }

            extension Outer.Inner {
                static let twice = 2 * limit
                static let unknown = 2 * somewhere
            }
            """
        let read = SourceConstants(text: text)
        #expect(read.value("Outer.limit") == 2000)
        #expect(read.value("Outer.Inner.limit") == 1 << 20)
        #expect(read.value("Outer.all") == 3 + 1 << 20)
        #expect(read.value("Outer.computed") == 256)
        #expect(read.value("Outer.capacity") == 8192)
        #expect(read.value("Outer.Inner.twice") == 2 << 20)
        #expect(read.value("Outer.Inner.unknown") == nil)
        #expect(read.value("Outer.nothing") == nil)
    }

    private func isBound(_ name: String) -> Bool {
        let parts = name.split(separator: ".")
        guard let own = parts.last?.lowercased(), parts.count > 1 else { return false }
        return own.contains("limit") || own.hasSuffix("capacity") || own.hasSuffix("atmost")
            || parts.dropLast().contains { $0.hasSuffix("Bounds") }
    }
}
