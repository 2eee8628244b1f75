import Primitives

/// An ID to hand around: `hulda:<id>[?t=<introduction token>&n=<name>]` (specs/directory.md, "Network ID").
public struct UserLink: Hashable, Sendable {
    public static let scheme = "hulda:"
    /// Bytes of a token or name after decoding.
    public static let fieldLimit = 128
    /// Bytes of a link: both fields percent-encoded as a whole, and the ID.
    public static let limit = 1024

    public let id: NetworkID
    /// Lets a stranger in where the policy asks for it.
    public let token: String?
    /// What the owner calls himself; proves nothing.
    public let name: String?

    public init(id: NetworkID, token: String?, name: String?) {
        self.id = id
        self.token = token
        self.name = name
    }

    /// Whether a text begins as a link does; capital letters, as a QR code in its alphanumeric mode has them, count too.
    public static func isLink(_ text: String) -> Bool { text.lowercased().hasPrefix(scheme) }

    /// Parses a link, or a bare ID. Nothing in it is passed over: a field that is not known, or one that is there twice,
    /// is refused, and so is a fragment.
    public init(text: String) throws(NetworkIDError) {
        guard text.utf8.count <= UserLink.limit else {
            throw .link("it is longer than \(UserLink.limit) bytes", at: nil)
        }
        let all = Array(text.utf8)
        let start = UserLink.isLink(text) ? UserLink.scheme.utf8.count : 0
        let mark = all[start...].firstIndex(of: UInt8(ascii: "?"))
        id = try NetworkID(text: String(decoding: all[start..<(mark ?? all.count)], as: UTF8.self))
        var fields: [UInt8: String] = [:]
        if let mark {
            var position = mark + 1
            // An empty field, also the only one, has no name and is refused by that.
            for field in all[position...].split(separator: UInt8(ascii: "&"), omittingEmptySubsequences: false) {
                let (key, value) = try UserLink.field(field, at: position)
                guard fields.updateValue(value, forKey: key) == nil else {
                    throw .link("the part \(Character(Unicode.Scalar(key)))= is there twice", at: position)
                }
                position += field.count + 1
            }
        }
        token = fields[UInt8(ascii: "t")]
        name = fields[UInt8(ascii: "n")]
    }

    /// One `t=…` or `n=…`.
    /// - Parameter position: where it begins in the link.
    private static func field(
        _ field: ArraySlice<UInt8>, at position: Int
    ) throws(NetworkIDError) -> (key: UInt8, value: String) {
        guard let key = field.first, field.dropFirst().first == UInt8(ascii: "="),
            key == UInt8(ascii: "t") || key == UInt8(ascii: "n")
        else { throw .link("only t= and n= can stand there", at: position) }
        let value = field.dropFirst(2)
        if let wrong = PercentEncoding.mistake(in: value) {
            throw .link("a letter, a digit, -, ., _, ~ or %XX is wanted", at: position + 2 + wrong)
        }
        guard let text = PercentEncoding.decode(String(decoding: value, as: UTF8.self)),
            text.utf8.count <= fieldLimit
        else { throw .link("it is not UTF-8 of at most \(fieldLimit) bytes", at: position + 2) }
        return (key, text)
    }

    public var text: String {
        var fields: [String] = []
        if let token { fields.append("t=" + PercentEncoding.encode(token)) }
        if let name { fields.append("n=" + PercentEncoding.encode(name)) }
        return UserLink.scheme + id.text + (fields.isEmpty ? "" : "?" + fields.joined(separator: "&"))
    }
}

/// Percent-encoding of everything but unreserved characters (RFC 3986 section 2).
enum PercentEncoding {
    private static let unreserved = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~".utf8)

    static func encode(_ text: String) -> String {
        var out: [UInt8] = []
        for byte in text.utf8 {
            if unreserved.contains(byte) {
                out.append(byte)
            } else {
                out.append(UInt8(ascii: "%"))
                out.append(contentsOf: Hex.encode([byte]).uppercased().utf8)
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// Where the first byte stands that is neither unreserved nor part of a `%XX`, from 0.
    static func mistake(in text: ArraySlice<UInt8>) -> Int? {
        let bytes = Array(text)
        var index = 0
        while index < bytes.count {
            if unreserved.contains(bytes[index]) {
                index += 1
            } else if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count,
                Hex.decode(String(decoding: bytes[(index + 1)...(index + 2)], as: UTF8.self)) != nil
            {
                index += 3
            } else {
                return index
            }
        }
        return nil
    }

    static func decode(_ text: some StringProtocol) -> String? {
        var out: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                out.append(byte)
                continue
            }
            guard rest.count >= 2, let value = Hex.decode(String(decoding: rest.prefix(2), as: UTF8.self)) else {
                return nil
            }
            out.append(contentsOf: value)
            rest.removeFirst(2)
        }
        return String(validating: out, as: UTF8.self)
    }
}
