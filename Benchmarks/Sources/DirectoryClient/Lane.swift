import Glibc
import Link
import Primitives
import Transport
import Wire

/// Why the client cannot go on, in words.
package struct Failure: Error, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}

/// A UDP socket with an identity and sessions of its own: servers count each lane's address prefix for itself.
package final class Lane {
    package let descriptor: Int32
    private var endpoint: DatagramEndpoint
    private var entropy = Entropy.system()
    private var buffer = [UInt8](repeating: 0, count: 2048)

    /// Binds to a free port of `host`, four bytes of an IPv4 address.
    package init(host: (UInt8, UInt8, UInt8, UInt8)) throws {
        endpoint = DatagramEndpoint(key: X25519PrivateKey(&entropy), entropy: &entropy)
        descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        var size: Int32 = 1 << 21
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        var address = Lane.system(SocketAddress(v4: host, port: 0))
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else { throw Failure("cannot bind a socket: \(String(cString: strerror(errno)))") }
    }

    deinit { close(descriptor) }

    /// A caller that no server knows: its next call begins with a handshake.
    package func renew() { endpoint = DatagramEndpoint(key: X25519PrivateKey(&entropy), entropy: &entropy) }

    package func call(_ id: UInt64, _ server: Server, _ request: [UInt8]) -> [(call: UInt64, body: [UInt8]?)] {
        perform(
            endpoint.call(
                id, to: server.address, peer: server.linkKey, request: request, now: Lane.now(), entropy: &entropy))
    }

    /// Repeats what is late.
    package func wake() -> [(call: UInt64, body: [UInt8]?)] {
        let now = Lane.now()
        guard let due = endpoint.nextWake, due <= now else { return [] }
        return perform(endpoint.wake(now: now, entropy: &entropy))
    }

    /// Reads whatever has come; `nil` in place of a body means that the call failed.
    package func receive() -> [(call: UInt64, body: [UInt8]?)] {
        var ended: [(call: UInt64, body: [UInt8]?)] = []
        // A bound, so that one lane cannot keep the others waiting.
        for _ in 0..<256 {
            var address = sockaddr_in()
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let count = withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    recvfrom(descriptor, &buffer, buffer.count, 0, $0, &length)
                }
            }
            guard count > 0 else { break }
            let host = withUnsafeBytes(of: address.sin_addr) { Array($0) }
            let from = SocketAddress(
                v4: (host[0], host[1], host[2], host[3]), port: UInt16(bigEndian: address.sin_port))
            ended += perform(
                endpoint.receive(Array(buffer.prefix(count)), from: from, now: Lane.now(), entropy: &entropy))
        }
        return ended
    }

    /// An agent is not a directory server: when one asks who this is, it hears nothing.
    private func perform(_ effects: [DatagramEndpoint.Effect]) -> [(call: UInt64, body: [UInt8]?)] {
        var ended: [(call: UInt64, body: [UInt8]?)] = []
        for effect in effects {
            switch effect {
            case .send(let datagram, let to): send(datagram, to)
            case .answered(let call, let body): ended.append((call, body))
            case .failed(let call): ended.append((call, nil))
            case .requested: break
            }
        }
        return ended
    }

    private func send(_ datagram: [UInt8], _ to: SocketAddress) {
        var address = Lane.system(to)
        _ = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(descriptor, datagram, datagram.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    /// The system's form of an IPv4-mapped address.
    private static func system(_ address: SocketAddress) -> sockaddr_in {
        var out = sockaddr_in()
        out.sin_family = sa_family_t(AF_INET)
        out.sin_port = address.port.bigEndian
        address.address.withUnsafeBytes { raw in
            withUnsafeMutableBytes(of: &out.sin_addr) { $0.copyBytes(from: raw.suffix(4)) }
        }
        return out
    }

    package static func now() -> Timestamp { .now() }
}
