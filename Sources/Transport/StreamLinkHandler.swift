import Link
import NIOCore
import Primitives

/// Moves bytes between a channel and ``Link``'s stream state machines.
final class StreamLinkHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    enum Handshake {
        case initiator(InitiatorBox)
        case responder(LinkKey)
        /// The responder has answered what may be a recording: nothing but the first frame proves that somebody is there.
        case answered(peer: X25519PublicKey?)
        case done
    }

    private var handshake: Handshake
    private var session: StreamSession?
    private var received = ByteBuffer()
    private var context: ChannelHandlerContext?
    private var link: StreamLink?
    private var failure: LinkError?
    /// Whether this side ends the link.
    private var isLeaving = false
    private let patience: StreamLink.Patience
    /// Since when the handshake, or a frame that was begun, is waited for.
    private var waitingSince: NIODeadline?
    /// When that is looked at.
    private var lookDue: NIODeadline?
    private let report: @Sendable (StreamEvent) -> Void
    private var isFlushScheduled = false
    private var brake: ReadBrake
    /// The place of a link that another opened, and how many bytes were last noted to wait for it.
    private let guest: GuestBook.Guest?
    private var noted = 0
    private var isLooking = false

    init(
        _ handshake: Handshake, guest: GuestBook.Guest? = nil, patience: StreamLink.Patience,
        pace: @escaping StreamLink.Pace = { _, _ in nil },
        report: @escaping @Sendable (StreamEvent) -> Void
    ) {
        self.handshake = handshake
        self.guest = guest
        self.patience = patience
        self.report = report
        brake = ReadBrake(pace)
    }

    func channelActive(context: ChannelHandlerContext) {
        self.context = context
        let link = StreamLink(channel: context.channel, handler: self)
        self.link = link
        if case .initiator(let box) = handshake {
            write(box.firstMessage, context)
            context.flush()
        }
        waitingSince = .now()
        watch(context)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        // While the link is not read, whole frames may be left.
        if failure == nil, !isLeaving, !brake.isOn, received.readableBytes > 0 { failure = .truncated }
        session = nil
        self.context = nil
        if noted > 0 { _ = guest?.owes(0, before: noted) }
        noted = 0
        if let link { report(.closed(link, reason: failure)) }
        link = nil
        context.fireChannelInactive()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable, let link { report(.writable(link)) }
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard failure == nil else { return }
        var buffer = unwrapInboundIn(data)
        received.writeBuffer(&buffer)
        takeMessages(context)
    }

    /// Handles what has been received, as far as the link's pace allows.
    private func takeMessages(_ context: ChannelHandlerContext) {
        var isWaiting = waitingSince != nil
        do throws(LinkError) {
            while try takeMessage(context) { isWaiting = false }
        } catch {
            return end(error, context)
        }
        received.discardReadBytes()
        noteWait(isWaiting, context)
    }

    /// Leaves the link unread for a while.
    private func pause(until due: NIODeadline, _ context: ChannelHandlerContext) {
        setReading(false, context)
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(deadline: due) {
            let handler = bound.value
            handler.brake.release()
            guard let context = handler.context, handler.failure == nil else { return }
            handler.takeMessages(context)
            if !handler.brake.isOn { handler.setReading(true, context) }
        }
    }

    private func setReading(_ isReading: Bool, _ context: ChannelHandlerContext) {
        do { try context.channel.syncOptions?.setOption(.autoRead, value: isReading) } catch {
            context.close(promise: nil)
        }
    }

    /// What has arrived of the next message may be a part, and its rest may never come.
    /// - Parameter isWaiting: whether it was waited for before.
    private func noteWait(_ isWaiting: Bool, _ context: ChannelHandlerContext) {
        guard isHandshaking || received.readableBytes > 0 else {
            waitingSince = nil
            return
        }
        if !isWaiting { waitingSince = .now() }
        watch(context)
    }

    /// One timer at a time, which stays when what it was set for has come: a timer for each frame would cost more than
    /// the frame.
    private func watch(_ context: ChannelHandlerContext) {
        guard let waitingSince else { return }
        let due = waitingSince + limit
        if let lookDue, lookDue <= due { return }
        lookDue = due
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(deadline: due) { bound.value.judgeWait(due) }
    }

    private var isHandshaking: Bool { if case .done = handshake { false } else { true } }

    private var limit: TimeAmount { isHandshaking ? patience.handshake : patience.frame }

    private func judgeWait(_ due: NIODeadline) {
        guard lookDue == due else { return }
        lookDue = nil
        guard let context, failure == nil, let waitingSince else { return }
        guard NIODeadline.now() >= waitingSince + limit else { return watch(context) }
        end(isHandshaking ? .handshakeStalled : .frameStalled, context)
    }

    /// Handles one whole handshake message or frame; false when more bytes are needed.
    private func takeMessage(_ context: ChannelHandlerContext) throws(LinkError) -> Bool {
        switch handshake {
        case .done, .answered:
            return brake.isOn ? false : try takeFrame(context)
        case .responder(let key):
            guard received.readableBytes > 0 else { return false }
            guard let size = StreamResponder.firstMessageSize(startingWith: received.readableBytesView.first) else {
                throw .malformed
            }
            guard let first = received.readBytes(length: size) else { return false }
            var entropy = Entropy.system()
            let accepted = try StreamResponder.respond(to: first, key: key.key, entropy: &entropy)
            write(accepted.reply, context)
            context.flush()
            brake.met(accepted.peer, link: link?.id ?? 0)
            if brake.isPaced { readSparingly(context) }
            handshake = .answered(peer: accepted.peer)
            session = accepted.takeSession()
        case .initiator(let box):
            guard let second = received.readBytes(length: StreamInitiator.secondMessageSize) else { return false }
            session = try box.finish(second)
            // Tells the responder that this side is there, whatever the owner has to say and when.
            handshake = .done
            send(kind: FrameKind.idle.rawValue, body: [])
            if let link { report(.established(link, peer: box.peer)) }
        }
        return true
    }

    /// Opens a frame in the receive buffer; its body is the only copy made.
    private func takeFrame(_ context: ChannelHandlerContext) throws(LinkError) -> Bool {
        let size = StreamSession.frameSize
        guard received.readableBytes >= size else { return false }
        var outcome: Result<(kind: UInt8, body: [UInt8]), LinkError> = .failure(.outOfTurn)
        received.withUnsafeMutableReadableBytes { raw in
            let frame = UnsafeMutableRawBufferPointer(rebasing: raw[0..<size])
            do throws(LinkError) {
                guard let opened = try session?.open(frame) else { return }
                outcome = .success(
                    (opened.kind, Array(frame[opened.bodyOffset..<opened.bodyOffset + opened.bodyCount])))
            } catch {
                outcome = .failure(error)
            }
        }
        received.moveReaderIndex(forwardBy: size)
        let frame = try outcome.get()
        if case .answered(let peer) = handshake {
            handshake = .done
            if let link { report(.established(link, peer: peer)) }
        }
        if let link { report(.frame(link, kind: frame.kind, body: frame.body)) }
        if let due = brake.took(frame.kind) { pause(until: due, context) }
        return true
    }

    /// A paced link that is not read holds what has come before: little, for there may be thousands.
    private func readSparingly(_ context: ChannelHandlerContext) {
        let size = 2 * StreamSession.frameSize
        do {
            try context.channel.syncOptions?.setOption(
                .recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: size))
            try context.channel.syncOptions?.setOption(.maxMessagesPerRead, value: 1)
        } catch { context.close(promise: nil) }
    }

    func send(kind: UInt8, body: [UInt8]) {
        guard !isHandshaking, failure == nil, let context else { return }
        guard !isBackedUp(context) else { return end(.overloaded, context) }
        var buffer = context.channel.allocator.buffer(capacity: StreamSession.frameSize)
        var refusal: LinkError?
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: StreamSession.frameSize) { raw in
            let out = UnsafeMutableRawBufferPointer(rebasing: raw[0..<StreamSession.frameSize])
            body.withUnsafeBytes { body in
                do throws(LinkError) { try session?.seal(kind: kind, body: body, into: out) } catch { refusal = error }
            }
            return StreamSession.frameSize
        }
        if let refusal { return end(refusal, context) }
        context.write(wrapOutboundOut(buffer), promise: nil)
        scheduleFlush(context)
    }

    /// Whether the other end has left so much unread that memory is at stake.
    private func isBackedUp(_ context: ChannelHandlerContext) -> Bool {
        guard !context.channel.isWritable else { return false }
        let waiting = try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)
        return (waiting ?? 0) > StreamLink.backlogLimit || !noteBacklog(context)
    }

    /// Notes what waits in the socket: all guests together have a bound.
    /// - Returns: false when this link is one of those that have to go.
    private func noteBacklog(_ context: ChannelHandlerContext) -> Bool {
        guard let guest else { return true }
        let waiting = (try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
        guard waiting > 0 || noted > 0 else { return true }
        let isWithin = guest.owes(waiting, before: noted)
        noted = waiting
        if waiting > 0 { lookAgain(context) }
        return isWithin
    }

    /// What waits becomes less without a word, and for a link to which nothing is sent any more nobody else looks.
    private func lookAgain(_ context: ChannelHandlerContext) {
        guard !isLooking else { return }
        isLooking = true
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: .seconds(1)) {
            bound.value.isLooking = false
            bound.value.judgeBacklog()
        }
    }

    private func judgeBacklog() {
        guard failure == nil, let context, !noteBacklog(context) else { return }
        end(.overloaded, context)
    }

    /// Ends the link in order.
    func leave() {
        isLeaving = true
        context?.close(promise: nil)
    }

    private func end(_ reason: LinkError, _ context: ChannelHandlerContext) {
        failure = reason
        received.clear()
        context.close(promise: nil)
    }

    /// One system call for all frames that are written in one turn of the event loop.
    private func scheduleFlush(_ context: ChannelHandlerContext) {
        guard !isFlushScheduled else { return }
        isFlushScheduled = true
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.execute {
            bound.value.isFlushScheduled = false
            bound.value.context?.flush()
            bound.value.judgeBacklog()
        }
    }

    private func write(_ bytes: [UInt8], _ context: ChannelHandlerContext) {
        context.write(wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
    }
}
