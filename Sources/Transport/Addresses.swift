import Glibc
import NIOCore
import Primitives
import Wire

extension Wire.SocketAddress {
    /// The address of a socket; `nil` for a Unix-domain socket.
    public init?(_ address: NIOCore.SocketAddress) {
        guard let port = address.port.flatMap({ UInt16(exactly: $0) }) else { return nil }
        switch address {
        case .v4(let v4):
            var raw = v4.address.sin_addr
            let bytes = withUnsafeBytes(of: &raw) { Array($0) }
            self.init(v4: (bytes[0], bytes[1], bytes[2], bytes[3]), port: port)
        case .v6(let v6):
            var raw = v6.address.sin6_addr
            guard let bytes = withUnsafeBytes(of: &raw, { Bytes16(raw: $0) }) else { return nil }
            self.init(address: bytes, port: port)
        case .unixDomainSocket:
            return nil
        }
    }

    /// The same address as SwiftNIO's type.
    /// - Throws: when the system refuses the text form, which it does for no value of this type.
    public func nio() throws -> NIOCore.SocketAddress {
        try NIOCore.SocketAddress(packedIPAddress: ByteBuffer(bytes: v4 ?? address.bytes), port: Int(port))
    }

    /// Parses `a.b.c.d:port` or `[v6]:port`.
    public init?(text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]) else { return nil }
        var host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        guard (0...65_535).contains(port), let parsed = try? NIOCore.SocketAddress(ipAddress: host, port: port) else {
            return nil
        }
        self.init(parsed)
    }
}

extension Timestamp {
    /// The system's clock.
    public static func now() -> Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(milliseconds: UInt64(max(0, time.tv_sec)) * 1000 + UInt64(max(0, time.tv_nsec)) / 1_000_000)
    }
}
