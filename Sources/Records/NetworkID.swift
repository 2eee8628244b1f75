import Primitives
import Wire

/// Why a text is no network ID.
public enum NetworkIDError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A typing error, or no ID at all.
    case text(Bech32m.Failure)
    /// An ID of a version that this program does not know.
    case unknownVersion(UInt8)
    case wrongLength(Int)
    /// A link whose token or name is malformed or too long.
    case link(String)

    public var description: String {
        switch self {
        case .text(let failure): "\(failure)"
        case .unknownVersion(let version): "it is of version \(version), which this program does not know"
        case .wrongLength(let count): "it has \(count) bytes instead of 33"
        case .link(let reason): reason
        }
    }
}

/// A user's address: an Ed25519 key in bech32m with the prefix `hulda` (design section 2; specs/directory.md).
public struct NetworkID: Hashable, Sendable, CustomStringConvertible {
    private static let prefix = "hulda"
    private static let version: UInt8 = 1

    public let key: VerifyingKey

    public init(key: VerifyingKey) { self.key = key }

    /// Parses an ID; finds typing errors.
    public init(text: String) throws(NetworkIDError) {
        let data: [UInt8]
        do throws(Bech32m.Failure) {
            data = try Bech32m.decode(prefix: NetworkID.prefix, text)
        } catch { throw .text(error) }
        guard let version = data.first, data.count == 33, let key = Bytes32(data[1...]) else {
            throw .wrongLength(data.count)
        }
        guard version == NetworkID.version else { throw .unknownVersion(version) }
        self.key = VerifyingKey(key)
    }

    /// `hulda1…`
    public var text: String { Bech32m.encode(prefix: NetworkID.prefix, [NetworkID.version] + key.bytes.bytes) }

    public var description: String { text }
}

/// An ID to hand around: `hulda:<id>[?t=<introduction token>&n=<name>]`.
public struct UserLink: Hashable, Sendable {
    public static let scheme = "hulda:"
    /// Characters of a token or name after decoding.
    public static let fieldLimit = 128

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

    /// Parses a link, or a bare ID.
    public init(text: String) throws(NetworkIDError) {
        let body = text.hasPrefix(UserLink.scheme) ? text.dropFirst(UserLink.scheme.count) : text[...]
        let parts = body.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        id = try NetworkID(text: String(parts.first ?? ""))
        var token: String?
        var name: String?
        for field in parts.dropFirst().first?.split(separator: "&") ?? [] {
            let pair = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2, let value = PercentEncoding.decode(pair[1]), value.count <= UserLink.fieldLimit
            else { throw .link("the part \u{201C}\(field.prefix(40))\u{201D} is malformed") }
            switch pair[0] {
            case "t": token = value
            case "n": name = value
            default: break
            }
        }
        self.token = token
        self.name = name
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
