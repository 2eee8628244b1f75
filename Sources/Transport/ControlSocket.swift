import Glibc
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix

/// A Unix-domain socket on which a program of the same user asks a running one: one line each way, then it closes.
///
/// The socket file has mode 0600 and lies in its owner's directory, and both sides ask the kernel who the other is: the
/// server answers its own user and root, and the one who asks believes these and the directory's owner.
public enum ControlSocket {
    /// The longest question, in bytes.
    public static let questionLimit = 4096
    /// The longest answer accepted, in bytes.
    public static let answerLimit = 1 << 20

    /// The most connections at a time.
    public static let connectionLimit = 32
    /// How long a question may take to come.
    public static let patience = TimeAmount.seconds(10)

    /// Why a connection was closed without an answer.
    public enum Refusal: String, Sendable {
        /// So many connections stand already.
        case crowded
        /// No line came in time.
        case stalled
        case oversize
        /// It came from a process of another user.
        case foreign
    }

    /// What keeps a question from being asked.
    public struct Foreign: Error, Equatable, Sendable {
        /// The user whose process listens.
        public let uid: UInt32
    }

    /// The folder of the socket cannot be opened, or its mode not be set.
    struct Unreachable: Error { let path: String }

    /// Serves `answer` on the socket at `path`.
    /// - Parameter refused: told of each connection that is closed without an answer.
    public static func serve(
        path: String, group: any EventLoopGroup, connections: Int = connectionLimit, patience: TimeAmount = patience,
        refused: @escaping @Sendable (Refusal) -> Void = { _ in },
        answer: @escaping @Sendable (_ line: [UInt8], _ loop: any EventLoop) -> EventLoopFuture<[UInt8]>
    ) async throws -> any Channel {
        let open = NIOLockedValueBox(0)
        let place = try SocketPlace(path)
        let own = geteuid()
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptPause { refused(.crowded) })
                }
            }
            .childChannelInitializer { channel in
                let isAdmitted = open.withLockedValue { count in
                    count += 1
                    return count <= connections
                }
                channel.closeFuture.whenComplete { _ in open.withLockedValue { $0 -= 1 } }
                guard isAdmitted else {
                    refused(.crowded)
                    return channel.close()
                }
                return PeerCredentials.of(channel).flatMapThrowing { peer in
                    guard peer.uid == own || peer.uid == 0 else {
                        refused(.foreign)
                        return channel.close(promise: nil)
                    }
                    try channel.pipeline.syncOperations.addHandler(
                        LineHandler(limit: questionLimit, patience: patience, refused: refused) { line, channel in
                            answer(line, channel.eventLoop).assumeIsolated().whenComplete { reply in
                                let bytes = ((try? reply.get()) ?? []) + [10]
                                channel.writeAndFlush(ByteBuffer(bytes: bytes)).whenComplete { _ in
                                    channel.close(promise: nil)
                                }
                            }
                        })
                }
            }
        let channel: any Channel
        do {
            channel = try await bootstrap.bind(unixDomainSocketPath: place.path, cleanupExistingSocketFile: true).get()
        } catch {
            place.close()
            throw error
        }
        // The program's umask has kept others out until now; a program without one may embed this.
        let isPrivate = chmod(place.path, 0o600) == 0
        channel.closeFuture.whenComplete { _ in place.close() }
        guard isPrivate else {
            channel.close(promise: nil)
            throw Unreachable(path: path)
        }
        return channel
    }

    /// Sends one line and returns the one that comes back.
    /// - Throws: ``Foreign`` when a stranger listens at `path`; another error when nothing does, or nothing answers within
    ///   `timeout`.
    public static func ask(
        path: String, _ line: [UInt8], group: any EventLoopGroup, timeout: TimeAmount = .seconds(10)
    ) async throws -> [UInt8] {
        let loop = group.next()
        let promise = loop.makePromise(of: [UInt8].self)
        let channel: any Channel
        do {
            let place = try SocketPlace(path)
            defer { place.close() }
            let (socket, peer) = try PeerCredentials.connect(to: place.path)
            guard [0, geteuid(), SocketPlace.owner(path)].contains(peer.uid) else {
                Glibc.close(socket)
                throw Foreign(uid: peer.uid)
            }
            channel = try await ClientBootstrap(group: loop)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(
                            LineHandler(limit: answerLimit) { line, _ in promise.succeed(line) })
                    }
                }
                .withConnectedSocket(socket)
                .get()
        } catch {
            promise.fail(error)
            throw error
        }
        loop.scheduleTask(in: timeout) { promise.fail(ChannelError.connectTimeout(timeout)) }
        channel.closeFuture.whenComplete { _ in promise.fail(ChannelError.eof) }
        channel.writeAndFlush(ByteBuffer(bytes: line + [10]), promise: nil)
        let answer = try await promise.futureResult.get()
        channel.close(promise: nil)
        return answer
    }
}

/// Takes the first line of a byte stream, of bounded length.
private final class LineHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private var received: [UInt8] = []
    private var isTaken = false
    private let limit: Int
    private let patience: TimeAmount?
    private let refused: (ControlSocket.Refusal) -> Void
    private let handle: (_ line: [UInt8], _ channel: any Channel) -> Void
    private var deadline: Scheduled<Void>?

    /// - Parameter patience: how long the line may take to come; `nil` for as long as the connection stands.
    init(
        limit: Int, patience: TimeAmount? = nil, refused: @escaping (ControlSocket.Refusal) -> Void = { _ in },
        _ handle: @escaping (_ line: [UInt8], _ channel: any Channel) -> Void
    ) {
        self.limit = limit
        self.patience = patience
        self.refused = refused
        self.handle = handle
    }

    func channelActive(context: ChannelHandlerContext) {
        guard let patience else { return }
        deadline = context.eventLoop.assumeIsolated().scheduleTask(in: patience) {
            guard !self.isTaken else { return }
            self.refused(.stalled)
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) { deadline?.cancel() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isTaken else { return }
        let fresh = unwrapInboundIn(data).readableBytesView
        let end = fresh.firstIndex(of: 10)
        received.append(contentsOf: fresh[..<(end ?? fresh.endIndex)])
        guard received.count <= limit else {
            isTaken = true
            received = []
            refused(.oversize)
            context.close(promise: nil)
            return
        }
        guard end != nil else { return }
        isTaken = true
        deadline?.cancel()
        handle(received, context.channel)
        received = []
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
