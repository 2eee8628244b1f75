import Foundation
import Primitives
import SecondImplementation
import Testing
import Wire

@testable import Link

/// Our links against Tests/Peers/link_peer.py, which was written from specs/link.md.
@Suite(
    "Links against a second implementation of the specification",
    .enabled(if: Peer.isWanted, "HULDA_PYTHON is not set"))
struct SecondImplementationTests {
    private let address = SocketAddress(v4: (127, 0, 0, 1), port: 9)

    private func hex(_ key: borrowing X25519PrivateKey) -> String { key.withUnsafeBytes { Hex.encode($0) } }

    /// The peer checks the clock, so these tests use the real one.
    private var now: Timestamp { Timestamp(milliseconds: UInt64(Date().timeIntervalSince1970 * 1000)) }

    @Test("our stream initiator is understood", arguments: [false, true])
    func streamInitiator(anonymous: Bool) throws {
        var entropy = Entropy.system()
        let peer = try NoisePeer("link_peer", ["stream", "responder", hex(privateKey(1)), "-"])
        let start = try StreamPair.start(anonymous: anonymous, &entropy)
        try peer.send(start.firstMessage)
        var session = try start.finish(try peer.receive())
        try exchange(&session, peer)
    }

    @Test("our stream responder is understood", arguments: [false, true])
    func streamResponder(anonymous: Bool) throws {
        var entropy = Entropy.system()
        let key = privateKey(1)
        let peer = try NoisePeer(
            "link_peer",
            ["stream", "initiator", anonymous ? "-" : hex(privateKey(2)), key.publicKey.bytes.hex])
        let accepted = try StreamResponder.respond(to: try peer.receive(), key: key, entropy: &entropy)
        let claimed = accepted.peer
        #expect(claimed == (anonymous ? nil : privateKey(2).publicKey))
        try peer.send(accepted.reply)
        var session = accepted.takeSession()
        try exchange(&session, peer)
    }

    private func exchange(_ session: inout StreamSession, _ peer: NoisePeer) throws {
        for number in 0..<10 as Range<UInt8> {
            let body = [1, 2, 3] + [UInt8](repeating: number, count: 289 * Int(number))
            try peer.send(try session.frame(kind: number, body))
            let answer = try session.read(try peer.receive())
            #expect(answer.kind == number && answer.body == body.reversed())
        }
    }

    @Test("our datagram caller is understood")
    func datagramCaller() throws {
        let key = privateKey(1)
        let peer = try NoisePeer("link_peer", ["datagram", "responder", hex(key), key.publicKey.bytes.hex])
        let caller = DatagramNode(2)
        for number in 0..<3 as Range<UInt64> {
            let effects = caller.endpoint.call(
                number, to: address, peer: key.publicKey, request: [1, 2, UInt8(number)], now: now,
                entropy: &caller.entropy)
            guard case .send(let datagram, _) = effects.first else {
                Issue.record("nothing was sent")
                return
            }
            #expect(datagram.first == (number == 0 ? 1 : 4))
            try peer.send(datagram)
            let out = caller.endpoint.receive(try peer.receive(), from: address, now: now, entropy: &caller.entropy)
            #expect(out == [.answered(call: number, body: [UInt8(number), 2, 1])])
        }
    }

    @Test("our datagram responder is understood, with and without a cookie", arguments: [false, true])
    func datagramResponder(underLoad: Bool) throws {
        var bounds = DatagramBounds()
        if underLoad { bounds.handshakesPerSecond = 0 }
        let node = DatagramNode(1, bounds: bounds)
        let peer = try NoisePeer(
            "link_peer", ["datagram", "initiator", hex(privateKey(2)), node.publicKey.bytes.hex])
        var types: [UInt8] = []
        while true {
            let datagram = try peer.receive()
            guard datagram != Array("done".utf8) else { break }
            let out = node.receive(Datagram(source: address, destination: node.address, bytes: datagram), now: now)
            try #require(out.count == 1)
            types.append(out[0].type)
            try peer.send(out[0].bytes)
        }
        #expect(types == (underLoad ? [3, 2, 4, 4] : [2, 4, 4]))
        #expect(node.requesters == Array(repeating: privateKey(2).publicKey, count: 3))
    }
}
