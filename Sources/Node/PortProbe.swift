import Glibc
import NIOCore
import Transport
import Wire

/// Whether an address can be listened on: tries it, and lets it go again.
enum PortProbe {
    /// - Returns: the `errno` of what failed; `nil` when it can.
    static func failure(_ address: Wire.SocketAddress, isStream: Bool) -> Int32? {
        guard let name = try? address.nio() else { return EINVAL }
        let kind = Int32(isStream ? SOCK_STREAM.rawValue : SOCK_DGRAM.rawValue)
        let descriptor = socket(address.isV4 ? AF_INET : AF_INET6, kind | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return errno }
        defer { close(descriptor) }
        if isStream {
            // As the server does: connections that ended a moment ago are no hindrance.
            var one: Int32 = 1
            setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        }
        let bound = name.withSockAddr { bind(descriptor, $0, socklen_t($1)) }
        guard bound == 0 else { return errno }
        return !isStream || listen(descriptor, 1) == 0 ? nil : errno
    }
}
