import Link
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Primitives
import Testing

@testable import Transport

/// What a test sees of links that somebody opened to it.
private final class Seen: Sendable {
    struct State {
        var established = 0
        var closed: [LinkError?] = []
        var links: [StreamLink] = []
        var frames = 0
    }
    let state = NIOLockedValueBox(State())

    func take(_ event: StreamEvent) {
        state.withLockedValue { state in
            switch event {
            case .established(let link, _):
                state.established += 1
                state.links.append(link)
            case .closed(_, let reason): state.closed.append(reason)
            case .frame: state.frames += 1
            case .writable: break
            }
        }
    }

    /// Waits until `condition` holds, for a generous while.
    func wait(_ wish: Comment, _ condition: (State) -> Bool) async throws {
        for _ in 0..<600 {
            if state.withLockedValue({ condition($0) }) { return }
            try await Task.sleep(for: .milliseconds(20))
        }
        Issue.record("\(wish) did not come about: \(state.withLockedValue { $0 })")
    }
}

@Suite("A stream link", .serialized)
struct StreamLinkTests {
    private let group = MultiThreadedEventLoopGroup.singleton

    private func key(_ seed: UInt64) -> LinkKey {
        var entropy = Entropy(seed: seed)
        return LinkKey(X25519PrivateKey(&entropy))
    }

    private func serve(
        _ key: LinkKey, _ seen: Seen, _ guests: GuestBook = GuestBook(), _ patience: StreamLink.Patience = .init()
    ) async throws -> any Channel {
        try await StreamLink.serve(
            try SocketAddress(ipAddress: "127.0.0.1", port: 0), key: key, group: group, guests: guests,
            patience: patience
        ) { seen.take($0) }
    }

