import Glibc
import NIOCore
import NIOPosix
import Wire

/// A UDP socket that hands whole datagrams to one receiver.
///
/// It sends past SwiftNIO, which closes a socket for good when the system refuses to send to some address: a peer that
/// announces an unreachable one, a firewall or a network that is down would end a node's part in the directory.
public final class DatagramSocket: Sendable {
    /// Datagrams that one system call receives at most.
    private static let burst = 16
    /// Bytes for each of them; what is longer is cut, and too long for the protocol anyway.
    private static let room = 1536

    public let channel: any Channel
    private let handler: NIOLoopBound<Handler>

    private init(channel: any Channel, handler: NIOLoopBound<Handler>) {
        self.channel = channel
        self.handler = handler
    }

    /// Binds to `address` on `loop`; `receive` is called there, and `complete` when there is no more for now.
    public static func bind(
        _ address: NIOCore.SocketAddress, loop: any EventLoop,
        receive: @escaping @Sendable (_ datagram: [UInt8], _ from: Wire.SocketAddress) -> Void,
        complete: @escaping @Sendable () -> Void = {}
    ) async throws -> DatagramSocket {
        let handler = try await loop.submit { NIOLoopBound(Handler(receive, complete: complete), eventLoop: loop) }
            .get()
        let channel = try await DatagramBootstrap(group: loop)
            .channelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
            .channelOption(ChannelOptions.datagramVectorReadMessageCount, value: burst)
            .channelOption(
                ChannelOptions.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: burst * room)
            )
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(handler.value)
                }
            }
            .bind(to: address).get()
        return DatagramSocket(channel: channel, handler: handler)
    }

    /// Sends one datagram; one that the system refuses is lost like any other. Callable from any thread.
    public func send(_ datagram: [UInt8], to address: Wire.SocketAddress) {
        if channel.eventLoop.inEventLoop {
            handler.value.send(datagram, to: address)
        } else {
            channel.eventLoop.execute { self.handler.value.send(datagram, to: address) }
        }
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = AddressedEnvelope<ByteBuffer>

        private let receive: @Sendable ([UInt8], Wire.SocketAddress) -> Void
        private let complete: @Sendable () -> Void
        private var context: ChannelHandlerContext?
        /// The socket and whether it is an IPv6 one: asking the channel each time costs as much as sending.
        private var target: (descriptor: CInt, isIPv6: Bool)?

        init(
            _ receive: @escaping @Sendable ([UInt8], Wire.SocketAddress) -> Void,
            complete: @escaping @Sendable () -> Void
        ) {
            self.receive = receive
            self.complete = complete
        }

        func handlerAdded(context: ChannelHandlerContext) { self.context = context }

        func handlerRemoved(context: ChannelHandlerContext) {
            self.context = nil
            target = nil
        }

        func channelReadComplete(context: ChannelHandlerContext) { complete() }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let envelope = unwrapInboundIn(data)
            guard let from = Wire.SocketAddress(envelope.remoteAddress) else { return }
            receive(Array(envelope.data.readableBytesView), from)
        }

        // What was received before an error is complete too.
        func errorCaught(context: ChannelHandlerContext, error: any Error) { complete() }

        func channelInactive(context: ChannelHandlerContext) { complete() }

        func send(_ datagram: [UInt8], to address: Wire.SocketAddress) {
            // A closed channel's descriptor may be another's.
            guard let context, context.channel.isActive, let target = target ?? find(context) else { return }
            // An IPv6 socket reaches IPv4 addresses in their mapped form, which is ours.
            if target.isIPv6 {
                var name = sockaddr_in6(address)
                _ = DatagramSocket.send(target.descriptor, datagram, &name)
            } else if var name = sockaddr_in(address) {
                _ = DatagramSocket.send(target.descriptor, datagram, &name)
            }
        }

        private func find(_ context: ChannelHandlerContext) -> (descriptor: CInt, isIPv6: Bool)? {
            guard let own = context.localAddress else { return nil }
            let descriptor = try? context.channel.pipeline.syncOperations.withUnsafeTransportIfAvailable {
                (descriptor: CInt) in descriptor
            }
            target = descriptor.flatMap(\.self).map { ($0, own.protocol == .inet6) }
            return target
        }
    }

    /// Does not wait when the socket's buffer is full.
    private static func send<Name>(_ descriptor: CInt, _ datagram: [UInt8], _ name: inout Name) -> Int {
        withUnsafePointer(to: &name) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(
                    descriptor, datagram, datagram.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL),
                    $0, socklen_t(MemoryLayout<Name>.size))
            }
        }
    }
}

extension sockaddr_in6 {
    init(_ address: Wire.SocketAddress) {
        self.init()
        sin6_family = sa_family_t(AF_INET6)
        sin6_port = address.port.bigEndian
        withUnsafeMutableBytes(of: &sin6_addr) { $0.copyBytes(from: address.address.bytes) }
    }
}

extension sockaddr_in {
    /// `nil` for an IPv6 address.
    init?(_ address: Wire.SocketAddress) {
        guard let v4 = address.v4 else { return nil }
        self.init()
        sin_family = sa_family_t(AF_INET)
        sin_port = address.port.bigEndian
        withUnsafeMutableBytes(of: &sin_addr) { $0.copyBytes(from: v4) }
    }
}
