import Primitives
import Testing
import Wire

@testable import Link

@Suite("Datagram calls")
struct DatagramTests {
    @Test("a cold call takes one datagram each way, and both have the same size")
    func coldCall() {
        var world = DatagramWorld(2)
        world.call(1, from: 0, to: 1, [1, 2, 3])
        world.run(milliseconds: 20)
        let (sent, nodes) = (world.sent, world.nodes)
        #expect(nodes[0].answers == [1: [3, 2, 1]])
        #expect(sent.map { $0.type } == [1, 2])
        #expect(sent.allSatisfy { $0.bytes.count == 1232 })
        #expect(nodes[1].requesters == [nodes[0].publicKey])
    }

    @Test("later calls use the session, also from the other side once the first side used it")
    func warmCalls() {
        var world = DatagramWorld(2)
        world.call(1, from: 0, to: 1, [1])
        world.run(milliseconds: 20)
        world.call(2, from: 0, to: 1, [2])
        world.run(milliseconds: 20)
        world.call(3, from: 1, to: 0, [3])
        world.run(milliseconds: 20)
        let (sent, nodes) = (world.sent, world.nodes)
        #expect(sent.map { $0.type } == [1, 2, 4, 4, 4, 4])
        #expect(nodes[0].answers.count == 2 && nodes[1].answers == [3: [3]])
    }

    @Test("a responder does not call over a session that its peer has not used")
    func unconfirmedSession() {
        var world = DatagramWorld(2)
        world.call(1, from: 0, to: 1, [1])
        world.run(milliseconds: 20)
        world.call(2, from: 1, to: 0, [2])
        world.run(milliseconds: 20)
        let types = world.sent.map { $0.type }
        #expect(types == [1, 2, 1, 2])
    }

    @Test("bodies up to the limit pass on every path, longer ones fail at once")
    func bodySizes() {
        var world = DatagramWorld(2)
        #expect(DatagramEndpoint.bodyLimit == 1073)
        for (name, count) in [0, 1, 1040, 1073, 1073].enumerated() {
            world.call(UInt64(name), from: 0, to: 1, [UInt8](repeating: 9, count: count) + [])
            world.run(milliseconds: 20)
            let answered = world.nodes[0].answers[UInt64(name)]?.count
            #expect(answered == count)
        }
        world.call(9, from: 0, to: 1, [UInt8](repeating: 9, count: 1074))
        let failed = world.nodes[0].failed
        #expect(failed == [9])
    }

    @Test("a call without an answer is sent three times and fails after 3.5 seconds")
    func timeout() {
        var world = DatagramWorld(2)
        world.lossPercent = 100
        world.call(1, from: 0, to: 1, [1])
        world.run(milliseconds: 3_499)
        let early = world.nodes[0].failed
        #expect(early.isEmpty)
        world.run(milliseconds: 1)
        let (sent, node) = (world.sent, world.nodes[0])
        #expect(node.failed == [1])
        #expect(sent.count == 3 && Set(sent.map { $0.bytes }).count == 1)
        #expect(node.endpoint.nextWake == nil)
    }

    @Test("calls are repeated, end and are forgotten in time when the clock was a day ahead and went back")
    func clockBack() {
        var world = DatagramWorld(2)
        world.call(1, from: 0, to: 1, [1])
        world.run(milliseconds: 100)
        let right = world.now
        world.now = right.adding(seconds: 86_400)
        world.call(2, from: 0, to: 1, [2])
        world.run(milliseconds: 100)
        world.lossPercent = 100
        world.call(3, from: 0, to: 1, [3])
        // Nothing of what is lost comes; what waits is repeated at once, and a call whose first datagram is lost in time.
        world.now = right.adding(seconds: 600)
        world.call(4, from: 0, to: 1, [4])
        world.lossPercent = 0
        world.run(milliseconds: 4000)
        let (node, peer) = (world.nodes[0], world.nodes[1])
        #expect(node.answers == [1: [1], 2: [2], 3: [3], 4: [4]])
        #expect(node.failed.isEmpty && node.doubleEnds == 0)
        let ends = [node, peer].compactMap { $0.endpoint.nextWake }
        #expect(ends.count == 2 && ends.allSatisfy { $0 < world.now.adding(seconds: 3600) })
    }

