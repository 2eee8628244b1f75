import Testing

@testable import Primitives

@Suite("Bech32m")
struct Bech32mTests {
    /// BIP 350, "Test vectors for Bech32m".
    @Test(
        "accepts the valid texts of BIP 350",
        arguments: [
            "A1LQFN3A", "a1lqfn3a",
            "an83characterlonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11sg7hg6",
            "abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx",
            "11llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllludsr8",
            "split1checkupstagehandshakeupstreamerranterredcaperredlc445v", "?1v759aa",
        ])
    func valid(text: String) throws {
        let (prefix, _) = try Bech32m.decodeValues(text, limit: 90)
        #expect(text.lowercased().hasPrefix(prefix + "1"))
    }

    @Test(
        "refuses the invalid texts of BIP 350 for its reason",
        arguments: [
            (" 1xj0phk", Bech32m.Failure.invalidCharacter(position: 0)),
            ("\u{7f}1g6xzxy", .invalidCharacter(position: 0)),
            ("\u{80}1vctc34", .invalidCharacter(position: 0)),
            (
                "an84characterslonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11d6pts4",
                .tooLong(limit: 90)
            ),
            ("qyrz8wqd2c9m", .noSeparator), ("1qyrz8wqd2c9m", .noSeparator),
            ("y1b0jsk6g", .invalidCharacter(position: 2)), ("lt1igcx5c0", .invalidCharacter(position: 3)),
            ("in1muywd", .noSeparator), ("mm1crxm3i", .invalidCharacter(position: 8)),
            ("au1s5cgom", .invalidCharacter(position: 7)), ("M1VUXWEZ", .checksumMismatch),
            ("16plkw9", .noSeparator), ("1p2gdwpf", .noSeparator),
        ])
    func invalid(text: String, reason: Bech32m.Failure) throws {
        #expect(throws: reason) { try Bech32m.decodeValues(text, limit: 90) }
    }

    @Test("refuses text with the checksum of the older Bech32")
    func olderChecksum() {
        #expect(throws: Bech32m.Failure.checksumMismatch) { try Bech32m.decodeValues("a12uel5l", limit: 90) }
    }

