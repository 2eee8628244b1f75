import Foundation
import Testing

/// The page that tells programs what they read, held against the source of what is printed.
@Suite struct ReportFieldTests {
    private struct Report: Hashable {
        let command: String
        /// With `?` behind those that may be left out.
        let fields: [String]
    }

    private func text(_ path: String) throws -> String {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    }

    @Test("specs/command-line.md lists the fields that the users' commands print, each command's and no other")
    func fields() throws {
        var printed: [Report] = []
        var command = ""
        for line in try text("Sources/hulda/UserReports.swift").split(separator: "\n") {
            if line.hasPrefix("/// ") { command = String(line.dropFirst(4)) }
            if line.hasPrefix("struct ") { printed.append(Report(command: command, fields: [])) }
            if let field = line.firstMatch(of: /^    let (\w+): (.*)$/), let last = printed.popLast() {
                let name = String(field.1) + (field.2.hasSuffix("?") ? "?" : "")
                printed.append(Report(command: last.command, fields: last.fields + [name]))
            }
        }
        let page = try text("specs/command-line.md")
        let listed = page.matches(of: /(?m)^\| (.*(?:hulda|every command).*) \| (.*) \|$/).map { row in
            Report(
                command: String(row.1),
                fields: row.2.split(separator: ", ").map { field in
                    let name = field.filter { $0 != "`" && $0 != "*" }
                    return field.hasPrefix("*") ? name + "?" : name
                })
        }
        #expect(printed.count == 20)
        #expect(listed == printed)
    }

    @Test("no user's command prints another object than those of the page")
    func others() throws {
        for file in ["ID", "Home", "Register", "Resolve", "Send", "Inbox"] {
            let source = try text("Sources/hulda/\(file)Command.swift")
            #expect(!source.contains("Encodable"), "\(file)")
            #expect(source.firstMatch(of: /output\.print\(\s*\[/) == nil, "\(file) prints a dictionary")
        }
    }
}