    @Test("a first message that arrives again is handed up once and answered with the same bytes")
    func duplicateInitiation() throws {
        var world = DatagramWorld(2)
        world.call(1, from: 0, to: 1, [7])
        world.run(milliseconds: 20)
        let (sent, responder, now) = (world.sent, world.nodes[1], world.now)
        let again = responder.receive(sent[0], now: now)
        #expect(again.map { $0.bytes } == [sent[1].bytes])
        let muchLater = responder.receive(sent[0], now: now.adding(seconds: 115))
        #expect(muchLater.count == 0)
        let forgotten = responder.receive(sent[0], now: now.adding(seconds: 130))
        #expect(forgotten.count == 0)
        #expect(responder.processed == [[7]: 1])
        #expect(responder.endpoint.counters.expired == 1)
    }

    @Test("an unanswered first message that arrives again waits for the one answer")
    func slowOwner() {
        var world = DatagramWorld(2)
        world.nodes[1].answersAtOnce = false
        world.call(1, from: 0, to: 1, [7])
        world.run(milliseconds: 1_600)
        let (node, now) = (world.nodes[1], world.now)
        #expect(node.processed == [[7]: 1] && node.waiting.count == 1)
        world.send(node.answerWaiting(now: now, [8]))
        world.run(milliseconds: 20)
        let answers = world.nodes[0].answers
        #expect(answers == [1: [8]])
    }

    @Test("a request that was lost with its session's answer is not processed twice")
    func fallbackIsSameRequest() {
        var world = DatagramWorld(2)
        world.call(1, from: 0, to: 1, [1])
        world.run(milliseconds: 20)
        world.call(2, from: 0, to: 1, [2])
        world.run(milliseconds: 10)  // the request has arrived, its answer is on the way
        world.lossPercent = 0
        let caller = world.nodes[0]
        // The answer is lost: the caller repeats in a handshake.
        let retry = caller.wake(world.now.adding(milliseconds: 500))
        #expect(retry.map { $0.type } == [1])
        let answer = world.nodes[1].receive(retry[0], now: world.now.adding(milliseconds: 510))
        #expect(answer.map { $0.type } == [2])
        let processed = world.nodes[1].processed
        #expect(processed == [[1]: 1, [2]: 1])
    }

    @Test("a call falls back to a handshake when the peer restarted")
    func restart() {
        var world = DatagramWorld(2)
        world.call(1, from: 0, to: 1, [1])
        world.run(milliseconds: 20)
        world.nodes[1].restart()
        world.call(2, from: 0, to: 1, [2])
        world.run(milliseconds: 1_000)
        let (sent, caller, peer) = (world.sent, world.nodes[0], world.nodes[1])
        #expect(sent.map { $0.type } == [1, 2, 4, 1, 2])
        #expect(caller.answers[2] == [2])
        #expect(peer.endpoint.counters.unknown == 1)
    }

    @Test("a session whose call went unanswered serves no new calls until something arrives over it")
    func suspectSession() {
        let (caller, peer) = (DatagramNode(1), DatagramNode(2))
        let now = Timestamp(seconds: 1_700_000_000)
        let cold = caller.call(1, peer, [1], now: now)
        _ = caller.receive(peer.receive(cold[0], now: now)[0], now: now)
        let lost = caller.call(2, peer, [2], now: now)
        #expect(lost.map { $0.type } == [4])
        let soon = now.adding(milliseconds: 500)
        #expect(caller.wake(soon).map { $0.type } == [1])
        #expect(caller.call(3, peer, [3], now: soon).map { $0.type } == [1])
        // The datagram was only slow.
        _ = caller.receive(peer.receive(lost[0], now: soon)[0], now: soon)
        #expect(caller.answers[2] == [2])
        #expect(caller.call(4, peer, [4], now: soon).map { $0.type } == [4])
    }