    @Test("gives back bytes of any length, in either case of letters")
    func roundTrip() throws {
        var entropy = Entropy(seed: 20)
        for count in 0...64 {
            let data = entropy.array(count)
            let text = Bech32m.encode(prefix: "hulda", data)
            #expect(try Bech32m.decode(prefix: "hulda", text, limit: 128) == data)
            #expect(try Bech32m.decode(prefix: "hulda", text.uppercased(), limit: 128) == data)
            #expect(throws: Bech32m.Failure.wrongPrefix(expected: "huldap")) {
                try Bech32m.decode(prefix: "huldap", text, limit: 128)
            }
        }
        let text = Bech32m.encode(prefix: "hulda", [1, 2, 3])
        #expect(throws: Bech32m.Failure.mixedCase) {
            try Bech32m.decode(prefix: "hulda", "H" + text.dropFirst())
        }
        #expect(throws: Bech32m.Failure.tooLong(limit: 10)) {
            try Bech32m.decode(prefix: "hulda", text, limit: 10)
        }
    }

    @Test("refuses data whose last bits do not fill a byte with zeros")
    func padding() throws {
        // A single 5-bit value is no byte; two are one byte only if the last two bits are zero.
        for values: [UInt8] in [[0], [0, 1], [0, 3]] {
            let text = text(of: values)
            #expect(throws: Bech32m.Failure.invalidPadding) { try Bech32m.decode(prefix: "a", text) }
        }
        #expect(try Bech32m.decode(prefix: "a", text(of: [31, 28])) == [255])
    }

    /// The text of 5-bit values, whose checksum is computed here as BIP 350 does: our encoder takes whole bytes only.
    private func text(of values: [UInt8]) -> String {
        let alphabet = Array("qpzry9x8gf2tvdw0s3jn54khce6mua7l")
        let body = String(values.map { alphabet[Int($0)] })
        func polymod(_ values: [UInt8]) -> UInt32 {
            values.reduce(UInt32(1)) { check, value in
                let top = check >> 25
                var next = (check & 0x1ff_ffff) << 5 ^ UInt32(value)
                for (bit, generator) in [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3].enumerated()
                where (top >> UInt32(bit)) & 1 == 1 {
                    next ^= UInt32(generator)
                }
                return next
            }
        }
        let check = polymod([3, 0, 1] + values + [0, 0, 0, 0, 0, 0]) ^ 0x2bc8_30a3
        return "a1" + body + String((0..<6).map { alphabet[Int(check >> UInt32(5 * (5 - $0)) & 31)] })
    }

    @Test("finds every single typing error: a wrong, missing, repeated or swapped character")
    func singleErrors() throws {
        var entropy = Entropy(seed: 21)
        let data = entropy.array(33)
        let text = Array(Bech32m.encode(prefix: "hulda", data))
        let alphabet = Array("qpzry9x8gf2tvdw0s3jn54khce6mua7l1bio")
        for position in text.indices {
            for letter in alphabet where letter != text[position] {
                var bad = text
                bad[position] = letter
                #expect(throws: Bech32m.Failure.self) { try Bech32m.decode(prefix: "hulda", String(bad)) }
            }
            var short = text
            short.remove(at: position)
            #expect(throws: Bech32m.Failure.self) { try Bech32m.decode(prefix: "hulda", String(short)) }
            var long = text
            long.insert(text[position], at: position)
            #expect(throws: Bech32m.Failure.self) { try Bech32m.decode(prefix: "hulda", String(long)) }
            if position > 0, text[position] != text[position - 1] {
                var swapped = text
                swapped.swapAt(position, position - 1)
                #expect(throws: Bech32m.Failure.self) { try Bech32m.decode(prefix: "hulda", String(swapped)) }
            }
        }
    }

    @Test("names the character that is wrong, when one is, and none when more are or one is missing")
    func suspects() throws {
        var entropy = Entropy(seed: 24)
        let alphabet = Array("qpzry9x8gf2tvdw0s3jn54khce6mua7l")
        let text = Array(Bech32m.encode(prefix: "hulda", entropy.array(33)))
        #expect(Bech32m.suspects(in: String(text)).isEmpty)
        for position in stride(from: 6, to: text.count, by: 9) {
            var bad = text
            while bad[position] == text[position] { bad[position] = alphabet[entropy.below(32)] }
            #expect(Bech32m.suspects(in: String(bad)) == [position])
            #expect(Bech32m.suspects(in: String(bad).uppercased()) == [position])
            let other = 6 + (position - 6 + 17) % (text.count - 6)
            while bad[other] == text[other] { bad[other] = alphabet[entropy.below(32)] }
            #expect(Bech32m.suspects(in: String(bad)).isEmpty)
            bad.remove(at: position)
            #expect(Bech32m.suspects(in: String(bad)).isEmpty)
        }
        for noise in ["", "1", "hulda1", "a1é", String(repeating: "q", count: 500)] {
            #expect(Bech32m.suspects(in: noise).isEmpty)
        }
    }

    @Test("finds up to four wrong characters in texts of up to 90, as BIP 350 promises")
    func fourErrors() throws {
        var entropy = Entropy(seed: 22)
        let alphabet = Array("qpzry9x8gf2tvdw0s3jn54khce6mua7l")
        let text = Array(Bech32m.encode(prefix: "hulda", entropy.array(33)))
        for _ in 0..<5000 {
            var bad = text
            for _ in 0..<(1 + entropy.below(4)) { bad[6 + entropy.below(text.count - 6)] = alphabet[entropy.below(32)] }
            guard bad != text else { continue }
            #expect(throws: Bech32m.Failure.checksumMismatch) {
                try Bech32m.decode(prefix: "hulda", String(bad))
            }
        }
    }

    @Test("answers any text with bytes or a failure")
    func noise() {
        var entropy = Entropy(seed: 23)
        var accepted = 0
        for _ in 0..<5000 {
            let raw = entropy.array(entropy.below(100))
            if (try? Bech32m.decode(prefix: "hulda", String(decoding: raw, as: UTF8.self))) != nil { accepted += 1 }
        }
        #expect(accepted == 0)
    }
}