    @Test("leads to a host name as well as to an address")
    func names() async throws {
        let key = key(1)
        let (server, client) = (Seen(), Seen())
        let listener = try await serve(key, server)
        let address = try #require(listener.localAddress)
        let port = UInt16(try #require(address.port))
        for place in [
            StreamLink.Place.address(address), .name("127.0.0.1", port: port), .name("localhost", port: port),
        ] {
            StreamLink.connect(to: place, peer: key.publicKey, identity: nil, group: group) { client.take($0) }
        }
        try await client.wait("three links") { $0.established == 3 }
        StreamLink.connect(
            to: .name("no-such-host.invalid", port: port), peer: key.publicKey, identity: nil, group: group
        ) {
            client.take($0)
        }
        try await client.wait("the failure of the fourth") { $0.closed.count == 1 }
        try await listener.close()
    }

    @Test("that cannot be opened fails in a later turn, so that trying again at once does not recurse")
    func failure() async throws {
        let loop = group.next()
        let key = key(2).publicKey
        let nowhere = try SocketAddress(ipAddress: "127.0.0.1", port: 9)
        // An address that no interface of this machine has: the system refuses before anything is sent.
        let foreign = try SocketAddress(ipAddress: "192.0.2.1", port: 0)
        let depth = NIOLockedValueBox((now: 0, most: 0, tries: 0))
        @Sendable func attempt() {
            depth.withLockedValue {
                $0.now += 1
                $0.most = max($0.most, $0.now)
                $0.tries += 1
            }
            StreamLink.connect(to: .address(nowhere), peer: key, identity: nil, local: foreign, group: loop) { _ in
                if depth.withLockedValue({ $0.tries }) < 200 { attempt() }
            }
            depth.withLockedValue { $0.now -= 1 }
        }
        loop.execute { attempt() }
        for _ in 0..<600 where depth.withLockedValue({ $0.tries }) < 200 {
            try await Task.sleep(for: .milliseconds(20))
        }
        #expect(depth.withLockedValue { $0.tries } == 200)
        #expect(depth.withLockedValue { $0.most } == 1)
    }

    @Test("is one of a bounded number, in all and from one address; the rest are closed at once and reported")
    func guests() async throws {
        let key = key(3)
        for guests in [GuestBook(limit: 3), GuestBook(limit: 100, placeLimit: 3)] {
            let (server, client) = (Seen(), Seen())
            let listener = try await serve(key, server, guests)
            let place = StreamLink.Place.address(try #require(listener.localAddress))
            for _ in 0..<8 {
                StreamLink.connect(to: place, peer: key.publicKey, identity: nil, group: group) { client.take($0) }
            }
            try await server.wait("five refusals") { $0.closed.count { $0 == .overloaded } == 5 }
            try await client.wait("three links") { $0.established == 3 && $0.closed.count == 5 }
            #expect(guests.count == 3)

            // Who leaves makes room.
            client.state.withLockedValue { $0.links }.first?.close()
            for _ in 0..<600 where guests.count > 2 { try await Task.sleep(for: .milliseconds(20)) }
            StreamLink.connect(to: place, peer: key.publicKey, identity: nil, group: group) { client.take($0) }
            try await client.wait("a fourth link") { $0.established == 4 }
            try await listener.close()
            for link in client.state.withLockedValue({ $0.links }) { link.close() }
        }
    }

    /// Opens a link and sends frames: map messages and others alternate.
    private func send(
        _ count: Int, _ kinds: [FrameKind], pace: @escaping StreamLink.Pace,
        until isDone: @escaping @Sendable (Seen.State) -> Bool
    ) async throws -> Seen {
        let key = key(11)
        let (server, client) = (Seen(), Seen())
        let listener = try await StreamLink.serve(
            try SocketAddress(ipAddress: "127.0.0.1", port: 0), key: key, group: group, pace: pace
        ) { server.take($0) }
        let identity = self.key(12)
        StreamLink.connect(
            to: .address(try #require(listener.localAddress)), peer: key.publicKey, identity: identity, group: group
        ) { client.take($0) }
        try await client.wait("the handshake") { $0.established == 1 }
        let link = try #require(client.state.withLockedValue { $0.links.first })
        for index in 0..<count { link.send(kind: kinds[index % kinds.count], body: [UInt8](repeating: 1, count: 2000)) }
        try await server.wait("the frames", isDone)
        link.close()
        try await listener.close()
        return server
    }

    @Test("that is ahead of its pace is left unread, and nothing of it is lost")
    func pace() async throws {
        let slow = FramePace(perSecond: 0.001, burst: 5)
        let some = try await send(40, [.envelope], pace: { _, _ in slow }, until: { $0.frames == 5 })
        #expect(some.state.withLockedValue { $0.frames == 5 && $0.closed.allSatisfy { $0 == nil } })
        let fast = FramePace(perSecond: 100, burst: 5)
        _ = try await send(60, [.envelope], pace: { _, _ in fast }, until: { $0.frames == 61 })
        // Map messages have budgets of their own.
        _ = try await send(60, [.map], pace: { _, _ in slow }, until: { $0.frames == 61 })
    }

    @Test("has no pace any more when its other end turns out to be a server")
    func paceEnds() async throws {
        let asked = NIOLockedValueBox(0)
        let identity = key(12).publicKey
        let server = try await send(
            60, [.envelope, .map],
            pace: { peer, _ in
                #expect(peer == identity)
                let count = asked.withLockedValue { asked in
                    asked += 1
                    return asked
                }
                return count == 1 ? FramePace(perSecond: 0.001, burst: 5) : nil
            }, until: { $0.frames == 61 })
        #expect(server.state.withLockedValue { $0.frames } == 61)
        #expect(asked.withLockedValue { $0 } == 2)
    }

    @Test("is closed when its other end leaves more than eight mebibytes unread")
    func slowReader() async throws {
        let key = key(4)
        let server = Seen()
        let listener = try await serve(key, server)
        // A peer that completes the handshake by hand and then never reads again.
        let peer = try await ByHand(to: try #require(listener.localAddress), key.publicKey, group)
        try await peer.channel.setOption(ChannelOptions.autoRead, value: false).get()
        try await peer.send(peer.frames[0])
        try await server.wait("the handshake") { $0.established == 1 }
        let link = try #require(server.state.withLockedValue { $0.links.first })
        let body = [UInt8](repeating: 1, count: StreamSession.bodyLimit)
        for _ in 0..<8000 { link.send(kind: .map, body: body) }
        try await server.wait("the end of the link") { $0.closed == [.overloaded] }
        try? await peer.channel.close().get()
        try await listener.close()
    }

    @Test(
        "is closed when the other ends of one place, or all of them, leave too much unread together",
        arguments: [true, false])
    func slowReaders(ofOnePlace: Bool) async throws {
        let key = key(14)
        let server = Seen()
        let bound = 6 << 20
        let guests =
            ofOnePlace
            ? GuestBook(placeBacklogLimit: bound) : GuestBook(backlogLimit: bound, placeBacklogLimit: 1 << 40)
        let listener = try await serve(key, server, guests)
        var peers: [ByHand] = []
        for _ in 0..<8 {
            let peer = try await ByHand(to: try #require(listener.localAddress), key.publicKey, group)
            try await peer.channel.setOption(ChannelOptions.autoRead, value: false).get()
            try await peer.send(peer.frames[0])
            peers.append(peer)
        }
        try await server.wait("the handshakes") { $0.established == 8 }
        // For none of them alone is it too much; and a part waits in the kernel.
        let body = [UInt8](repeating: 1, count: StreamSession.bodyLimit)
        for link in server.state.withLockedValue({ $0.links }) {
            for _ in 0..<2000 { link.send(kind: .map, body: body) }
        }
        try await server.wait("the end of a link") { $0.closed.contains(.overloaded) }
        // A channel's close comes a little after its end is reported.
        for _ in 0..<500 where guests.backlog > bound || guests.count == 8 {
            try await Task.sleep(for: .milliseconds(20))
        }
        #expect(guests.backlog <= bound)
        // A link's place is free a moment after its end was told.
        for _ in 0..<500 where guests.count == 8 { try await Task.sleep(for: .milliseconds(20)) }
        #expect(guests.count > 0 && guests.count < 8)
        for peer in peers { try? await peer.channel.close().get() }
        for _ in 0..<500 where guests.count > 0 { try await Task.sleep(for: .milliseconds(20)) }
        #expect(guests.count == 0 && guests.backlog == 0)
        try await listener.close()
    }

    @Test("is closed as stalled when its handshake is begun, or not even that, and does not get on")
    func stalledHandshake() async throws {
        let key = key(6)
        let (server, client) = (Seen(), Seen())
        var patience = StreamLink.Patience()
        patience.handshake = .milliseconds(300)
        let listener = try await serve(key, server, GuestBook(), patience)
        let address = try #require(listener.localAddress)
        var entropy = Entropy(seed: 7)
        let hello = try StreamInitiator(responder: key.publicKey, entropy: &entropy).firstMessage
        for count in [0, 1, hello.count - 1] {
            let channel = try await ClientBootstrap(group: group).connect(to: address).get()
            try await channel.writeAndFlush(ByteBuffer(bytes: hello.prefix(count))).get()
        }
        try await server.wait("three stalled handshakes") { $0.closed.count == 3 }
        #expect(server.state.withLockedValue { $0.closed } == Array(repeating: .handshakeStalled, count: 3))
        #expect(server.state.withLockedValue { $0.established } == 0)
        try await listener.close()

        // Nor does a server that takes the connection and says nothing hold up whoever opened it.
        let mute = try await ServerBootstrap(group: group).bind(to: try SocketAddress(ipAddress: "127.0.0.1", port: 0))
            .get()
        StreamLink.connect(
            to: .address(try #require(mute.localAddress)), peer: key.publicKey, identity: nil, group: group,
            patience: patience
        ) { client.take($0) }
        try await client.wait("the end of the link") { $0.closed == [.handshakeStalled] }
        try await mute.close()
    }

    @Test(
        "that is a recording of another, or of its first message, is answered as a handshake has to be and never comes about"
    )
    func recording() async throws {
        let (key, identity) = (key(11), key(12))
        let (server, client) = (Seen(), Seen())
        var patience = StreamLink.Patience()
        patience.handshake = .milliseconds(500)
        let listener = try await serve(key, server, GuestBook(), patience)
        let address = try #require(listener.localAddress)
        let recorder = try await Recorder(before: address, group)
        StreamLink.connect(to: .address(recorder.address), peer: key.publicKey, identity: identity, group: group) {
            client.take($0)
        }
        // Comes about although neither side has anything to say.
        try await server.wait("the link") { $0.established == 1 && $0.frames == 1 }
        let link = try #require(client.state.withLockedValue { $0.links.first })
        link.send(kind: .map, body: [1, 2, 3])
        try await server.wait("its frames") { $0.frames == 2 }
        let recording = recorder.recording
        let first = try #require(StreamResponder.firstMessageSize(startingWith: 1))
        #expect(recording.count == first + 2 * StreamSession.frameSize)

        for (count, reason) in [(first, LinkError.handshakeStalled), (recording.count, .authenticationFailed)] {
            server.state.withLockedValue { $0 = .init() }
            let answer = NIOLockedValueBox<[UInt8]>([])
            let channel = try await ClientBootstrap(group: group)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(Collector(answer))
                    }
                }
                .connect(to: address).get()
            try await channel.writeAndFlush(ByteBuffer(bytes: recording.prefix(count))).get()
            try await server.wait("the end of the link") { $0.closed == [reason] }
            try await channel.closeFuture.get()
            #expect(server.state.withLockedValue { $0.established == 0 && $0.frames == 0 })
            #expect(answer.withLockedValue { $0.count } == StreamInitiator.secondMessageSize)
        }
        link.close()
        try await recorder.close()
        try await listener.close()
    }

    @Test("is closed as stalled when a frame is begun and not ended in time, byte by byte too; idle it stays")
    func stalledFrame() async throws {
        let key = key(8)
        var patience = StreamLink.Patience()
        patience.frame = .milliseconds(400)
        for count in [1, 2000] {
            let server = Seen()
            let listener = try await serve(key, server, GuestBook(), patience)
            let peer = try await ByHand(to: try #require(listener.localAddress), key.publicKey, group)
            try await peer.send(peer.frames[0])
            try await server.wait("the handshake") { $0.established == 1 }
            try await Task.sleep(for: .milliseconds(1200))
            #expect(server.state.withLockedValue { $0.frames == 1 && $0.closed.isEmpty })
            // A whole one and a part of the next, and then a byte now and again.
            try await peer.send(peer.frames[1] + peer.frames[2].prefix(count))
            for byte in peer.frames[2].dropFirst(count).prefix(20) {
                guard server.state.withLockedValue({ $0.closed.isEmpty }) else { break }
                try? await peer.send([byte])
                try await Task.sleep(for: .milliseconds(100))
            }
            try await server.wait("the end of the link") { $0.closed == [.frameStalled] }
            #expect(server.state.withLockedValue { $0.frames } == 2)
            try await listener.close()
        }
    }

    @Test("that ends within a message is truncated, and one that ends between two is not; nor one that this side ends")
    func truncated() async throws {
        let key = key(9)
        let server = Seen()
        let listener = try await serve(key, server)
        let address = try #require(listener.localAddress)
        for (count, reason) in [(0, nil), (100, LinkError.truncated)] {
            let stranger = try await ClientBootstrap(group: group).connect(to: address).get()
            try await stranger.writeAndFlush(ByteBuffer(bytes: [UInt8](repeating: 1, count: count))).get()
            try await stranger.close()
            let peer = try await ByHand(to: address, key.publicKey, group)
            try await peer.send(peer.frames[0] + peer.frames[1].prefix(count))
            try await peer.channel.close()
            try await server.wait("the end of both links") { $0.closed.count == 2 }
            #expect(server.state.withLockedValue { $0.closed } == [reason, reason])
            server.state.withLockedValue { $0 = .init() }
        }
        let peer = try await ByHand(to: address, key.publicKey, group)
        try await peer.send(peer.frames[0] + peer.frames[1].prefix(100))
        try await server.wait("a frame") { $0.frames == 1 }
        server.state.withLockedValue { $0.links }.first?.close()
        try await server.wait("the end of the link") { $0.closed == [nil] }
        try await listener.close()
    }
}

/// A peer that completes the handshake by hand and then sends what bytes it likes.
private struct ByHand {
    let channel: any Channel
    /// Frames in their order, each of which authenticates once.
    let frames: [[UInt8]]

    init(to address: SocketAddress, _ key: X25519PublicKey, _ group: any EventLoopGroup) async throws {
        var entropy = Entropy(seed: 10)
        let box = try InitiatorBox(identity: nil, peer: key)
        let answer = NIOLockedValueBox<[UInt8]>([])
        channel = try await ClientBootstrap(group: group)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Collector(answer))
                }
            }
            .connect(to: address).get()
        try await channel.writeAndFlush(ByteBuffer(bytes: box.firstMessage)).get()
        for _ in 0..<600 where answer.withLockedValue({ $0.count }) < StreamInitiator.secondMessageSize {
            try await Task.sleep(for: .milliseconds(20))
        }
        var session = try box.finish(answer.withLockedValue { $0 })
        var frames: [[UInt8]] = []
        for _ in 0..<3 {
            var frame = [UInt8](repeating: 0, count: StreamSession.frameSize)
            let body = entropy.array(100)
            try frame.withUnsafeMutableBytes { out in
                try body.withUnsafeBytes { try session.seal(kind: FrameKind.idle.rawValue, body: $0, into: out) }
            }
            frames.append(frame)
        }
        self.frames = frames
    }

    func send(_ bytes: some Sequence<UInt8>) async throws {
        try await channel.writeAndFlush(ByteBuffer(bytes: bytes)).get()
    }
}

private final class Collector: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    private let bytes: NIOLockedValueBox<[UInt8]>

    init(_ bytes: NIOLockedValueBox<[UInt8]>) { self.bytes = bytes }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        bytes.withLockedValue { $0 += Array(unwrapInboundIn(data).readableBytesView) }
    }
}

