import Glibc
import Link
import NIOCore
import NIOPosix
import Primitives

/// What a stream link reports, on its own event loop.
public enum StreamEvent: Sendable {
    /// The handshake is done, and who accepted the link has opened a frame; `peer` is the other server's link key, or `nil`
    /// for an agent.
    case established(StreamLink, peer: X25519PublicKey?)
    /// A frame arrived and was authenticated.
    case frame(StreamLink, kind: UInt8, body: [UInt8])
    /// The socket takes frames again after ``StreamLink/isWritable`` was false.
    case writable(StreamLink)
    /// The connection ended; `reason` is `nil` when it was closed between two frames. `link` is `nil` when none came about.
    case closed(StreamLink?, reason: LinkError?)
}

/// One authenticated, encrypted TCP connection of fixed-size frames.
///
/// The protocol is ``Link``'s state machine; this class only moves bytes between it and a channel.
public final class StreamLink: Sendable {
    /// Bytes waiting in the socket beyond which ``isWritable`` is false.
    public static let highWaterMark = 1 << 20
    /// Bytes waiting in the socket below which it is true again.
    static let lowWaterMark = 1 << 18
    static let connectTimeout = TimeAmount.seconds(5)
    /// Bytes waiting in the socket beyond which a link is closed: its other end does not read.
    static let backlogLimit = 1 << 23

    /// Where a link leads.
    public enum Place: Sendable {
        case address(NIOCore.SocketAddress)
        /// A host name, which the system resolves, or an IP address without brackets.
        case name(String, port: UInt16)
    }

    /// How long the other end is waited for. A link over which nothing is under way may stand idle for ever.
    public struct Patience: Sendable {
        /// From the connection on until the handshake is done, with the first frame for who accepted the connection.
        public var handshake = TimeAmount.seconds(10)
        /// From the first byte of a frame until its last.
        public var frame = TimeAmount.seconds(30)
        /// From the first byte that the other end's system has not acknowledged, although it was sent again and again, until
        /// the link counts as broken (TCP_USER_TIMEOUT, RFC 5482); `nil` leaves that to the system, which takes a quarter
        /// of an hour.
        public var acknowledgement: TimeAmount?

        public init() {}
    }

    /// At which pace a link is read; `nil` for any. Asked when the other end has shown its key (`nil` for an agent), and
    /// again whenever it is ahead of its pace. Called on the link's event loop.
    public typealias Pace = @Sendable (_ peer: X25519PublicKey?, _ link: UInt64) -> FramePace?

    /// Tells links apart.
    public let id: UInt64
    public let channel: any Channel
    /// The other end's address as the socket has it.
    public let remote: NIOCore.SocketAddress?
    private let handler: NIOLoopBound<StreamLinkHandler>

    init(channel: any Channel, handler: StreamLinkHandler) {
        self.channel = channel
        id = UInt64.random(in: 1...UInt64.max)
        remote = channel.remoteAddress
        self.handler = NIOLoopBound(handler, eventLoop: channel.eventLoop)
    }

    /// Whether the socket takes more without queueing beyond ``highWaterMark``.
    public var isWritable: Bool { channel.isWritable }

    /// Seals and writes one frame. Callable from any thread; frames of one caller stay in order.
    public func send(kind: FrameKind, body: [UInt8]) {
        channel.eventLoop.execute { self.handler.value.send(kind: kind.rawValue, body: body) }
    }

    public func close() { channel.eventLoop.execute { self.handler.value.leave() } }

