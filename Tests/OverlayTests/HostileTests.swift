import Envelope
import Federation
import Foundation
import Link
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Primitives
import Records
import Storage
import Testing
import Transport
import Wire

/// Somebody who speaks to a node's sockets directly.
@Suite(.serialized) struct HostileTests {
    @Test("malformed, truncated, oversized and random bytes on every socket are dropped, and the node goes on")
    func garbage() async throws {
        let overlay = try Overlay(clusters: 5, network: 61)
        let seed: UInt64 = 61
        print("seed \(seed)")
        var entropy = Entropy(seed: seed)
        let group = MultiThreadedEventLoopGroup.singleton
        let address = try NIOCore.SocketAddress(ipAddress: "127.61.0.1", port: 7411)

        for round in 0..<60 {
            let channel = try await ClientBootstrap(group: group).connect(to: address).get()
            var bytes = entropy.array([1, 100, 1233, 5000, 200_000][round % 5])
            // Some begin like a handshake.
            if round % 2 == 0 { bytes[0] = UInt8(1 + round % 3) }
            try? await channel.writeAndFlush(ByteBuffer(bytes: bytes)).get()
            if round % 3 == 0 { try await Task.sleep(for: .milliseconds(10)) }
            try? await channel.close().get()
        }
        let loop = try DatagramLoop()
        try loop.start()
        let socket = try DatagramSocket(Wire.SocketAddress(v4: (127, 0, 61, 1), port: 0))
        loop.execute { loop.serve(socket) { _, _ in } }
        let target = Wire.SocketAddress(v4: (127, 61, 0, 1), port: 7411)
        for round in 0..<3000 {
            var datagram = entropy.array(entropy.below(1500))
            if !datagram.isEmpty, round % 2 == 0 { datagram[0] = UInt8(round % 6) }
            if datagram.count > 4, round % 4 == 0 { for index in 1..<4 { datagram[index] = 0 } }
            let sent = datagram
            loop.execute { loop.send(sent, to: target) }
        }
        await loop.stop()

        let status = try overlay.status(1)
        #expect(status.map.servers == 5)
        #expect(status.server.residentKiB < 200_000)
        let dropped = status.counters.filter { $0.key.hasPrefix("datagram.") || $0.key.hasPrefix("link.failed") }
        #expect(dropped.values.reduce(0, +) > 100, "\(dropped)")
    }

    @Test("peers that send half a message and stop are closed in a bounded time and counted; an idle one may stay")
    func halves() async throws {
        let overlay = try Overlay(clusters: 5, network: 62)
        let group = MultiThreadedEventLoopGroup.singleton
        let address = try NIOCore.SocketAddress(ipAddress: "127.62.0.1", port: 7411)
        let idle = try await Stranger(overlay)
        let server = try await idle.server(1)
        let half = try await HalfFrame(to: address, server.linkKey, group)
        var entropy = Entropy(seed: 62)
        let hello = try StreamInitiator(responder: server.linkKey, entropy: &entropy).firstMessage
        var channels = [half.channel]
        for count in [0, 1, 600] {
            let channel = try await ClientBootstrap(group: group).connect(to: address).get()
            try await channel.writeAndFlush(ByteBuffer(bytes: hello.prefix(count))).get()
            channels.append(channel)
        }
        let leaving = try await ClientBootstrap(group: group).connect(to: address).get()
        try await leaving.writeAndFlush(ByteBuffer(bytes: hello.prefix(600))).get()
        try await leaving.close()

        let closed = Closed()
        for channel in channels { channel.closeFuture.whenComplete { _ in closed.add() } }
        // 10 s for a handshake, 30 for a frame, and a generous while.
        for _ in 0..<300 where closed.count < channels.count { try await Task.sleep(for: .milliseconds(200)) }
        #expect(closed.count == channels.count)
        let counters = try overlay.status(1).counters
        #expect(counters["link.failed.handshake_stalled"] == 3, "\(counters)")
        #expect(counters["link.failed.frame_stalled"] == 1, "\(counters)")
        #expect(counters["link.failed.truncated", default: 0] >= 1, "\(counters)")
        #expect(try await !idle.isClosed)
        idle.close()
    }

