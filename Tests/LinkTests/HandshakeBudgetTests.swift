import Primitives
import Testing
import Wire

@testable import Link

@Suite("The budget for handshakes")
struct HandshakeBudgetTests {
    private let now = Timestamp(seconds: 1_700_000_000)

    private func responder() -> DatagramNode {
        var bounds = DatagramBounds()
        bounds.handshakesPerSecond = 8
        bounds.handshakesPerSecondAtMost = 20
        bounds.prefixHandshakesPerSecond = 2
        bounds.prefixHandshakesPerSecondAtMost = 5
        return DatagramNode(2, bounds: bounds)
    }

    /// A new caller's call from this address, with a cookie where it is asked for one.
    /// - Returns: the types of what the responder sent.
    private func call(
        _ number: UInt64, _ peer: DatagramNode, from address: SocketAddress, at now: Timestamp
    ) -> [UInt8] {
        let caller = DatagramNode(number)
        var sent = caller.call(number, peer, [UInt8(truncatingIfNeeded: number)], now: now)
        var types: [UInt8] = []
        for _ in 0..<2 {
            guard var datagram = sent.first else { break }
            datagram.source = address
            let answers = peer.receive(datagram, now: now)
            types += answers.map { $0.type }
            #expect(answers.allSatisfy { $0.destination == address && $0.bytes.count <= datagram.bytes.count })
            sent = answers.flatMap { caller.receive($0, now: now) }
        }
        return types
    }

    @Test("a flood from one IPv4 /24 or IPv6 /48 that answers cookies leaves the others theirs, and is counted")
    func flood() {
        let v6: [UInt8] = [0x20, 0x01, 0x0d, 0xb8, 0, 1] + [UInt8](repeating: 0, count: 9)
        func far(_ last: UInt8) -> SocketAddress {
            SocketAddress(address: Bytes16(v6 + [last]) ?? Bytes16(), port: 4000)
        }
        func near(_ third: UInt8, _ last: UInt8) -> SocketAddress {
            SocketAddress(v4: (10, 0, third, last), port: 4000)
        }
        for flooders in [(0..<30).map { near(0, $0) }, (0..<30).map { far($0) }] as [[SocketAddress]] {
            let peer = responder()
            let flood = flooders.enumerated().map { call(100 + UInt64($0), peer, from: $1, at: now) }
            #expect(flood == [[2], [2]] + Array(repeating: [3, 2], count: 5) + Array(repeating: [3], count: 23))
            #expect(peer.endpoint.counters.overPrefix == 23 && peer.endpoint.counters.overloaded == 0)
            let others = [1, 2, 3].map { call(200 + UInt64($0), peer, from: near($0, 1), at: now) }
            #expect(others == [[2], [3, 2], [3, 2]])
            // The prefix has its share again; also when the clock has gone back.
            #expect(call(300, peer, from: flooders[0], at: now.adding(seconds: 1)) == [2])
            let back = Timestamp(milliseconds: now.milliseconds - 86_400_000)
            #expect([301, 302, 303].map { call($0, peer, from: flooders[0], at: back) } == [[2], [2], [3, 2]])
        }
    }

    @Test("who forges the addresses of a prefix makes its others show cookies, and keeps none of them out")
    func forged() {
        let peer = responder()
        for number in 0..<40 as Range<UInt64> {
            var first = DatagramNode(100 + number).call(number, peer, [1], now: now)[0]
            first.source = SocketAddress(v4: (10, 0, 1, UInt8(number)), port: 4000)
            _ = peer.receive(first, now: now)
        }
        #expect(peer.endpoint.counters.handshakes == 2 && peer.endpoint.counters.cookiesSent == 38)
        #expect(call(200, peer, from: SocketAddress(v4: (10, 0, 1, 200), port: 4000), at: now) == [3, 2])
        #expect(call(201, peer, from: SocketAddress(v4: (10, 0, 2, 1), port: 4000), at: now) == [2])
    }

    @Test("a cookie proves its address, a first message without one or from elsewhere none")
    func proof() {
        let peer = responder()
        let own = SocketAddress(v4: (10, 0, 0, 1), port: 4000)
        for number in [1, 3, 4] as [UInt64] {
            _ = call(number, peer, from: own, at: now)
        }
        #expect(peer.requesters.count == 3 && peer.provenRequests == 1)
        let caller = DatagramNode(5)
        var first = caller.call(5, peer, [5], now: now)[0]
        first.source = own
        var second = caller.receive(peer.receive(first, now: now)[0], now: now)[0]
        second.source = SocketAddress(v4: (10, 0, 2, 1), port: 4000)
        #expect(peer.receive(second, now: now).map { $0.type } == [2])
        #expect(peer.requesters.count == 4 && peer.provenRequests == 1)
    }

    @Test("repetitions of a first message count like new ones: a recording gets no more answers than a fresh message")
    func repetitions() {
        let peer = responder()
        let caller = DatagramNode(1)
        let first = caller.call(1, peer, [1], now: now)[0]
        var answered: [UInt8: Int] = [:]
        func replay(_ count: Int, from source: (Int) -> SocketAddress, at now: Timestamp) {
            answered = [:]
            for number in 0..<count {
                var copy = first
                copy.source = source(number)
                for answer in peer.receive(copy, now: now) { answered[answer.type, default: 0] += 1 }
            }
        }
        let prefixes: (Int) -> SocketAddress = { SocketAddress(v4: (10, 0, UInt8($0 % 200), 1), port: 4000) }
        replay(1000, from: { _ in first.source }, at: now)
        #expect(answered == [2: 2, 3: 998])
        replay(1000, from: prefixes, at: now.adding(seconds: 1))
        #expect(answered == [2: 8, 3: 992])
        #expect(peer.processed == [[1]: 1])

        // The caller itself shows a cookie and is answered again.
        let cookie = peer.receive(first, now: now.adding(seconds: 1))[0]
        let second = caller.receive(cookie, now: now.adding(seconds: 1))[0]
        #expect(peer.receive(second, now: now.adding(seconds: 1)).map { $0.type } == [2])
        replay(100, from: prefixes, at: now.adding(seconds: 31))
        #expect(answered == [3: 92])
    }
}
