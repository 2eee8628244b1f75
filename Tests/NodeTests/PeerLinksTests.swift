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
