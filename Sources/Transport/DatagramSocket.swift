import Glibc
import NIOCore
import Primitives
import Wire

/// A UDP socket that neither waits nor fails: what it cannot send is lost, as any datagram can be, and what a peer or the
/// network reports about one that was sent is passed over. A peer that announces an unreachable address, a firewall or a
/// network that is down must not end a node's part in the directory.
///
/// Confined to one thread, that of the loop which serves it: that makes `@unchecked Sendable` true.
public final class DatagramSocket: @unchecked Sendable {
    /// Bytes for a datagram; what is longer is cut, and too long for the protocol anyway.
    private static let room = 1536

    /// Where it listens.
    public let address: Wire.SocketAddress
    private let isIPv6: Bool
    /// What to wait on; negative when it is closed.
    public private(set) var descriptor: CInt
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: room, alignment: 16)
    /// The last datagram received; kept for its room.
    private var datagram: [UInt8] = []

    /// Binds to `address`.
    /// - Throws: an `IOError` with the system's reason.
    public init(_ address: Wire.SocketAddress) throws {
        isIPv6 = address.v4 == nil
        let kind = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(isIPv6 ? AF_INET6 : AF_INET, kind, 0)
        guard descriptor >= 0 else { throw IOError(errnoCode: errno, reason: "socket") }
        do {
            self.address = try DatagramSocket.bind(descriptor, address)
        } catch {
            Glibc.close(descriptor)
            throw error
        }
        self.descriptor = descriptor
        datagram.reserveCapacity(DatagramSocket.room)
    }

    deinit {
        close()
        buffer.deallocate()
    }

    /// Closes it; harmless when it is closed.
    func close() {
        guard descriptor >= 0 else { return }
        Glibc.close(descriptor)
        descriptor = -1
    }

    /// Hands on one datagram, if there is one.
    /// - Returns: whether there was.
    @discardableResult
    public func receive(_ body: (_ datagram: [UInt8], _ from: Wire.SocketAddress) -> Void) -> Bool {
        // Either kind of name fits.
        var name = sockaddr_in6()
        var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
        let count = withUnsafeMutablePointer(to: &name) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                recvfrom(descriptor, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT), $0, &length)
            }
        }
        guard count >= 0, let from = Wire.SocketAddress(name) else { return false }
        datagram.removeAll(keepingCapacity: true)
        datagram.append(contentsOf: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        body(datagram, from)
        return true
    }

    /// Does not wait when the socket's buffer is full.
    public func send(_ datagram: [UInt8], to address: Wire.SocketAddress) {
        guard descriptor >= 0 else { return }
        // An IPv6 socket reaches IPv4 addresses in their mapped form, which is ours.
        if isIPv6 {
            var name = sockaddr_in6(address)
            send(datagram, &name)
        } else if var name = sockaddr_in(address) {
            send(datagram, &name)
        }
    }

    private func send<Name>(_ datagram: [UInt8], _ name: inout Name) {
        withUnsafePointer(to: &name) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = sendto(
                    descriptor, datagram, datagram.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL), $0,
                    socklen_t(MemoryLayout<Name>.size))
            }
        }
    }

    /// - Returns: the address with the port that the system chose, if it was to choose one.
    private static func bind(_ descriptor: CInt, _ address: Wire.SocketAddress) throws -> Wire.SocketAddress {
        var status: CInt = -1
        if var name = sockaddr_in(address) {
            status = with(&name) { Glibc.bind(descriptor, $0, $1) }
        } else {
            var name = sockaddr_in6(address)
            status = with(&name) { Glibc.bind(descriptor, $0, $1) }
        }
        guard status == 0 else { throw IOError(errnoCode: errno, reason: "bind") }
        var name = sockaddr_in6()
        var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
        status = with(&name) { pointer, _ in getsockname(descriptor, pointer, &length) }
        guard status == 0, let bound = Wire.SocketAddress(name) else {
            throw IOError(errnoCode: errno, reason: "getsockname")
        }
        return bound
    }

    private static func with<Name>(
        _ name: inout Name, _ body: (UnsafeMutablePointer<sockaddr>, socklen_t) -> CInt
    ) -> CInt {
        withUnsafeMutablePointer(to: &name) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<Name>.size)) }
        }
    }
}

extension sockaddr_in6 {
    init(_ address: Wire.SocketAddress) {
        self.init()
        sin6_family = sa_family_t(AF_INET6)
        sin6_port = address.port.bigEndian
        withUnsafeMutableBytes(of: &sin6_addr) { out in address.address.withUnsafeBytes { out.copyMemory(from: $0) } }
    }
}

extension sockaddr_in {
    /// `nil` for an IPv6 address.
    init?(_ address: Wire.SocketAddress) {
        guard address.isV4 else { return nil }
        self.init()
        sin_family = sa_family_t(AF_INET)
        sin_port = address.port.bigEndian
        withUnsafeMutableBytes(of: &sin_addr) { out in
            address.address.withUnsafeBytes { out.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[12...])) }
        }
    }
}

extension Wire.SocketAddress {
    /// What the system has written there: a name of either kind, which begin alike.
    fileprivate init?(_ name: sockaddr_in6) {
        let port = UInt16(bigEndian: name.sin6_port)
        switch CInt(name.sin6_family) {
        case AF_INET6:
            self.init(address: withUnsafeBytes(of: name.sin6_addr) { Bytes16(raw: $0) } ?? Bytes16(), port: port)
        case AF_INET:
            // The IPv4 address stands where an IPv6 name has its flow label.
            self.init(
                address: withUnsafeBytes(of: name.sin6_flowinfo) { v4 in
                    Bytes16(unsafe: { raw in
                        (raw[10], raw[11]) = (0xff, 0xff)
                        UnsafeMutableRawBufferPointer(rebasing: raw[12...]).copyMemory(from: v4)
                    })
                }, port: port)
        default: return nil
        }
    }
}
