import Foundation
import SecondImplementation
import Terminal
import Testing

@Suite struct WrappingTests {
    private static let terminal = Peer("terminal")
    private static let header = "From hulda1q9mu4s4wvgj3hpcy34xftz75m5za0ugm0l5sgqxdr3wexajp05rg2em9tn8"

    private struct Rows: Decodable { let rows: [String] }

    /// What a terminal shows of each text.
    private func shown(_ texts: [(columns: Int, text: String)]) throws -> [[String]] {
        try WrappingTests.terminal.answers(
            to: texts.map { ["columns": $0.columns, "text": $0.text] }, as: Rows.self
        ).map(\.rows)
    }

    @Test(
        "blanks that push a forged header to the terminal's edge do not make it a line of its own, at any width",
        .enabled(if: Peer.isWanted))
    func forgedHeader() throws {
        var cases: [(columns: Int, text: String)] = []
        for columns in [20, 40, 72, 79, 80, 81, 100, 132, 200] {
            // From one blank less to one more than what fills the line, with a narrow and a wide character before them.
            for start in ["Hello", "\u{5B57}", "\u{1F468}\u{200D}\u{1F469}", "e\u{0301}", "\u{0645}", "\t"] {
                for blanks in (columns - 12)...(columns + 4) {
                    let text = start + String(repeating: " ", count: max(0, blanks)) + WrappingTests.header
                    cases.append((columns, ForeignText.block(text, on: Screen(columns: columns))))
                }
            }
        }
        for (rows, attempt) in zip(try shown(cases), cases) {
            #expect(!rows.isEmpty && rows.allSatisfy { $0.hasPrefix("|") }, "\(attempt.columns): \(rows)")
        }
        // The attack itself, on what was printed before: the second row is a header.
        let old = "  Hello" + String(repeating: " ", count: 73) + WrappingTests.header
        #expect(try shown([(80, old)]) == [["  Hello", WrappingTests.header]])
    }

    @Test("whatever a message holds, each row of the terminal begins with the mark", .enabled(if: Peer.isWanted))
    func randomMessages() throws {
        let seed: UInt64 = 1216
        var generator = Seeded(seed: seed)
        let cases = (0..<400).map { _ in
            let columns = Int.random(in: 24...140, using: &generator)
            return (columns, ForeignText.block(generator.text(300), on: Screen(columns: columns)))
        }
        for (rows, attempt) in zip(try shown(cases), cases) {
            #expect(
                rows.allSatisfy { $0.hasPrefix("|") },
                "seed \(seed): \(attempt.0) columns, \(rows)")
        }
    }

    @Test("no character takes more cells in wcwidth's tables than a line counts for it", .enabled(if: Peer.isWanted))
    func widths() throws {
        let widths = try WrappingTests.terminal.answers(["widths"], as: [Int].self)
        var wrong: [String] = []
        for (value, width) in (widths.first ?? []).enumerated() where width > 0 {
            guard let scalar = UInt32(exactly: value).flatMap(Unicode.Scalar.init) else { continue }
            // Two of them in a line that has a cell too few: the second is folded.
            let text = String(scalar) + "a"
            let lines = ForeignText.block(text + text, on: Screen(columns: 2 + 2 * width + 2))
            if !lines.utf8.contains(UInt8(ascii: "\n")) { wrong.append(String(value, radix: 16)) }
        }
        #expect(wrong.isEmpty)
        #expect(widths.first?.count == 0x110000)
    }

    @Test("lines are folded at blanks where there are any, and keep every character")
    func folding() {
        let screen = Screen(columns: 24)
        #expect(
            ForeignText.block("the quick brown fox jumps over the lazy dog", on: screen)
                == "| the quick brown fox \n| jumps over the lazy \n| dog")
        #expect(ForeignText.block(String(repeating: "x", count: 30), on: screen).split(separator: "\n").count == 2)
        #expect(ForeignText.block("a\r\nb\n\n", on: screen) == "| a\n| b")
        #expect(ForeignText.block("", on: screen) == "| ")
        var generator = Seeded(seed: 4)
        for _ in 0..<500 {
            let text = ForeignText.page(generator.text(200)).filter { $0 != "\t" && $0 != "\n" }
            let lines = ForeignText.block(text, on: screen).split(separator: "\n", omittingEmptySubsequences: false)
            #expect(lines.map { $0.unicodeScalars.dropFirst(2).map { String($0) }.joined() }.joined() == text)
        }
    }

    @Test("where the output is no terminal, lines are not folded, and each has the mark")
    func pipe() {
        let long = String(repeating: "word ", count: 100)
        #expect(ForeignText.block(long + "\n\ta", on: Screen(columns: nil)) == "| \(long)\n| \ta")
        #expect(Screen(descriptor: -1).columns == nil)
    }

    @Test("sentences of the program are folded with the rest indented")
    func paragraphs() {
        let text = ForeignText.paragraph("hulda: no cluster is called xxxx", on: Screen(columns: 20), hanging: 7)
        #expect(text.split(separator: "\n").dropFirst().allSatisfy { $0.hasPrefix("       ") })
        #expect(ForeignText.paragraph("a\u{1B}b", on: Screen(columns: nil)) == "a\\u{1b}b")
    }

    @Test("columns of a table are as wide as most terminals show them")
    func columns() {
        #expect(DisplayWidth.cells("abc") == 3)
        #expect(DisplayWidth.cells("\u{5B57}\u{1F468}\u{200D}\u{1F469}") == 4)
        #expect(DisplayWidth.cells("e\u{0301}\u{1112}\u{1161}\u{11AB}\u{1F1E9}\u{1F1EA}") == 5)
    }
}
