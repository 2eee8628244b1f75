import Glibc
import Link
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Primitives
import Testing

@testable import Transport

@Suite("An address of this machine")
struct LocalAddressTests {
    @Test("is told from one that it does not have, of both families, whatever the port")
    func existence() throws {
        for (address, isOwn) in [
            ("127.0.0.1", true), ("127.9.8.7", true), ("0.0.0.0", true), ("203.0.113.7", false), ("2001:db8::7", false),
        ] {
            for port in [0, 1, 65_535] {
                let socket = try SocketAddress(ipAddress: address, port: port)
                #expect(LocalAddress.exists(socket) == isOwn, "\(address):\(port)")
            }
        }
    }

    @Test("a link's system gives up what is not acknowledged after as long as the link was told")
    func acknowledgement() async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        var entropy = Entropy(seed: 171)
        let key = LinkKey(X25519PrivateKey(&entropy))
        let server = try await StreamLink.serve(
            try SocketAddress(ipAddress: "127.0.0.1", port: 0), key: key, group: group
        ) { _ in }
        let address = try #require(server.localAddress)
        for (given, expected) in [(TimeAmount.seconds(4), 4000), (nil, 0)] as [(TimeAmount?, Int)] {
            var patience = StreamLink.Patience()
            patience.acknowledgement = given
            let link = try await withCheckedThrowingContinuation {
                (waiting: CheckedContinuation<StreamLink, any Error>) in
                let isOver = NIOLockedValueBox(false)
                StreamLink.connect(
                    to: .address(address), peer: key.publicKey, identity: nil, group: group, patience: patience
                ) { event in
                    let isFirst = isOver.withLockedValue { value in
                        defer { value = true }
                        return !value
                    }
                    guard isFirst else { return }
                    switch event {
                    case .established(let link, _): waiting.resume(returning: link)
                    default: waiting.resume(throwing: ChannelError.eof)
                    }
                }
            }
            let option = ChannelOptions.tcpOption(.init(rawValue: TCP_USER_TIMEOUT))
            #expect(try await link.channel.getOption(option).get() == expected)
            link.close()
        }
        try await server.close().get()
    }
}