    @Test(
        "frames out of place, forged envelopes and forged map messages close or are dropped; replays die with kill -9")
    func frames() async throws {
        let overlay = try Overlay(clusters: 5, network: 71)
        let peer = try await Stranger(overlay)
        let server = try await peer.server(1)
        var entropy = Entropy(seed: 71)
        let before = try overlay.status(1).mix.received
        // All others stand on its list, and each is of another cluster and network.
        try await peer.wait { try overlay.status(1).directory.view.isTrusted }
        #expect(try overlay.status(1).directory.view.sources["bootstrapList"]?.named == 4)

        // Something that ends at the node: accepted once.
        let hop = Hop(node: server.nodeID, key: try #require(server.mixKey(epoch: Timestamp.now().epoch)))
        let envelope = try Wrap.forward(path: [hop], content: [], entropy: &entropy)
        for _ in 0..<3 { peer.send(.envelope, envelope) }
        for _ in 0..<20 { peer.send(.envelope, entropy.array(Geometry.envelopeSize)) }
        for size in [1, 100, 2608] { peer.send(.map, entropy.array(size)) }
        // A summary and a sketch that end after the kind.
        for kind in [1, 7] as [UInt8] { peer.send(.map, [kind]) }
        // Envelopes pass another loop than map messages, so one count says nothing of the other.
        try await peer.wait {
            let status = try overlay.status(1)
            return status.mix.replays >= 2 && status.counters["envelope.refused.mac", default: 0] >= 20
                && status.counters["map.malformed", default: 0] + status.counters["map.from_agents", default: 0] >= 1
        }
        var status = try overlay.status(1)
        #expect(status.mix.received - before >= 1)
        #expect(status.counters["envelope.refused.mac", default: 0] >= 20)
        #expect(status.counters["map.malformed", default: 0] + status.counters["map.from_agents", default: 0] >= 1)

        // An agent has no business sending replies: the link is closed, as for a body of another size than its kind's.
        peer.send(.reply, [UInt8](repeating: 0, count: 2064))
        try await peer.wait { try await peer.isClosed }
        let wrong: [(FrameKind, Int)] = [(.claim, 31), (.envelope, 100), (.map, 0), (.map, 2609)]
        for (kind, size) in wrong {
            let other = try await Stranger(overlay)
            other.send(kind, [UInt8](repeating: 0, count: size))
            try await other.wait { try await other.isClosed }
        }
        let unexpected = try overlay.status(1).counters["frame.unexpected", default: 0]
        #expect(unexpected == 5)

        try overlay.kill(1)
        try overlay.restart()
        let again = try await Stranger(overlay)
        again.send(.envelope, envelope)
        try await again.wait { try overlay.status(1).mix.replays >= 1 }
        try await again.wait { try overlay.status(1).directory.view.sources["lastRun"]?.answered ?? 0 >= 3 }
        let text = try Program.run(["node", "status", "--config", overlay.configuration(1)]).text
        #expect(text.contains("  view       trusted; answered: "), "\(text)")
        status = try overlay.status(1)
        #expect(status.mix.replays >= 1)
        again.close()
    }
}

/// Counts connections that have ended.
private final class Closed: Sendable {
    private let ended = NIOLockedValueBox(0)
    var count: Int { ended.withLockedValue { $0 } }
    func add() { ended.withLockedValue { $0 += 1 } }
}

/// A peer that completes the handshake with its first frame and sends a half of its second.
private struct HalfFrame {
    let channel: any Channel

    init(to address: NIOCore.SocketAddress, _ key: X25519PublicKey, _ group: any EventLoopGroup) async throws {
        var entropy = Entropy.system()
        let initiator = try StreamInitiator(responder: key, entropy: &entropy)
        let second = SecondMessage()
        channel = try await ClientBootstrap(group: group)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(second) }
            }
            .connect(to: address).get()
        try await channel.writeAndFlush(ByteBuffer(bytes: initiator.firstMessage)).get()
        for _ in 0..<500 where !second.isWhole { try await Task.sleep(for: .milliseconds(20)) }
        var session = try initiator.finish(second.message)
        var frame = [UInt8](repeating: 0, count: StreamSession.frameSize)
        try frame.withUnsafeMutableBytes { out in
            try session.seal(
                kind: FrameKind.idle.rawValue, body: UnsafeRawBufferPointer(start: nil, count: 0), into: out)
        }
        let half = entropy.array(StreamSession.frameSize / 2)
        try await channel.writeAndFlush(ByteBuffer(bytes: frame + half)).get()
    }
}

