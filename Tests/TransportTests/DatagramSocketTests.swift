import NIOConcurrencyHelpers
import NIOCore
import Primitives
import Testing
import Transport
import Wire

@Suite("A datagram socket")
struct DatagramSocketTests {
    private typealias Datagram = (bytes: [UInt8], from: Wire.SocketAddress)

    /// A loop with a socket, and what it has received.
    private struct Endpoint {
        let loop: DatagramLoop
        let socket: DatagramSocket
        let received = NIOLockedValueBox<[Datagram]>([])

        init(_ host: String, port: Int = 0) throws {
            let parsed = Wire.SocketAddress(text: "\(host):\(port)")
            socket = try DatagramSocket(try #require(parsed))
            loop = try DatagramLoop()
            try loop.start()
            let (loop, socket, received) = (loop, socket, received)
            loop.execute {
                loop.serve(socket) { bytes, from in received.withLockedValue { $0.append((bytes, from)) } }
            }
        }

        func send(_ datagrams: [[UInt8]], to address: Wire.SocketAddress) {
            let loop = loop
            loop.execute { for bytes in datagrams { loop.send(bytes, to: address) } }
        }

        func wait(for count: Int) async throws {
            for _ in 0..<600 where received.withLockedValue({ $0.count }) < count {
                try await Task.sleep(for: .milliseconds(10))
            }
        }
    }

    @Test("carries datagrams whole and in order, over IPv4 and IPv6, and outlives what the system refuses to send")
    func bursts() async throws {
        for host in ["127.0.0.1", "[::1]"] {
            let target = try Endpoint(host)
            let source = try Endpoint(host)
            let sent = (0..<60).map { number in [UInt8](repeating: UInt8(number), count: number * 20) }
            source.send(sent, to: target.socket.address)
            try await target.wait(for: sent.count)
            #expect(target.received.withLockedValue { $0.map(\.bytes) } == sent)
            #expect(target.received.withLockedValue { $0.allSatisfy { $0.from == source.socket.address } })

            // To addresses that the system refuses, of either kind: the one after them still arrives.
            for refused in ["[::]:0", "0.0.0.0:0", "255.255.255.255:9", "[ff0e::1]:9", "127.0.0.1:0", "[::1]:0"] {
                let parsed = Wire.SocketAddress(text: refused)
                source.send([[1]], to: try #require(parsed))
            }
            source.send([[UInt8](repeating: 0, count: 70_000), [2]], to: target.socket.address)
            try await target.wait(for: sent.count + 1)
            #expect(target.received.withLockedValue { $0.last?.bytes } == [2])
            await target.loop.stop()
            await source.loop.stop()
        }
    }

    @Test("cuts what is longer than any datagram of the protocol")
    func oversized() async throws {
        let (target, source) = (try Endpoint("127.0.0.1"), try Endpoint("127.0.0.1"))
        source.send([[UInt8](repeating: 3, count: 9000), [4]], to: target.socket.address)
        try await target.wait(for: 2)
        #expect(target.received.withLockedValue { $0.map(\.bytes) } == [[UInt8](repeating: 3, count: 1536), [4]])
        await target.loop.stop()
        await source.loop.stop()
    }

    @Test("on all addresses of the machine answers callers of both kinds")
    func dualStack() async throws {
        let all = try Endpoint("[::]")
        for (number, host) in ["127.0.0.1", "[::1]"].enumerated() {
            let own = try Endpoint(host)
            let place = Wire.SocketAddress(text: "\(host):\(all.socket.address.port)")
            own.send([[UInt8(number)]], to: try #require(place))
            try await all.wait(for: number + 1)
            let request = try #require(all.received.withLockedValue { $0.last })
            #expect(request.from == own.socket.address)
            all.send([request.bytes + [7]], to: request.from)
            try await own.wait(for: 1)
            #expect(own.received.withLockedValue { $0.map(\.bytes) } == [[UInt8(number), 7]])
            await own.loop.stop()
        }
        await all.loop.stop()
    }

    @Test("a second one at the same place is refused, until the first is closed")
    func occupied() async throws {
        let first = try Endpoint("127.0.0.1")
        let place = first.socket.address
        #expect(throws: IOError.self) { try DatagramSocket(place) }
        await first.loop.stop()
        let second = try DatagramSocket(place)
        #expect(second.address == place)
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
