import Primitives

/// An IP address with a port: 16 bytes of IPv6 (IPv4 in its mapped form) and 2 of port on the wire.
public struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
    /// Sixteen bytes, network order.
    public let address: Bytes16
    public let port: UInt16

    public static let encodedSize = 18

    public init(address: Bytes16, port: UInt16) {
        self.address = address
        self.port = port
    }

    /// An IPv4 address.
    public init(v4: (UInt8, UInt8, UInt8, UInt8), port: UInt16) {
        let raw: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, v4.0, v4.1, v4.2, v4.3]
        address = Bytes16(raw) ?? Bytes16()
        self.port = port
    }

    /// The four bytes when this is an IPv4 address in its mapped form (RFC 4291 section 2.5.5.2).
    public var v4: [UInt8]? { isV4 ? address.withUnsafeBytes { Array($0[12...]) } : nil }

    /// Whether this is an IPv4 address in its mapped form.
    public var isV4: Bool {
        address.withUnsafeBytes { raw in
            raw[..<10].allSatisfy { $0 == 0 } && raw[10] == 0xff && raw[11] == 0xff
        }
    }

    /// Whether this is `0.0.0.0` or `::`, which a server may listen on and nobody can reach.
    public var isUnspecified: Bool {
        (v4 ?? address.bytes).allSatisfy { $0 == 0 }
    }

    /// The part that addresses of one network share: IPv4 /16 or IPv6 /32, for diversity rules.
    public var prefix: [UInt8] {
        if let v4 { return Array(v4[0..<2]) }
        return Array(address.bytes[0..<4])
    }

    /// ``prefix`` as a number, for counting: IPv4 /16 or IPv6 /32.
    public var prefixKey: UInt64 { key(v4: 2, v6: 4) }

    /// What one customer of a network commonly has, as a number, for counting: IPv4 /24 or IPv6 /48.
    public var siteKey: UInt64 { key(v4: 3, v6: 6) }

    /// The first bytes of an IPv4 or IPv6 address as a number, which no address of the other family has.
    private func key(v4: Int, v6: Int) -> UInt64 {
        address.withUnsafeBytes { raw in
            func number(_ bytes: Range<Int>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64(raw[$1]) } }
            return isV4 ? 1 << UInt64(8 * v6) | number(12..<12 + v4) : number(0..<v6)
        }
    }

    /// `a.b.c.d:port` or `[v6]:port`.
    public var description: String {
        "\(v4 == nil ? "[\(host)]" : host):\(port)"
    }

    /// The address without its port.
    public var host: String {
        if let v4 { return v4.map { String($0) }.joined(separator: ".") }
        let raw = address.bytes
        return stride(from: 0, to: 16, by: 2)
            .map { String(UInt16(raw[$0]) << 8 | UInt16(raw[$0 + 1]), radix: 16) }
            .joined(separator: ":")
    }

    public init(_ reader: inout Reader) throws(WireError) {
        address = try reader.fixed()
        port = try reader.uint16()
    }

    public func encode(_ writer: inout Writer) {
        writer.fixed(address)
        writer.uint16(port)
    }
}
