import Foundation
import Testing

/// What the pages of the specifications say of each other.
@Suite("The specifications' pages")
struct CrossReferenceTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("../../specs").standardized

    /// A link to a page and the sections named behind it: `[map](map.md), "Layers" and "Capacity"`.
    nonisolated(unsafe) private static let reference =
        /\]\(([A-Za-z.\/-]+\.md)\)((?:, "[^"]+"(?: (?:to|and) "[^"]+")*)*)/
    nonisolated(unsafe) private static let quoted = /"([^"]+)"/
    /// The name of a counter: `map.surplus`.
    nonisolated(unsafe) private static let counter = /`([a-z]+(?:\.[a-z_]+)+)`/

    private static func pages() throws -> [URL] {
        let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)
        var pages: [URL] = []
        while let file = files?.nextObject() as? URL {
            if file.pathExtension == "md" { pages.append(file.standardized) }
        }
        return pages.sorted { $0.path < $1.path }
    }

    private static func text(_ page: URL) throws -> String { try String(contentsOf: page, encoding: .utf8) }

    /// Headings, and paragraphs that begin with a name in bold.
    private static func sections(_ text: String) -> Set<String> {
        var sections: Set<String> = []
        for line in text.split(separator: "\n") where line.hasPrefix("#") {
            // Sections of one page are numbered.
            sections.insert(String(line.drop { $0 == "#" || $0 == " " || $0.isNumber || $0 == "." }))
        }
        for match in text.matches(of: /\*\*([^*]+?)\.?\*\*/) { sections.insert(String(match.output.1)) }
        return sections
    }

    @Test("name each other's sections as they are called, and no page that is not there")
    func references() throws {
        let pages = try Self.pages()
        #expect(pages.count > 15)
        var checked = 0
        for page in pages {
            let text = try Self.text(page).replacing("\n", with: " ")
            let folder = page.deletingLastPathComponent()
            for match in text.matches(of: Self.reference) {
                let target = folder.appendingPathComponent(String(match.output.1)).standardized
                #expect(
                    FileManager.default.fileExists(atPath: target.path), "\(page.lastPathComponent): \(target.path)")
                guard !match.output.2.isEmpty, let other = try? Self.text(target) else { continue }
                let sections = Self.sections(other)
                for name in match.output.2.matches(of: Self.quoted) {
                    checked += 1
                    #expect(
                        sections.contains(String(name.output.1)),
                        "\(page.lastPathComponent) names \(name.output.1) of \(target.lastPathComponent)")
                }
            }
        }
        #expect(checked > 50)
    }

    @Test("name no counter beside a bound that the list of counters does not have")
    func counters() throws {
        let bounds = try Self.text(Self.folder.appendingPathComponent("bounds.md"))
        let list = try Self.text(Self.folder.appendingPathComponent("counters.md"))
        let names = Set(bounds.matches(of: Self.counter).map { String($0.output.1) })
        #expect(names.count > 10)
        // Why a link failed stands in the list without the counter's beginning.
        let missing = names.filter { name in
            let reason = name.split(separator: ".").last.map(String.init) ?? name
            return !list.contains("`\(name)`") && !(name.hasPrefix("link.failed.") && list.contains("`\(reason)`"))
        }
        #expect(missing.isEmpty, "\(missing.sorted())")
    }
}
