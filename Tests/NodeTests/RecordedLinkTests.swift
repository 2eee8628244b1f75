import Foundation
import Link
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Primitives
import Testing
import Transport

@testable import Node

/// Bytes that a connection received, and whether it has ended.
private final class Heard: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    private let state = NIOLockedValueBox((bytes: [UInt8](), isOver: false))

    var bytes: [UInt8] { state.withLockedValue { $0.bytes } }
    var isOver: Bool { state.withLockedValue { $0.isOver } }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        state.withLockedValue { $0.bytes += Array(unwrapInboundIn(data).readableBytesView) }
    }

    func channelInactive(context: ChannelHandlerContext) { state.withLockedValue { $0.isOver = true } }
}

@Suite("A recorded first message of a server's handshake", .serialized)
struct RecordedLinkTests {
    private let group = MultiThreadedEventLoopGroup.singleton

    private func wait(_ wish: Comment, _ condition: () async throws -> Bool) async throws {
        for _ in 0..<1000 {
            if try await condition() { return }
            try await Task.sleep(for: .milliseconds(20))
        }
        Issue.record("\(wish) did not come about")
    }

    /// What the first message of a server's link to `node` is on the wire.
    private func firstMessage(to node: NodeRuntime, from identity: LinkKey) async throws -> [UInt8] {
        let heard = Heard()
        let tap = try await ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(heard) }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        StreamLink.connect(
            to: .address(try #require(tap.localAddress)), peer: node.keys.link.publicKey, identity: identity,
            group: group
        ) { _ in }
        let size = try #require(StreamResponder.firstMessageSize(startingWith: 1))
        try await wait("the first message") { heard.bytes.count == size }
        try await tap.close()
        return heard.bytes
    }

    private func status(_ node: NodeRuntime) async throws -> NodeStatus {
        let answer = try await node.answer(Array("status".utf8), on: group.next()).get()
        return try JSONDecoder().decode(NodeStatus.self, from: Data(answer))
    }

    @Test("is told nothing of the map and is not counted as a server's link; the server itself is")
    func replay() async throws {
        let address = "127.0.148.1:7411"
        try await withNode("recorded", at: address) { node in
            var entropy = Entropy(seed: 148)
            let identity = LinkKey(X25519PrivateKey(&entropy))
            let recording = try await firstMessage(to: node, from: identity)
            let place = try NIOCore.SocketAddress(ipAddress: "127.0.148.1", port: 7411)
            let heard = (0..<10).map { _ in Heard() }
            for heard in heard {
                let channel = try await ClientBootstrap(group: group)
                    .channelInitializer { channel in
                        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(heard) }
                    }
                    .connect(to: place).get()
                try await channel.writeAndFlush(ByteBuffer(bytes: recording)).get()
            }
            try await wait("the answers") { heard.allSatisfy { $0.bytes.count >= StreamInitiator.secondMessageSize } }
            #expect(try await status(node).map.links.isEmpty)

            // The server whose message it was is a link at once, and is told of the map.
            let frames = NIOLockedValueBox(0)
            StreamLink.connect(to: .address(place), peer: node.keys.link.publicKey, identity: identity, group: group) {
                if case .frame(_, FrameKind.map.rawValue, _) = $0 { frames.withLockedValue { $0 += 1 } }
            }
            try await wait("the map") { frames.withLockedValue { $0 } > 0 }
            #expect(try await status(node).map.links.values.reduce(0, +) == 1)

            try await wait("the end of the recordings") { heard.allSatisfy(\.isOver) }
            #expect(heard.allSatisfy { $0.bytes.count == StreamInitiator.secondMessageSize })
            let counters = try await status(node).counters
            #expect(counters["link.failed.handshake_stalled"] == 10, "\(counters)")
        }
    }
}