/// Takes the answer to a first message.
private final class SecondMessage: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    private let received = NIOLockedValueBox<[UInt8]>([])

    var message: [UInt8] { Array(received.withLockedValue { $0.prefix(StreamInitiator.secondMessageSize) }) }
    var isWhole: Bool { message.count == StreamInitiator.secondMessageSize }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        received.withLockedValue { $0 += Array(unwrapInboundIn(data).readableBytesView) }
    }
}

/// An anonymous link to the first node of an overlay, or to another.
final class Stranger: @unchecked Sendable {
    // Confined to `loop` except for construction.
    private let loop: any EventLoop
    private var link: StreamLink?
    private var map: MapCore
    private var store = MemoryStore()
    private var entropy = Entropy(seed: 1)
    private var closed = false
    private var counts: [FrameKind: Int] = [:]

    /// - Parameters:
    ///   - number: the cluster's.
    ///   - local: the address to connect from.
    init(_ overlay: Overlay, to number: Int = 1, from local: String? = nil) async throws {
        loop = MultiThreadedEventLoopGroup.singleton.next()
        let list = try BootstrapList(text: String(contentsOfFile: overlay.bootstrap, encoding: .utf8))
        var configuration = MapConfiguration()
        configuration.isAgent = true
        map = try MapCore(
            configuration: configuration, admission: Admission(bootstrap: list), now: .now(), store: store)
        let first = list.links[number - 1]
        let address = try #require(first.address).nio()
        let local = try local.map { try NIOCore.SocketAddress(ipAddress: $0, port: 0) }
        let connected = loop.makePromise(of: Void.self)
        StreamLink.connect(to: .address(address), peer: first.linkKey, identity: nil, local: local, group: loop) {
            event in
            switch event {
            case .established(let link, _):
                self.link = link
                self.handle(.linkUp(link: link.id, peer: NodeID()))
                connected.succeed(())
            case .frame(let link, let kind, let body):
                if FrameKind(rawValue: kind) == .map { self.handle(.message(link: link.id, body)) }
                if let kind = FrameKind(rawValue: kind) { self.counts[kind, default: 0] += 1 }
            case .closed:
                self.closed = true
                connected.fail(ChannelError.eof)
            case .writable: break
            }
        }
        try await connected.futureResult.get()
    }

    private func handle(_ event: MapEvent) {
        let effects = (try? map.handle(event, now: .now(), entropy: &entropy, store: &store)) ?? []
        for case .send(_, let body) in effects { link?.send(kind: .map, body: body) }
    }

    func send(_ kind: FrameKind, _ body: [UInt8]) { loop.execute { self.link?.send(kind: kind, body: body) } }

    func close() { loop.execute { self.link?.close() } }

    var isClosed: Bool { get async throws { try await loop.submit { self.closed }.get() } }

    /// Sends all, no faster than the socket takes them.
    func flood(_ kind: FrameKind, _ bodies: [[UInt8]]) async throws {
        for body in bodies {
            while true {
                let (isFull, isClosed) = try await loop.submit { (!(self.link?.isWritable ?? true), self.closed) }.get()
                if isClosed { return }
                guard isFull else { break }
                try await Task.sleep(for: .milliseconds(20))
            }
            send(kind, body)
        }
    }

    /// Frames of a kind that have come.
    func count(of kind: FrameKind) async throws -> Int { try await loop.submit { self.counts[kind] ?? 0 }.get() }

    /// The servers of the map, once there are five.
    func servers() async throws -> [ServerDescriptor] {
        for _ in 0..<500 {
            let servers = try await loop.submit { self.map.currentServers(at: .now()) }.get()
            if servers.count >= 5 { return servers }
            try await Task.sleep(for: .milliseconds(20))
        }
        return try #require(nil as [ServerDescriptor]?, "the map did not come")
    }

    /// The server at the other end of the link.
    func server(_ number: Int) async throws -> ServerDescriptor {
        for _ in 0..<500 {
            let servers = try await loop.submit { self.map.currentServers(at: .now()) }.get()
            if servers.count >= 5, let peer = link?.remote.flatMap({ Wire.SocketAddress($0) }),
                let found = servers.first(where: { $0.tcp == peer })
            {
                return found
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        return try #require(nil as ServerDescriptor?, "the map did not come")
    }

    /// Waits until `condition` holds, at most a generous while.
    func wait(_ condition: () async throws -> Bool) async throws {
        for _ in 0..<300 {
            if try await condition() { return }
            try await Task.sleep(for: .milliseconds(50))
        }
        Issue.record("the condition did not come about")
    }
}
