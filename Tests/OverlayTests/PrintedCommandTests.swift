import ArgumentParser
import Foundation
import Testing

@testable import hulda

/// The commands that the README and the help texts print.
@Suite struct PrintedCommandTests {
    private static var readme: String {
        get throws {
            let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .deletingLastPathComponent()
            return try String(contentsOf: root.appendingPathComponent("README.md"), encoding: .utf8)
        }
    }

    /// The words of `hulda …` on a line as a shell reads them, up to a comment, a pipe or a column of explanation.
    private static func words(_ line: Substring) -> [String]? {
        guard let start = line.range(of: "hulda ") else { return nil }
        let ends = ["  ", " #", " | "].compactMap { line.range(of: $0, range: start.upperBound..<line.endIndex) }
        let end = ends.map(\.lowerBound).min() ?? line.endIndex
        let parts = line[start.upperBound..<end].split(separator: "\"", omittingEmptySubsequences: false)
        return parts.enumerated().flatMap { place, part in
            place % 2 == 1 ? [String(part)] : part.split(separator: " ").map(String.init)
        }
    }

    /// The lines of the README's shell blocks that run this program.
    private static var ofReadme: [[String]] {
        get throws {
            let blocks = try readme.components(separatedBy: "```").enumerated().filter { $0.offset % 2 == 1 }
            return blocks.flatMap { $0.element.split(separator: "\n") }.filter { $0.hasPrefix("hulda ") }
                .compactMap(words)
        }
    }

    /// The examples in the help of a command and of all below it.
    private static func examples(_ command: any ParsableCommand.Type) -> [[String]] {
        let lines = command.configuration.discussion.split(separator: "\n").drop { !$0.hasPrefix("Example") }
        return lines.filter { !$0.contains("port forwarding") }.compactMap(words)
            + command.configuration.subcommands.flatMap(examples)
    }

    @Test("are understood, and those about a server say which one")
    func understood() throws {
        let readme = try PrintedCommandTests.ofReadme
        let examples = PrintedCommandTests.examples(Hulda.self)
        #expect(readme.count >= 16 && examples.count >= 25, "\(readme.count), \(examples.count)")
        for words in readme + examples {
            #expect(throws: Never.self, "hulda \(words.joined(separator: " "))") { try Hulda.parseAsRoot(words) }
            guard words.first == "node", words.dropFirst().first != "init" else { continue }
            #expect(words.contains("--config"), "hulda \(words.joined(separator: " "))")
        }
        #expect(throws: (any Error).self) { try Hulda.parseAsRoot(["node", "status", "--cluster", "x"]) }
    }
}
