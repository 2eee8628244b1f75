import Link
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Primitives
import Testing
import Transport

/// What a test sees of links that somebody opened to it.
private final class Seen: Sendable {
    struct State {
        var established = 0
        var closed: [LinkError?] = []
        var links: [StreamLink] = []
    }
    let state = NIOLockedValueBox(State())

    func take(_ event: StreamEvent) {
        state.withLockedValue { state in
            switch event {
            case .established(let link, _):
                state.established += 1
                state.links.append(link)
            case .closed(_, let reason): state.closed.append(reason)
            case .frame, .writable: break
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

    private func serve(_ key: LinkKey, _ seen: Seen, _ guests: GuestBook = GuestBook()) async throws -> any Channel {
        try await StreamLink.serve(
            try SocketAddress(ipAddress: "127.0.0.1", port: 0), key: key, group: group, guests: guests
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

    @Test("is closed when its other end leaves more than eight mebibytes unread")
    func slowReader() async throws {
        let key = key(4)
        let server = Seen()
        let listener = try await serve(key, server)
        // A peer that completes the handshake by hand and never reads again.
        var entropy = Entropy(seed: 5)
        let initiator = try StreamInitiator(responder: key.publicKey, entropy: &entropy)
        let hello = initiator.firstMessage
        let channel = try await ClientBootstrap(group: group)
            .channelOption(ChannelOptions.autoRead, value: false)
            .channelOption(ChannelOptions.socketOption(.so_rcvbuf), value: 4096)
            .connect(to: try #require(listener.localAddress)).get()
        try await channel.writeAndFlush(ByteBuffer(bytes: hello)).get()
        try await server.wait("the handshake") { $0.established == 1 }
        let link = try #require(server.state.withLockedValue { $0.links.first })
        let body = [UInt8](repeating: 1, count: StreamSession.bodyLimit)
        for _ in 0..<8000 { link.send(kind: .map, body: body) }
        try await server.wait("the end of the link") { $0.closed == [.overloaded] }
        try? await channel.close().get()
        try await listener.close()
    }
}
