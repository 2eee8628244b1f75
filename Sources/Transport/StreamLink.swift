import Link
import NIOCore
import Primitives

/// What a stream link reports, on its own event loop.
public enum StreamEvent: Sendable {
    /// The handshake is done; `peer` is the other server's link key, or `nil` for an agent.
    case established(StreamLink, peer: X25519PublicKey?)
    /// A frame arrived and was authenticated.
    case frame(StreamLink, kind: UInt8, body: [UInt8])
    /// The connection ended; `reason` is `nil` when it was closed in order.
    case closed(StreamLink, reason: LinkError?)
}

/// One authenticated, encrypted TCP connection of fixed-size frames.
///
/// The protocol is ``Link``'s state machine; this class only moves bytes between it and a channel.
public final class StreamLink: Sendable {
    /// Bytes waiting in the socket beyond which ``send(kind:body:)`` reports that the link is congested.
    public static let highWaterMark = 1 << 20

    public let channel: any Channel
    /// The other end's address as the socket has it.
    public let remote: NIOCore.SocketAddress?
    private let handler: NIOLoopBound<StreamLinkHandler>

    init(channel: any Channel, handler: StreamLinkHandler) {
        self.channel = channel
        remote = channel.remoteAddress
        self.handler = NIOLoopBound(handler, eventLoop: channel.eventLoop)
    }

    /// Whether the socket takes more without queueing beyond ``highWaterMark``.
    public var isWritable: Bool { channel.isWritable }

    /// Seals and writes one frame. Callable from any thread; frames of one caller stay in order.
    public func send(kind: FrameKind, body: [UInt8]) {
        channel.eventLoop.execute { self.handler.value.send(kind: kind.rawValue, body: body) }
    }

    public func close() { channel.close(promise: nil) }
}

/// Moves bytes between a channel and ``Link``'s stream state machines.
final class StreamLinkHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Seconds that a peer may take to complete the handshake.
    static let handshakeTimeout = TimeAmount.seconds(10)

    private var pending: PendingHandshake
    private var session: StreamSession?
    private var received = ByteBuffer()
    private var context: ChannelHandlerContext?
    private var link: StreamLink?
    private var failure: LinkError?
    private let report: @Sendable (StreamEvent) -> Void
    private var flushScheduled = false

    enum PendingHandshake {
        case initiator(InitiatorBox)
        case responder(ResponderKey)
        case none
    }

    init(_ pending: PendingHandshake, report: @escaping @Sendable (StreamEvent) -> Void) {
        self.pending = pending
        self.report = report
    }

    func channelActive(context: ChannelHandlerContext) {
        self.context = context
        let link = StreamLink(channel: context.channel, handler: self)
        self.link = link
        if case .initiator(let box) = pending, let first = box.firstMessage {
            write(first, context)
            context.flush()
        }
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: StreamLinkHandler.handshakeTimeout) {
            if bound.value.session == nil { link.close() }
        }
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        session = nil
        self.context = nil
        if let link { report(.closed(link, reason: failure)) }
        link = nil
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        received.writeBuffer(&buffer)
        do throws(LinkError) {
            while try takeMessage(context) {}
        } catch {
            failure = error
            received.clear()
            context.close(promise: nil)
        }
        received.discardReadBytes()
    }

    /// Handles one whole handshake message or frame; false when more bytes are needed.
    private func takeMessage(_ context: ChannelHandlerContext) throws(LinkError) -> Bool {
        guard session == nil else { return try takeFrame() }
        switch pending {
        case .responder(let key):
            guard let size = StreamResponder.firstMessageSize(startingWith: received.readableBytesView.first) else {
                if received.readableBytes > 0 { throw .malformed }
                return false
            }
            guard let first = received.readBytes(length: size) else { return false }
            let accepted = try key.respond(to: first)
            write(accepted.reply, context)
            context.flush()
            establish(accepted.takeSession(), peer: accepted.peer)
        case .initiator(let box):
            guard let second = received.readBytes(length: StreamInitiator.secondMessageSize) else { return false }
            establish(try box.finish(second), peer: box.peer)
        case .none:
            return false
        }
        return true
    }

    private func establish(_ session: consuming StreamSession?, peer: X25519PublicKey?) {
        self.session = session
        pending = .none
        if let link { report(.established(link, peer: peer)) }
    }

    private func takeFrame() throws(LinkError) -> Bool {
        guard var frame = received.readBytes(length: StreamSession.frameSize) else { return false }
        var failure: LinkError?
        var kind: UInt8 = 0
        var range = 0..<0
        frame.withUnsafeMutableBytes { raw in
            do throws(LinkError) {
                guard let opened = try session?.open(raw) else { return }
                kind = opened.kind
                range = opened.bodyOffset..<opened.bodyOffset + opened.bodyCount
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        if let link { report(.frame(link, kind: kind, body: Array(frame[range]))) }
        return true
    }

    func send(kind: UInt8, body: [UInt8]) {
        guard session != nil, let context else { return }
        var buffer = context.channel.allocator.buffer(capacity: StreamSession.frameSize)
        var sealed = true
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: StreamSession.frameSize) { raw in
            let out = UnsafeMutableRawBufferPointer(rebasing: raw[0..<StreamSession.frameSize])
            body.withUnsafeBytes { body in
                do throws(LinkError) {
                    try session?.seal(kind: kind, body: body, into: out)
                } catch {
                    sealed = false
                    failure = error
                }
            }
            return StreamSession.frameSize
        }
        guard sealed else {
            context.close(promise: nil)
            return
        }
        context.write(wrapOutboundOut(buffer), promise: nil)
        scheduleFlush(context)
    }

    /// One system call for all frames that are written in one turn of the event loop.
    private func scheduleFlush(_ context: ChannelHandlerContext) {
        guard !flushScheduled else { return }
        flushScheduled = true
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.execute {
            bound.value.flushScheduled = false
            bound.value.context?.flush()
        }
    }

    private func write(_ bytes: [UInt8], _ context: ChannelHandlerContext) {
        context.write(wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
    }
}
