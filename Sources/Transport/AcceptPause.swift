import Glibc
import NIOCore

/// Waits a while before the next connection is taken when the system has no descriptor for it.
///
/// The connection stays in the system's queue, and SwiftNIO leaves the listening socket open and goes on looking at it: the
/// event loop would be told of the same connection at once, and again. Reads are switched off for the pause.
final class AcceptPause: ChannelInboundHandler {
    typealias InboundIn = Channel

    static let pause = TimeAmount.milliseconds(200)
    private let refused: @Sendable () -> Void

    /// - Parameter refused: told each time.
    init(refused: @escaping @Sendable () -> Void) { self.refused = refused }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let reason = error as? IOError, [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(reason.errnoCode) else {
            return context.fireErrorCaught(error)
        }
        refused()
        let channel = context.channel
        try? channel.syncOptions?.setOption(.autoRead, value: false)
        channel.eventLoop.scheduleTask(in: AcceptPause.pause) {
            try? channel.syncOptions?.setOption(.autoRead, value: true)
        }
    }
}
