import Foundation
import Terminal
import Testing

@Suite struct LegibilityTests {
    private func printed(_ text: String) -> String { ForeignText.inline(text, limit: 1000) }

    @Test(
        "emoji, Persian, Indic, Hebrew and Vietnamese text is printed as it was written",
        arguments: [
            "\u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467}\u{200D}\u{1F466}",
            "\u{1F469}\u{1F3FD}\u{200D}\u{2764}\u{FE0F}\u{200D}\u{1F48B}\u{200D}\u{1F468}\u{1F3FF}",
            "\u{1F3F4}\u{200D}\u{2620}\u{FE0F}", "\u{1F1E9}\u{1F1EA}", "1\u{FE0F}\u{20E3}", "\u{2708}\u{FE0E}",
            "\u{0645}\u{06CC}\u{200C}\u{062E}\u{0648}\u{0627}\u{0647}\u{0645}",  // Persian mikhaham
            "\u{06A9}\u{0627}\u{0631}\u{200C}\u{0647}\u{0627}",  // karha
            "\u{0915}\u{094D}\u{200D}\u{0937}", "\u{0915}\u{094D}\u{200C}\u{0937}",  // Devanagari
            "\u{0D05}\u{0D35}\u{0D28}\u{0D4D}\u{200D}",  // Malayalam chillu at the end
            "\u{0DC1}\u{0DCA}\u{200D}\u{0DBB}\u{0DD3}",  // Sinhala shri
            "\u{09B0}\u{200D}\u{09CD}\u{09AF}",  // Bengali ra, ya-phala
            "\u{845B}\u{E0100}",  // an ideograph's variant
            "\u{05D1}\u{05BC}\u{05B0}\u{05E8}\u{05B5}\u{05D0}\u{05E9}\u{05C1}\u{05B4}\u{0596}\u{05D9}\u{05EA}",
            "Ti\u{1EBF}ng Vi\u{1EC7}t, e\u{0302}\u{0301}", "\u{1112}\u{1161}\u{11AB}", "a\u{00A0}b",
        ])
    func legitimate(_ text: String) {
        #expect(printed(text) == text)
        #expect(ForeignText.block(text, on: Screen(columns: 80)) == "| " + text)
    }

    @Test("a joiner that joins nothing is escaped")
    func joiners() {
        for joiner in ["\u{200C}", "\u{200D}"] {
            let sign = "\\u{\(String(joiner.unicodeScalars.first!.value, radix: 16))}"
            #expect(printed("a\(joiner)b") == "a\(sign)b")
            #expect(printed("\(joiner)\u{0645}") == "\(sign)\u{0645}")
            #expect(printed("1\(joiner)\u{1F468}") == "1\(sign)\u{1F468}")
            #expect(printed("\u{1F468}\(joiner)") == "\u{1F468}\(sign)")
            let twice = printed("\u{0645}\(joiner)\(joiner)\u{0645}")
            #expect(twice.hasSuffix("\(sign)\u{0645}") && !twice.contains(joiner + joiner))
        }
        #expect(printed("\u{1F468}\u{200C}\u{1F468}") == "\u{1F468}\\u{200c}\u{1F468}")
        let chain = Array(repeating: "\u{1F468}", count: 7).joined(separator: "\u{200D}")
        #expect(printed(chain).contains("\\u{200d}"))
        #expect(printed("a\u{FE0F}") == "a\\u{fe0f}")
        #expect(printed("1\u{FE0F}2") == "1\\u{fe0f}2")
        #expect(printed("\u{2764}\u{FE0F}\u{FE0F}") == "\u{2764}\u{FE0F}\\u{fe0f}")
    }

    @Test("what moves the cursor, turns the direction, or has no glyph is escaped, also in JSON and on a page")
    func escapes() throws {
        let wicked: [ClosedRange<UInt32>] = [
            0...0x1f, 0x7f...0x9f, 0xad...0xad, 0x34f...0x34f, 0x61c...0x61c, 0x115f...0x1160, 0x17b4...0x17b5,
            0x180e...0x180e, 0x200b...0x200b, 0x200e...0x200f, 0x2028...0x202e, 0x2060...0x206f, 0x3164...0x3164,
            0xe000...0xe010, 0xfeff...0xfeff, 0xffa0...0xffa0, 0xfff9...0xfffb, 0xfffe...0xffff, 0x1d173...0x1d17a,
            0xe0001...0xe007f, 0xf0000...0xf0010,
        ]
        for scalar in wicked.joined().compactMap(Unicode.Scalar.init) {
            let text = "a" + String(scalar) + "b"
            for out in [printed(text), ForeignText.page(text), ForeignText.block(text, on: Screen(columns: nil))] {
                #expect(!out.unicodeScalars.contains(scalar) || scalar == "\n" || scalar == "\t", "\(scalar.value)")
            }
            let json = ForeignText.json(String(decoding: try JSONEncoder().encode([text]), as: UTF8.self))
            #expect(!json.unicodeScalars.contains(scalar), "\(scalar.value)")
            #expect(try JSONDecoder().decode([String].self, from: Data(json.utf8)) == [text])
        }
        #expect(printed("\u{1B}]0;x\u{7}\n") == "\\u{1b}]0;x\\u{7}\\n")
    }

    @Test("a character carries eight marks at the most, and a mark without one gets a circle")
    func marks() {
        let pile = "e" + String(repeating: "\u{0301}", count: 5000) + "x"
        #expect(printed(pile).unicodeScalars.count == 1 + 8 + 1 + 1)
        #expect(printed("\u{0301}a") == "\u{25CC}\u{0301}a")
        #expect(ForeignText.block("a\n\u{0301}", on: Screen(columns: 80)) == "| a\n| \u{25CC}\u{0301}")
    }

    @Test("a long argument is cut to an ID's length; a megabyte takes no time to cut")
    func cutting() {
        #expect("short".shown == "short")
        let id = "hulda:hulda1q9mu4s4wvgj3hpcy34xftz75m5za0ugm0l5sgqxdr3wexajp05rg2em9tn8"
        #expect(id.shown == id)
        let cut = String(repeating: "x", count: 5000).shown
        #expect(cut == String(repeating: "x", count: ForeignText.inlineLimit - 1) + "\u{2026}")
        #expect(String(repeating: "\u{1B}", count: 1 << 20).shown.count <= ForeignText.inlineLimit)
        #expect(DisplayWidth.cells(String(repeating: "\u{5B57}", count: 100).shown) <= ForeignText.inlineLimit)
    }

    @Test("text that was made legible stays the same when it is made so again")
    func twice() {
        var generator = Seeded(seed: 1611)
        for _ in 0..<2000 {
            let once = ForeignText.page(generator.text(40))
            #expect(ForeignText.page(once) == once)
        }
    }
}
