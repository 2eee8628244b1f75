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
    private let socket: DatagramSocket
    private var endpoint: DatagramEndpoint
    private var entropy = Entropy.system()

    package var descriptor: Int32 { socket.descriptor }

    /// Binds to a free port of `host`, four bytes of an IPv4 address.
    package init(host: (UInt8, UInt8, UInt8, UInt8)) throws {
        endpoint = DatagramEndpoint(key: X25519PrivateKey(&entropy), entropy: &entropy)
        socket = try DatagramSocket(SocketAddress(v4: host, port: 0))
        var size: Int32 = 1 << 21
        setsockopt(socket.descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
    }

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
            let isSome = socket.receive { datagram, from in
                ended += perform(endpoint.receive(datagram, from: from, now: Lane.now(), entropy: &entropy))
            }
            guard isSome else { break }
        }
        return ended
    }

    /// An agent is not a directory server: when one asks who this is, it hears nothing.
    private func perform(_ effects: [DatagramEndpoint.Effect]) -> [(call: UInt64, body: [UInt8]?)] {
        var ended: [(call: UInt64, body: [UInt8]?)] = []
        for effect in effects {
            switch effect {
            case .send(let datagram, let to): socket.send(datagram, to: to)
            case .answered(let call, let body): ended.append((call, body))
            case .failed(let call): ended.append((call, nil))
            case .requested: break
            }
        }
        return ended
    }

    package static func now() -> Timestamp { .now() }
}
