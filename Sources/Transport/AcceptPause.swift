import Glibc
import NIOCore

/// Waits a while before the next connection is taken when the system has no descriptor for it.
///
/// The connection stays in the system's queue, so the event loop would be told of it again at once, and again.
final class AcceptPause: ChannelDuplexHandler {
    typealias InboundIn = Channel
    typealias OutboundIn = Channel

    static let pause = TimeAmount.milliseconds(200)
    private var isPaused = false
    private let refused: @Sendable () -> Void

    /// - Parameter refused: told each time.
    init(refused: @escaping @Sendable () -> Void) { self.refused = refused }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let reason = error as? IOError, [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(reason.errnoCode) else {
            return context.fireErrorCaught(error)
        }
        refused()
        guard !isPaused else { return }
        isPaused = true
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: AcceptPause.pause) {
            let (handler, context) = bound.value
            handler.isPaused = false
            context.read()
        }
    }

    func read(context: ChannelHandlerContext) {
        guard !isPaused else { return }
        context.read()
    }
}