/// Stands between two ends of one connection, passes on what each sends, and keeps what the first one sent.
private final class Recorder: Sendable {
    private let listener: any Channel
    private let bytes: NIOLockedValueBox<[UInt8]>
    let address: SocketAddress

    var recording: [UInt8] { bytes.withLockedValue { $0 } }

    init(before target: SocketAddress, _ group: any EventLoopGroup) async throws {
        let bytes = NIOLockedValueBox<[UInt8]>([])
        self.bytes = bytes
        let loop = group.next()
        listener = try await ServerBootstrap(group: loop)
            .childChannelInitializer { near in
                ClientBootstrap(group: near.eventLoop)
                    .channelInitializer { far in
                        far.eventLoop.makeCompletedFuture {
                            try far.pipeline.syncOperations.addHandler(PassOn(to: near, nil))
                        }
                    }
                    .connect(to: target).flatMap { far in near.pipeline.addHandler(PassOn(to: far, bytes)) }
            }
            .bind(to: try SocketAddress(ipAddress: "127.0.0.1", port: 0)).get()
        guard let address = listener.localAddress else { throw ChannelError.unknownLocalAddress }
        self.address = address
    }

    func close() async throws { try await listener.close() }
}

/// Passes on what comes, and the end.
private final class PassOn: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    private let other: any Channel
    private let record: NIOLockedValueBox<[UInt8]>?

    init(to other: any Channel, _ record: NIOLockedValueBox<[UInt8]>?) {
        self.other = other
        self.record = record
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = unwrapInboundIn(data)
        record?.withLockedValue { $0 += Array(buffer.readableBytesView) }
        other.writeAndFlush(buffer, promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) { other.close(promise: nil) }
}