    /// Accepts links on a TCP address; events of each come on the event loop that it got from `group`.
    ///
    /// Beyond the bounds of `guests` a connection is closed as soon as it is accepted, and reported as closed with
    /// ``LinkError/overloaded``; one for which the system has no descriptor is reported so and waits in its queue.
    public static func serve(
        _ address: NIOCore.SocketAddress, key: LinkKey, group: any EventLoopGroup, guests: GuestBook = GuestBook(),
        patience: Patience = Patience(), pace: @escaping Pace = { _, _ in nil },
        report: @escaping @Sendable (StreamEvent) -> Void
    ) async throws -> any Channel {
        try await ServerBootstrap(group: group)
            .serverChannelOption(ChannelOptions.backlog, value: 256)
            .serverChannelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        AcceptPause { report(.closed(nil, reason: .overloaded)) })
                }
            }
            .childChannelOption(ChannelOptions.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(
                ChannelOptions.writeBufferWaterMark, value: .init(low: lowWaterMark, high: highWaterMark)
            )
            .childChannelInitializer { channel in
                guard let guest = guests.admit(channel) else {
                    report(.closed(nil, reason: .overloaded))
                    return channel.close()
                }
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        StreamLinkHandler(
                            .responder(key), guest: guest, patience: patience, pace: pace, report: report))
                }
            }
            .bind(to: address).get()
    }

    /// Opens a link; its events, and the failure to connect as a `closed`, come on an event loop of `group`.
    /// - Parameters:
    ///   - identity: the own key, or `nil` to stay anonymous.
    ///   - local: the address to connect from, when the machine has several.
    public static func connect(
        to place: Place, peer: X25519PublicKey, identity: LinkKey?,
        local: NIOCore.SocketAddress? = nil, group: any EventLoopGroup,
        patience: Patience = Patience(), report: @escaping @Sendable (StreamEvent) -> Void
    ) {
        let initiator: InitiatorBox
        let loop = group.next()
        do throws(LinkError) { initiator = try InitiatorBox(identity: identity, peer: peer) } catch {
            loop.execute { report(.closed(nil, reason: error)) }
            return
        }
        let unacknowledged =
            patience.acknowledgement.map { SocketOptionValue(clamping: $0.nanoseconds / 1_000_000) } ?? 0
        let bootstrap = ClientBootstrap(group: loop)
            .channelOption(ChannelOptions.tcpOption(.init(rawValue: TCP_USER_TIMEOUT)), value: unacknowledged)
            .connectTimeout(connectTimeout)
            .channelOption(ChannelOptions.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(ChannelOptions.writeBufferWaterMark, value: .init(low: lowWaterMark, high: highWaterMark))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        StreamLinkHandler(.initiator(initiator), patience: patience, report: report))
                }
            }
        let bound = local.map { bootstrap.bind(to: $0) } ?? bootstrap
        let connected =
            switch place {
            case .address(let address): bound.connect(to: address)
            case .name(let host, let port): bound.connect(host: host, port: Int(port))
            }
        // In a turn of its own: without a network it fails at once, and whoever tries again at once would recurse.
        connected.whenFailure { _ in loop.execute { report(.closed(nil, reason: nil)) } }
    }
}

/// A server's static link key, shared by its sockets.
public final class LinkKey: Sendable {
    public let key: X25519PrivateKey
    public init(_ key: consuming X25519PrivateKey) { self.key = key }
    public var publicKey: X25519PublicKey { key.publicKey }
}

/// An initiator's handshake until its answer comes; touched by one event loop only after it was made.
final class InitiatorBox: @unchecked Sendable {
    let firstMessage: [UInt8]
    let peer: X25519PublicKey
    private var initiator: StreamInitiator?

    init(identity: LinkKey?, peer: X25519PublicKey) throws(LinkError) {
        var entropy = Entropy.system()
        self.peer = peer
        let initiator =
            if let identity {
                try StreamInitiator(identity: identity.key, responder: peer, entropy: &entropy)
            } else {
                try StreamInitiator(responder: peer, entropy: &entropy)
            }
        firstMessage = initiator.firstMessage
        self.initiator = consume initiator
    }

    func finish(_ second: [UInt8]) throws(LinkError) -> StreamSession {
        guard let initiator = initiator.take() else { throw .outOfTurn }
        return try initiator.finish(second)
    }
}
