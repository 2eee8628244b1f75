import Glibc
import NIOCore

/// Whether this machine has an address: what is bound to one that it has lost gets nothing any more, and hears of that
/// from nobody.
public enum LocalAddress {
    /// False when the system refuses to bind a socket to the address since no interface has it.
    public static func exists(_ address: NIOCore.SocketAddress) -> Bool {
        let descriptor = socket(address.protocol.rawValue, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        // Without a descriptor nothing can be said.
        guard descriptor >= 0 else { return true }
        defer { close(descriptor) }
        var copy = address
        copy.port = 0
        let result = copy.withSockAddr { pointer, size in bind(descriptor, pointer, socklen_t(size)) }
        return result == 0 || errno != EADDRNOTAVAIL
    }
}
