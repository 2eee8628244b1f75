import Envelope
import Primitives
import Testing
import Wire

@testable import Relay

/// What a sender can take of a relay.
@Suite("The bounds of a relay") struct RelayBoundsTests {
    private let noon = Timestamp(seconds: 20_000 * 86_400 + 43_200)

    private func unwrapped(_ entropy: inout Entropy, _ command: Command = .relay, delay: UInt32 = 0) -> Unwrapped {
        Unwrapped(
            routing: RoutingBlock(
                command: command, delayMilliseconds: delay, target: entropy.bytes(), id: entropy.bytes()),
            replayTag: entropy.bytes())
    }

    @Test("one link with 66,000 envelopes of the longest delay takes no place of anybody else")
    func oneGreedyLink() {
        var entropy = Entropy(seed: 21)
        var core = RelayCore(entropy: &entropy)
        for _ in 0..<66_000 {
            _ = core.accept([0], unwrapped(&entropy, delay: .max), epoch: 1, from: .guest(link: 1), now: noon)
        }
        #expect(core.waiting <= 512, "\(core.waiting)")
        #expect(core.counters.overShare == UInt64(66_000 - core.waiting))
        let before = core.waiting
        for _ in 0..<200 {
            _ = core.accept([0], unwrapped(&entropy, delay: 50), epoch: 1, from: .guest(link: 2), now: noon)
        }
        #expect(core.waiting == before + 200)
        #expect(core.counters.overflow == 0)
    }

    @Test("thousands of greedy links and a hundred greedy servers together leave room for those with few envelopes")
    func manyGreedyLinks() {
        var entropy = Entropy(seed: 22)
        var core = RelayCore(entropy: &entropy)
        let greedy =
            (0..<8192).map { EnvelopeSource.guest(link: $0) } + (0..<100).map { _ in .server(entropy.bytes()) }
        for _ in 0..<20 {
            for source in greedy {
                _ = core.accept([0], unwrapped(&entropy, delay: .max), epoch: 1, from: source, now: noon)
            }
        }
        let before = core.waiting
        let (server, agent) = (EnvelopeSource.server(entropy.bytes()), EnvelopeSource.guest(link: 10_000))
        for _ in 0..<100 { _ = core.accept([0], unwrapped(&entropy), epoch: 1, from: server, now: noon) }
        for _ in 0..<2 { _ = core.accept([0], unwrapped(&entropy), epoch: 1, from: agent, now: noon) }
        #expect(core.waiting == before + 102)
    }

    @Test("a share is given back when its envelopes have left, and to replays none is given")
    func sharesReturn() {
        var entropy = Entropy(seed: 23)
        var core = RelayCore(capacity: 256, entropy: &entropy)
        let source = EnvelopeSource.guest(link: 1)
        var last: UInt64 = 0
        for round in 0..<10 as Range<UInt64> {
            let now = noon.adding(seconds: 20 * round)
            let opened = unwrapped(&entropy, delay: 100)
            for _ in 0..<3 {
                for case .journal(_, _, let ticket) in core.accept([0], opened, epoch: 1, from: source, now: now) {
                    last = ticket
                }
            }
            _ = core.accept([0], unwrapped(&entropy), epoch: 1, from: source, now: now)
            #expect(core.waiting == 2)
            _ = core.journaled(through: last + 1, now: now.adding(seconds: 1))
            #expect(core.waiting == 0)
            last += 1
        }
        #expect(core.counters.forwarded == 20)
        #expect(core.counters.overShare == 0)
        #expect(core.counters.replays == 20)
    }

    @Test("while the disk refuses, no more tags wait than envelopes are held, however much cover comes")
    func journalRefused() {
        var entropy = Entropy(seed: 24)
        var core = RelayCore(capacity: 200, entropy: &entropy)
        var tags = 0
        for index in 0..<10_000 as Range<UInt64> {
            let command: Command = [.relay, .drop, .loop, .circuit][Int(index % 4)]
            let source = EnvelopeSource.guest(link: index)
            let opened = unwrapped(&entropy, command)
            tags += core.accept([0], opened, epoch: 1, from: source, now: noon.adding(milliseconds: index)).count
            _ = core.wake(now: noon.adding(milliseconds: index))
        }
        #expect(tags == 100)
        #expect(core.waiting == 100)
        #expect(core.counters.covers == 5000)
        #expect(core.counters.unsupported == 2500)
        #expect(core.journaled(through: 100, now: noon.adding(seconds: 10)).count == 100)
        #expect(core.waiting == 0)
    }

    @Test("an own loop comes back through a relay whose queue is full")
    func loopsPassAFullQueue() throws {
        var entropy = Entropy(seed: 25)
        var core = RelayCore(capacity: 2, entropy: &entropy)
        _ = core.accept([0], unwrapped(&entropy, delay: .max), epoch: 1, from: .guest(link: 1), now: noon)
        let key = X25519PrivateKey(&entropy)
        let hop = Hop(node: entropy.bytes(), key: key.publicKey)
        guard case .forward(_, var envelope) = core.startLoop(path: [hop], now: noon, entropy: &entropy).first else {
            Issue.record("no envelope")
            return
        }
        let ring = MixKeyRing([MixKey(epoch: noon.epoch, key: key)])
        let opened = try envelope.withUnsafeMutableBytes { try ring.unwrap($0, now: noon) }
        for _ in 0..<2 {
            #expect(
                core.accept(envelope, opened.unwrapped, epoch: opened.epoch, from: .guest(link: 2), now: noon).isEmpty)
        }
        #expect(core.counters.loopsReturned == 1)
        #expect(core.counters.covers == 2)
    }
}