    @Test("a peer cannot answer what another peer was asked")
    func answerOfAnother() throws {
        let (caller, asked, other) = (DatagramNode(1), DatagramNode(2), DatagramNode(3))
        let now = Timestamp(seconds: 1_700_000_000)
        let cold = caller.call(1, other, [1], now: now)
        _ = caller.receive(other.receive(cold[0], now: now)[0], now: now)
        _ = caller.call(2, asked, [2], now: now)
        let requestID = try #require(caller.endpoint.callOfRequest.keys.first)
        let index = try #require(caller.endpoint.sessionOfPeer[other.publicKey])
        // The other peer's own end of its session, under which it forges an answer with the right request id.
        let ends = other.endpoint.sessions.keys
        let end = try #require(ends.first)
        let payload = TransportPayload(kind: .answer, requestID: requestID, body: [9])
        let sealed = other.endpoint.seal(payload, session: end)
        let forged = try #require(sealed)
        #expect(DatagramFormat.index(forged) == index)
        _ = caller.receive(Datagram(source: other.address, destination: caller.address, bytes: forged), now: now)
        #expect(caller.answers.keys.sorted() == [1])
        #expect(caller.endpoint.counters.unknown == 1)
    }

    @Test("a replayed or too late transport datagram is dropped and counted")
    func replay() {
        var world = DatagramWorld(2)
        world.call(0, from: 0, to: 1, [0])
        world.run(milliseconds: 20)
        // Sent but held back: the first of many.
        let (caller, peer, now) = (world.nodes[0], world.nodes[1], world.now)
        let held = caller.call(1, peer, [1], now: now)
        let other = caller.call(2, peer, [2], now: now)
        for datagram in other + other { _ = peer.receive(datagram, now: now) }
        #expect(peer.endpoint.counters.replayed == 1)
        exchange(2046, caller, peer, now)
        // 2047 counters after it: still inside the window.
        #expect(peer.receive(held[0], now: now).count == 1)
        let late = caller.call(3, peer, [4], now: now)
        exchange(2048, caller, peer, now)
        #expect(late.first?.type == 4)
        #expect(peer.receive(late[0], now: now).count == 0)
        #expect(peer.endpoint.counters.replayed == 2)
    }

    /// Calls over the session, one after the other.
    private func exchange(_ count: Int, _ caller: DatagramNode, _ peer: DatagramNode, _ now: Timestamp) {
        for _ in 0..<count {
            for datagram in caller.call(1_000_000 + UInt64(caller.answers.count), peer, [3], now: now) {
                for answer in peer.receive(datagram, now: now) { _ = caller.receive(answer, now: now) }
            }
        }
    }

    @Test("a first message from a clock that is more than a minute off is refused", arguments: [-61, -59, 59, 61])
    func clocks(_ seconds: Int) {
        let (caller, peer) = (DatagramNode(1), DatagramNode(2))
        let now = Timestamp(seconds: 1_700_000_000)
        let first = caller.call(1, peer, [1], now: now)
        let there = Timestamp(seconds: UInt64(1_700_000_000 + seconds))
        #expect(peer.receive(first[0], now: there).count == (abs(seconds) < 60 ? 1 : 0))
        #expect(peer.endpoint.counters.expired == (abs(seconds) < 60 ? 0 : 1))
    }

    @Test("sessions serve for ten minutes and are erased soon after")
    func sessionLifetime() {
        var world = DatagramWorld(2)
        world.call(1, from: 0, to: 1, [1])
        world.run(milliseconds: 599_000)
        world.call(2, from: 0, to: 1, [2])
        world.run(milliseconds: 2_000)
        world.call(3, from: 0, to: 1, [3])
        world.run(milliseconds: 20)
        let types = world.sent.map { $0.type }
        #expect(types == [1, 2, 4, 4, 1, 2])
        world.run(milliseconds: 631_000)
        #expect(world.nodes.allSatisfy { $0.endpoint.sessionCount == 0 })
        #expect(world.nodes.allSatisfy { $0.endpoint.nextWake == nil })
    }

    @Test("a call to a key of low order fails without a datagram")
    func badPeer() {
        let node = DatagramNode(1)
        let now = Timestamp(seconds: 1_700_000_000)
        let effects = node.endpoint.call(
            1, to: node.address, peer: X25519PublicKey(Bytes32()), request: [], now: now, entropy: &node.entropy)
        #expect(effects.isEmpty)
        for step in [500, 1500, 3500] as [UInt64] { _ = node.wake(now.adding(milliseconds: step)) }
        #expect(node.failed == [1])
    }
}
