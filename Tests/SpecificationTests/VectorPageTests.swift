import Foundation
import Testing

/// What a second implementer needs to read the vectors: each field is explained, and numbers have one form.
@Suite("The page of vectors")
struct VectorPageTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("../../specs/vectors").standardized

    private static func files() throws -> [URL] {
        try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
            .filter { $0.pathExtension == "json" }.sorted { $0.path < $1.path }
    }

    /// Every name of a member at any depth, and every value that is neither text, list nor object.
    private struct Contents {
        var names: Set<String> = []
        var others: [String] = []

        mutating func add(_ value: Any) {
            switch value {
            case let object as [String: Any]:
                names.formUnion(object.keys)
                for member in object.values { add(member) }
            case let list as [Any]:
                for member in list { add(member) }
            case is String: break
            default: others.append("\(value)")
            }
        }
    }

    @Test("explains every field of every file, under the file's name, and no file is left out")
    func fields() throws {
        let page = try String(contentsOf: Self.folder.appendingPathComponent("README.md"), encoding: .utf8)
        let sections = page.components(separatedBy: "\n## ").dropFirst()
        let files = try Self.files()
        #expect(files.count >= 13)
        #expect(
            Set(sections.compactMap { $0.split(separator: "\n").first.map(String.init) })
                == Set(files.map(\.lastPathComponent)))
        for file in files {
            let section = try #require(sections.first { $0.hasPrefix(file.lastPathComponent + "\n") })
            var contents = Contents()
            contents.add(try JSONSerialization.jsonObject(with: Data(contentsOf: file)))
            #expect(!contents.names.isEmpty)
            let missing = contents.names.filter { !section.contains("`\($0)`") && $0 != "cases" }.sorted()
            #expect(missing.isEmpty, "\(file.lastPathComponent): \(missing)")
            #expect(contents.others.isEmpty, "\(file.lastPathComponent) has numbers that are no text")
        }
    }
}
