import NIOCore
import NIOPosix
import Wire

/// A UDP socket that hands whole datagrams to one receiver.
public final class DatagramSocket: Sendable {
    public let channel: any Channel

    private init(channel: any Channel) { self.channel = channel }

    /// Binds to `address` on `loop`; `receive` is called there.
    public static func bind(
        _ address: NIOCore.SocketAddress, loop: any EventLoop,
        receive: @escaping @Sendable (_ datagram: [UInt8], _ from: Wire.SocketAddress) -> Void
    ) async throws -> DatagramSocket {
        let channel = try await DatagramBootstrap(group: loop)
            .channelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Receiver(receive))
                }
            }
            .bind(to: address).get()
        return DatagramSocket(channel: channel)
    }

    /// Sends one datagram; one that the system refuses is lost like any other.
    public func send(_ datagram: [UInt8], to address: Wire.SocketAddress) {
        guard let remote = try? address.nio() else { return }
        let envelope = AddressedEnvelope(remoteAddress: remote, data: ByteBuffer(bytes: datagram))
        channel.writeAndFlush(envelope, promise: nil)
    }

    private final class Receiver: ChannelInboundHandler {
        typealias InboundIn = AddressedEnvelope<ByteBuffer>

        private let receive: @Sendable ([UInt8], Wire.SocketAddress) -> Void

        init(_ receive: @escaping @Sendable ([UInt8], Wire.SocketAddress) -> Void) { self.receive = receive }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let envelope = unwrapInboundIn(data)
            guard let from = Wire.SocketAddress(envelope.remoteAddress) else { return }
            receive(Array(envelope.data.readableBytesView), from)
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {}
    }
}
