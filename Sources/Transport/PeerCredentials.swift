import Glibc
import NIOCore

/// Who is at the other end of a Unix socket, as the kernel says (`SO_PEERCRED`, unix(7)).
struct PeerCredentials: Sendable {
    // The system's `struct ucred`.
    private let pid: Int32
    let uid: UInt32
    private let gid: UInt32

    static func of(_ channel: any Channel) -> EventLoopFuture<PeerCredentials> {
        guard let options = channel as? any SocketOptionProvider else {
            return channel.eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
        }
        return options.unsafeGetSocketOption(level: .socket, name: NIOBSDSocket.Option(rawValue: SO_PEERCRED))
    }
}
