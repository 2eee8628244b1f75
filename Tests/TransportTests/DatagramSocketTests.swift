import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Primitives
import Testing
import Transport
import Wire

@Suite("A datagram socket")
struct DatagramSocketTests {
    private typealias Datagram = (bytes: [UInt8], from: Wire.SocketAddress)

    @Test("carries datagrams whole and in order, over IPv4 and IPv6, and outlives what the system refuses to send")
    func bursts() async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        for host in ["127.0.0.1", "::1"] {
            let received = NIOLockedValueBox<[Datagram]>([])
            let address = try NIOCore.SocketAddress(ipAddress: host, port: 0)
            let target = try await DatagramSocket.bind(address, loop: group.next()) { bytes, from in
                received.withLockedValue { $0.append((bytes, from)) }
            }
            let source = try await DatagramSocket.bind(address, loop: group.next()) { _, _ in }
            let place = try #require(target.channel.localAddress.flatMap { Wire.SocketAddress($0) })
            let own = try #require(source.channel.localAddress.flatMap { Wire.SocketAddress($0) })
            let sent = (0..<60).map { number in [UInt8](repeating: UInt8(number), count: 1 + number * 20) }
            source.channel.eventLoop.execute {
                for bytes in sent { source.send(bytes, to: place) }
            }
            for _ in 0..<600 where received.withLockedValue({ $0.count }) < sent.count {
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(received.withLockedValue { $0.map(\.bytes) } == sent)
            #expect(received.withLockedValue { $0.allSatisfy { $0.from == own } })

            // To addresses that the system refuses, of either kind: the one after them still arrives.
            for refused in ["[::]:0", "0.0.0.0:0", "255.255.255.255:9", "[ff0e::1]:9", "127.0.0.1:0", "[::1]:0"] {
                let parsed = Wire.SocketAddress(text: refused)
                source.send([1], to: try #require(parsed))
            }
            source.send([UInt8](repeating: 0, count: 70_000), to: place)
            source.send([2], to: place)
            for _ in 0..<600 where received.withLockedValue({ $0.count }) < sent.count + 1 {
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(received.withLockedValue { $0.last?.bytes } == [2])
            try await target.channel.close()
            try await source.channel.close()
        }
    }

    @Test("on all addresses of the machine answers callers of both kinds")
    func dualStack() async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        let received = NIOLockedValueBox<[Datagram]>([])
        let loop = group.next()
        let all = try await DatagramSocket.bind(NIOCore.SocketAddress(ipAddress: "::", port: 0), loop: loop) {
            bytes, from in received.withLockedValue { $0.append((bytes, from)) }
        }
        let port = try #require(all.channel.localAddress?.port)
        for (number, host) in ["127.0.0.1", "::1"].enumerated() {
            let answers = NIOLockedValueBox<[[UInt8]]>([])
            let own = try await DatagramSocket.bind(
                NIOCore.SocketAddress(ipAddress: host, port: 0), loop: group.next()
            ) { bytes, _ in answers.withLockedValue { $0.append(bytes) } }
            let place = Wire.SocketAddress(try NIOCore.SocketAddress(ipAddress: host, port: port))
            own.send([UInt8(number)], to: try #require(place))
            for _ in 0..<600 where received.withLockedValue({ $0.count }) <= number {
                try await Task.sleep(for: .milliseconds(10))
            }
            let request = try #require(received.withLockedValue { $0.last })
            #expect(request.from == own.channel.localAddress.flatMap { Wire.SocketAddress($0) })
            all.send(request.bytes + [7], to: request.from)
            for _ in 0..<600 where answers.withLockedValue({ $0.isEmpty }) {
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(answers.withLockedValue { $0 } == [[UInt8(number), 7]])
            try await own.channel.close()
        }
        try await all.channel.close()
    }

    @Test("addresses are the same as SwiftNIO's, both ways")
    func addresses() throws {
        for text in ["192.0.2.1:7411", "[2001:db8:0:1:2:3:4:5]:1", "[::]:9", "0.0.0.0:65535"] {
            let parsed = Wire.SocketAddress(text: text)
            let address = try #require(parsed)
            #expect(Wire.SocketAddress(try address.nio()) == address)
            #expect(try address.nio().port == Int(address.port))
        }
    }
}
