import Primitives
import Wire

/// A way into the network that operators hand to each other and that bootstrap lists are made of
/// (specs/map.md, "Peer link").
///
/// `hulda-peer:<bech32m with prefix "huldap" of cluster key ‖ link key>@host:port`
public struct PeerLink: Hashable, Sendable, CustomStringConvertible {
    /// What is wrong with a text.
    public enum Failure: Error, Equatable, Sendable, CustomStringConvertible {
        /// It does not start with `hulda-peer:`.
        case noScheme
        /// There is no `@` with an address after it.
        case noAddress
        /// The keys do not decode.
        case keys(Bech32m.Failure)
        /// The keys are not 64 bytes.
        case wrongLength(Int)
        /// The host is empty, too long, or has characters that host names do not have.
        case invalidHost
        /// The port is no number from 1 to 65535.
        case invalidPort

        public var description: String {
            switch self {
            case .noScheme: "it does not begin with \(PeerLink.scheme)"
            case .noAddress: "it has no @ with an address and a port after it"
            case .keys(let failure): "in the part before the @, \(failure)"
            case .wrongLength(let count): "the part before the @ has \(count) bytes instead of 64"
            case .invalidHost: "what stands after the @ is no address and no host name"
            case .invalidPort: "the port is no number from 1 to 65535"
            }
        }
    }

    public static let scheme = "hulda-peer:"
    private static let prefix = "huldap"
    /// RFC 1035 section 2.3.4.
    private static let hostLimit = 253

    public let clusterID: VerifyingKey
    public let linkKey: X25519PublicKey
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    public let host: String
    public let port: UInt16

    /// The address, unless the host is a name that has to be resolved first.
    public var address: SocketAddress? {
        AddressLiteral.parse(host).map { SocketAddress(address: $0, port: port) }
    }

    public init(clusterID: VerifyingKey, linkKey: X25519PublicKey, address: SocketAddress) {
        self.clusterID = clusterID
        self.linkKey = linkKey
        host = address.host
        port = address.port
    }

    public init(clusterID: VerifyingKey, linkKey: X25519PublicKey, host: String, port: UInt16) throws(Failure) {
        self.clusterID = clusterID
        self.linkKey = linkKey
        self.host = try PeerLink.checked(host: host)
        guard port > 0 else { throw .invalidPort }
        self.port = port
    }

    public init(text: String) throws(Failure) {
        guard text.hasPrefix(PeerLink.scheme) else { throw .noScheme }
        let body = text.dropFirst(PeerLink.scheme.count)
        guard let at = body.firstIndex(of: "@") else { throw .noAddress }
        let keys: [UInt8]
        do throws(Bech32m.Failure) {
            keys = try Bech32m.decode(prefix: PeerLink.prefix, String(body[..<at]), limit: 128)
        } catch { throw .keys(error) }
        guard keys.count == 64, let cluster = Bytes32(keys.prefix(32)), let link = Bytes32(keys.suffix(32)) else {
            throw .wrongLength(keys.count)
        }
        let place = body[body.index(after: at)...]
        guard let colon = place.lastIndex(of: ":") else { throw .noAddress }
        var name = place[..<colon]
        if name.hasPrefix("["), name.hasSuffix("]") { name = name.dropFirst().dropLast() }
        let digits = place[place.index(after: colon)...]
        guard digits.utf8.allSatisfy({ (48...57).contains($0) }), let port = UInt16(digits), port > 0 else {
            throw .invalidPort
        }
        clusterID = VerifyingKey(cluster)
        linkKey = X25519PublicKey(link)
        host = try PeerLink.checked(host: String(name))
        self.port = port
    }

    public var text: String {
        let keys = Bech32m.encode(prefix: PeerLink.prefix, clusterID.bytes.bytes + linkKey.bytes.bytes)
        let place = host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]" : host
        return "\(PeerLink.scheme)\(keys)@\(place):\(port)"
    }

    public var description: String { text }

    private static func checked(host: String) throws(Failure) -> String {
        let characters = Array(host.utf8)
        guard (1...hostLimit).contains(characters.count) else { throw .invalidHost }
        if characters.contains(UInt8(ascii: ":")) {
            guard AddressLiteral.parse(host) != nil else { throw .invalidHost }
            return host
        }
        let allowed = characters.allSatisfy {
            switch $0 {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."):
                true
            default: false
            }
        }
        guard allowed else { throw .invalidHost }
        return host
    }
}

/// IP addresses as text.
enum AddressLiteral {
    /// Sixteen bytes in network order; IPv4 in its mapped form. `nil` when `text` is no address.
    static func parse(_ text: String) -> Bytes16? {
        text.utf8.contains(UInt8(ascii: ":")) ? v6(text) : v4(text)
    }

    private static func v4(_ text: String) -> Bytes16? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var raw = [UInt8](repeating: 0, count: 10) + [0xff, 0xff]
        for part in parts {
            guard (1...3).contains(part.utf8.count), part.utf8.allSatisfy({ (48...57).contains($0) }),
                let value = UInt8(part)
            else { return nil }
            raw.append(value)
        }
        return Bytes16(raw)
    }

    /// RFC 4291 section 2.2, forms 1 and 2.
    private static func v6(_ text: String) -> Bytes16? {
        guard text.utf8.count <= 39 else { return nil }
        let halves = split(text)
        guard halves.count <= 2, let head = groups(halves[0]) else { return nil }
        guard halves.count == 2 else { return head.count == 8 ? bytes(head) : nil }
        guard let tail = groups(halves[1]), head.count + tail.count <= 7 else { return nil }
        return bytes(head + [UInt16](repeating: 0, count: 8 - head.count - tail.count) + tail)
    }

    /// The parts around each `::`.
    private static func split(_ text: String) -> [String] {
        var parts = [""]
        var characters = Array(text)[...]
        while let first = characters.popFirst() {
            if first == ":", characters.first == ":" {
                characters.removeFirst()
                parts.append("")
            } else {
                parts[parts.count - 1].append(first)
            }
        }
        return parts
    }

    private static func groups(_ text: String) -> [UInt16]? {
        guard !text.isEmpty else { return [] }
        var out: [UInt16] = []
        for part in text.split(separator: ":", omittingEmptySubsequences: false) {
            guard (1...4).contains(part.utf8.count), !part.hasPrefix("+"), let value = UInt16(part, radix: 16) else {
                return nil
            }
            out.append(value)
        }
        return out.count <= 8 ? out : nil
    }

    private static func bytes(_ groups: [UInt16]) -> Bytes16? {
        Bytes16(groups.flatMap { [UInt8($0 >> 8), UInt8(truncatingIfNeeded: $0)] })
    }
}
