/// Bech32m (BIP 350): text for binary identifiers that detects typing errors.
public enum Bech32m {
    /// What is wrong with a text.
    public enum Failure: Error, Equatable, Sendable, CustomStringConvertible {
        /// Longer than the caller's limit.
        case tooLong(limit: Int)
        /// Both upper-case and lower-case letters.
        case mixedCase
        /// No `1` between prefix and data, or too little data after it.
        case noSeparator
        /// A character that bech32m does not use, at this position from 0.
        case invalidCharacter(position: Int)
        /// A character is mistyped, missing or swapped. ``Bech32m/suspects(in:)`` says which it may be.
        case checksumMismatch
        /// The prefix is not the one asked for.
        case wrongPrefix(expected: String)
        /// The bits do not fill whole bytes.
        case invalidPadding

        /// In words; positions count from 1, as people do.
        public var description: String {
            switch self {
            case .tooLong(let limit): "it has more than \(limit) characters"
            case .mixedCase: "it mixes capital and small letters"
            case .noSeparator: "it is too short, or has no 1 between its beginning and the rest"
            case .invalidCharacter(let position): "character \(position + 1) is none that it can have"
            case .checksumMismatch: "it has a typing error: a character is wrong, missing, swapped or one too many"
            case .wrongPrefix(let expected): "it does not begin with \(expected)1"
            case .invalidPadding: "its last character is none that it can end with"
            }
        }
    }

    private static let alphabet = Array("qpzry9x8gf2tvdw0s3jn54khce6mua7l".utf8)
    private static let constant: UInt32 = 0x2bc8_30a3
    private static let generators: [UInt32] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3]

    /// The text of `data` under the lower-case `prefix`.
    public static func encode(prefix: String, _ data: [UInt8]) -> String {
        let values = regroup(data, from: 8, to: 5, padding: true) ?? []
        let check = checksum(Array(prefix.utf8), values)
        let text = (values + check).map { alphabet[Int($0)] }
        return prefix + "1" + String(decoding: text, as: UTF8.self)
    }

    /// The bytes that `text` spells under `prefix`.
    /// - Parameter limit: the longest text accepted, in characters. BIP 350's 90 guarantees that up to four wrong
    ///   characters are found; longer texts are checked with less certainty.
    public static func decode(prefix: String, _ text: String, limit: Int = 90) throws(Failure) -> [UInt8] {
        let found: String
        let values: [UInt8]
        do throws(Failure) { (found, values) = try decodeValues(text, limit: limit) } catch {
            // Of a text that is something else altogether, that says more than its checksum.
            let isOther = !text.lowercased().hasPrefix(prefix + "1")
            guard isOther, error == .checksumMismatch || error == .noSeparator else { throw error }
            throw .wrongPrefix(expected: prefix)
        }
        guard found == prefix else { throw .wrongPrefix(expected: prefix) }
        guard let bytes = regroup(values, from: 5, to: 8, padding: false) else { throw .invalidPadding }
        return bytes
    }

    /// The prefix and the 5-bit values of `text`, checksum verified and removed.
    static func decodeValues(_ text: String, limit: Int) throws(Failure) -> (prefix: String, values: [UInt8]) {
        var characters = Array(text.utf8)
        guard characters.count <= limit else { throw .tooLong(limit: limit) }
        var hasLower = false
        var hasUpper = false
        for index in characters.indices {
            let character = characters[index]
            guard (33...126).contains(character) else { throw .invalidCharacter(position: index) }
            if (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(character) { hasLower = true }
            if (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(character) {
                hasUpper = true
                characters[index] = character + 32
            }
        }
        guard !(hasLower && hasUpper) else { throw .mixedCase }
        guard let separator = characters.lastIndex(of: UInt8(ascii: "1")), separator >= 1,
            characters.count - separator - 1 >= 6
        else { throw .noSeparator }
        let prefix = Array(characters[..<separator])
        var values: [UInt8] = []
        for index in (separator + 1)..<characters.count {
            guard let value = alphabet.firstIndex(of: characters[index]) else {
                throw .invalidCharacter(position: index)
            }
            values.append(UInt8(value))
        }
        guard polymod(expand(prefix) + values) == constant else { throw .checksumMismatch }
        return (String(decoding: prefix, as: UTF8.self), Array(values.dropLast(6)))
    }

    /// Where a single wrong character explains why the checksum of `text` fails, from 0. Empty when none does.
    ///
    /// The right character is not told on purpose: who is offered a correction takes it without comparing (BIP 173).
    public static func suspects(in text: String, limit: Int = 90) -> [Int] {
        let characters = Array(text.lowercased().utf8)
        guard characters.count <= limit, let separator = characters.lastIndex(of: UInt8(ascii: "1")), separator >= 1
        else { return [] }
        var values = characters[(separator + 1)...].compactMap { alphabet.firstIndex(of: $0).map { UInt8($0) } }
        guard values.count == characters.count - separator - 1 else { return [] }
        let head = expand(Array(characters[..<separator]))
        return values.indices.filter { index in
            let written = values[index]
            defer { values[index] = written }
            return (0..<32).contains { candidate in
                values[index] = UInt8(candidate)
                return values[index] != written && polymod(head + values) == constant
            }
        }.map { separator + 1 + $0 }
    }

    private static func checksum(_ prefix: [UInt8], _ values: [UInt8]) -> [UInt8] {
        let remainder = polymod(expand(prefix) + values + [0, 0, 0, 0, 0, 0]) ^ constant
        return (0..<6).map { UInt8(truncatingIfNeeded: remainder >> UInt32(5 * (5 - $0))) & 31 }
    }

    private static func expand(_ prefix: [UInt8]) -> [UInt8] {
        prefix.map { $0 >> 5 } + [0] + prefix.map { $0 & 31 }
    }

    private static func polymod(_ values: [UInt8]) -> UInt32 {
        var check: UInt32 = 1
        for value in values {
            let top = check >> 25
            check = (check & 0x1ff_ffff) << 5 ^ UInt32(value)
            for bit in 0..<5 where (top >> UInt32(bit)) & 1 == 1 { check ^= generators[bit] }
        }
        return check
    }

    private static func regroup(_ input: [UInt8], from: Int, to: Int, padding: Bool) -> [UInt8]? {
        var accumulator: UInt32 = 0
        var bits = 0
        var out: [UInt8] = []
        let mask = (UInt32(1) << UInt32(to)) - 1
        for value in input {
            accumulator = (accumulator << UInt32(from) | UInt32(value)) & 0xfff
            bits += from
            while bits >= to {
                bits -= to
                out.append(UInt8(accumulator >> UInt32(bits) & mask))
            }
        }
        if padding {
            if bits > 0 { out.append(UInt8(accumulator << UInt32(to - bits) & mask)) }
        } else if bits >= from || accumulator << UInt32(to - bits) & mask != 0 {
            return nil
        }
        return out
    }
}
