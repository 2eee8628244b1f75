import NIOConcurrencyHelpers
import Primitives
import Testing
import Wire

@testable import Node

@Suite("Links to other servers")
struct PeerLinksTests {
    private let node = Bytes32()
    private let now = Timestamp(seconds: 1_700_000_000)

    private func isConnect(_ directive: PeerLinks.Directive?) -> Bool {
        if case .connect(node)? = directive { true } else { false }
    }

    @Test("one that fails is tried again after a wait that doubles up to 16 s, if it is wanted")
    func backOff() {
        var links = PeerLinks()
        #expect(isConnect(links.open(node, now: now)))
        var waits: [UInt64?] = []
        for _ in 0..<9 {
            waits.append(links.closed(node, now: now))
            // Nobody else begins it meanwhile.
            #expect(!isConnect(links.open(node, now: now)))
            #expect(isConnect(links.retry(node, isWanted: true)))
            #expect(!isConnect(links.retry(node, isWanted: true)))
        }
        #expect(waits == [250, 500, 1000, 2000, 4000, 8000, 16_000, 16_000, 16_000])
    }

    @Test("one that nobody wants is tried again only while envelopes wait for it")
    func envelopes() {
        var links = PeerLinks()
        #expect(isConnect(links.send([1], to: node, now: now)))
        _ = links.closed(node, now: now)
        #expect(isConnect(links.retry(node, isWanted: false)))

        var empty = PeerLinks()
        #expect(isConnect(empty.open(node, now: now)))
        let wait = empty.closed(node, now: now)
        #expect(!isConnect(empty.retry(node, isWanted: false)))
        // The first envelope after the wait begins it again.
        #expect(isConnect(empty.send([1], to: node, now: now.adding(milliseconds: wait ?? 0))))
    }

    @Test("all queues together have a bound, of which a server that does not answer has only its share")
    func commonBound() {
        var links = PeerLinks()
        var entropy = Entropy(seed: 31)
        for _ in 0..<20_000 { _ = links.send([1], to: node, now: now) }
        let share = links.waiting
        #expect(share <= PeerLinks.capacity / 32)
        for _ in 0..<50 {
            let dead: Bytes32 = entropy.bytes()
            for _ in 0..<1000 { _ = links.send([1], to: dead, now: now) }
        }
        let before = links.waiting
        #expect(before < PeerLinks.capacity)
        let honest: Bytes32 = entropy.bytes()
        for _ in 0..<50 { _ = links.send([1], to: honest, now: now) }
        #expect(links.waiting == before + 50)
        #expect(links.dropped == UInt64(70_050 - links.waiting))
        // Where no link came about fewer wait, and there are as few as before.
        _ = links.closed(node, now: now)
        #expect(links.waiting == before + 50 - (share - PeerLinks.failedLimit))
        let rest = links.waiting
        for _ in 0..<100 { _ = links.send([1], to: node, now: now) }
        #expect(links.waiting == rest)
    }

    @Test("envelopes wait for 30 s; a server that did not answer for so long is forgotten, and so is its queue")
    func age() {
        var links = PeerLinks()
        #expect(isConnect(links.send([1], to: node, now: now)))
        _ = links.send([2], to: node, now: now.adding(seconds: 20))
        links.expire(now: now.adding(seconds: 30))
        #expect(links.waiting == 2)
        links.expire(now: now.adding(seconds: 31))
        #expect(links.waiting == 1)
        _ = links.closed(node, now: now.adding(seconds: 31))
        #expect(isConnect(links.retry(node, isWanted: false)))
        _ = links.closed(node, now: now.adding(seconds: 40))
        links.expire(now: now.adding(seconds: 51))
        #expect(links.waiting == 0 && links.dropped == 2)
        #expect(!isConnect(links.retry(node, isWanted: false)))
        #expect(links.count == 0)

        // What was queued by a clock that was ahead does not wait until that time has come.
        _ = links.send([1], to: node, now: now.adding(seconds: 86_400))
        links.expire(now: now)
        #expect(links.waiting == 0)
    }

    @Test("of a server that has left the map nothing is kept, and nothing is tried again")
    func unreachable() {
        var links = PeerLinks()
        for _ in 0..<5 { _ = links.send([1], to: node, now: now) }
        links.unreachable(node)
        #expect(links.count == 0 && links.waiting == 0 && links.dropped == 5)
        #expect(links.closed(node, now: now) == nil)
    }

    @Test("there are so many at a time, and envelopes for further servers are dropped and counted")
    func linkLimit() {
        var links = PeerLinks()
        var entropy = Entropy(seed: 32)
        for _ in 0..<PeerLinks.linkLimit + 10 { _ = links.open(entropy.bytes(), now: now) }
        #expect(links.count == PeerLinks.linkLimit)
        #expect(!isConnect(links.send([1], to: node, now: now)))
        #expect(links.count == PeerLinks.linkLimit && links.dropped == 1)
    }

    @Test("one that was forgotten is not tried again")
    func forgotten() {
        var links = PeerLinks()
        #expect(isConnect(links.open(node, now: now)))
        _ = links.remove(node)
        #expect(links.closed(node, now: now) == nil)
        #expect(!isConnect(links.retry(node, isWanted: true)))
    }

    @Test("none is opened any more once the node is stopping")
    func stopping() async throws {
        let opened = NIOLockedValueBox(0)
        try await withNode("stopping", at: "127.189.0.4:7411") { node in
            func keepOpen(_ number: UInt8) async {
                let other = Bytes32([UInt8](repeating: number, count: 32)) ?? Bytes32()
                await withCheckedContinuation { continuation in
                    node.relay.enqueue {
                        $0.keepOpen([other], insteadOf: [])
                        continuation.resume()
                    }
                }
            }
            node.relay.enqueue { $0.ports?.connect = { _ in opened.withLockedValue { $0 += 1 } } }
            await keepOpen(1)
            #expect(opened.withLockedValue { $0 } == 1)
            await node.relay.openNoMore()
            await keepOpen(2)
            #expect(opened.withLockedValue { $0 } == 1)
        }
    }
}
