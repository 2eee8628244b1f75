import Envelope
import Primitives
import Testing
import Wire

@testable import Relay

@Suite struct RelayTests {
    static let neighbour = EnvelopeSource.server(Bytes32())
    let noon = Timestamp(seconds: 20_000 * 86_400 + 43_200)

    func unwrapped(_ entropy: inout Entropy, _ command: Command = .relay, delay: UInt32 = 0) -> Unwrapped {
        Unwrapped(
            routing: RoutingBlock(
                command: command, delayMilliseconds: delay, target: entropy.bytes(), id: entropy.bytes()),
            replayTag: entropy.bytes())
    }

    @Test("an envelope is forwarded when it is due and its tag is on disk, not before")
    func dueAndJournaled() {
        var entropy = Entropy(seed: 1)
        var core = RelayCore(entropy: &entropy)
        let opened = unwrapped(&entropy, delay: 50)
        let effects = core.accept([1], opened, epoch: 20_000, from: RelayTests.neighbour, now: noon)
        #expect(effects == [.journal(epoch: 20_000, tag: opened.replayTag, ticket: 1)])
        #expect(core.wake(now: noon.adding(milliseconds: 49)).isEmpty)
        #expect(core.nextWake == noon.adding(milliseconds: 50))
        #expect(core.wake(now: noon.adding(milliseconds: 50)).isEmpty)
        #expect(core.waiting == 1)
        let released = core.journaled(through: 1, now: noon.adding(milliseconds: 51))
        #expect(released == [.forward(to: opened.routing.target, envelope: [1])])
        #expect(core.waiting == 0)
        #expect(core.counters.forwarded == 1)
    }

    @Test("envelopes leave in order of due time, whatever order they came in")
    func order() {
        let seed: UInt64 = 2
        var entropy = Entropy(seed: seed)
        var core = RelayCore(entropy: &entropy)
        var due: [(UInt32, UInt8)] = []
        for index in 0..<100 as Range<UInt8> {
            let delay = UInt32(entropy.below(1000))
            due.append((delay, index))
            _ = core.accept([index], unwrapped(&entropy, delay: delay), epoch: 1, from: RelayTests.neighbour, now: noon)
        }
        let released = core.journaled(through: 100, now: noon.adding(seconds: 2))
        let order = released.compactMap { effect -> UInt8? in
            if case .forward(_, let envelope) = effect { envelope[0] } else { nil }
        }
        #expect(order == due.sorted { ($0.0, $0.1) < ($1.0, $1.1) }.map(\.1))
    }

    @Test("a replay is dropped and counted, after a restart too")
    func replays() {
        var entropy = Entropy(seed: 3)
        var core = RelayCore(entropy: &entropy)
        let opened = unwrapped(&entropy)
        #expect(core.accept([1], opened, epoch: 5, from: RelayTests.neighbour, now: noon).count == 1)
        #expect(core.accept([1], opened, epoch: 5, from: RelayTests.neighbour, now: noon).isEmpty)
        #expect(core.counters.replays == 1)
        var restarted = RelayCore(entropy: &entropy)
        restarted.restore(epoch: 5, tag: opened.replayTag)
        #expect(restarted.accept([1], opened, epoch: 5, from: RelayTests.neighbour, now: noon).isEmpty)
        #expect(restarted.counters.replays == 1)
    }

    @Test("the filter holds a hundred thousand tags without mistaking a fresh one")
    func filter() {
        var entropy = Entropy(seed: 4)
        var filter = ReplayFilter(limit: 100_000, &entropy)
        var tags: [Bytes16] = []
        for _ in 0..<100_000 { tags.append(entropy.bytes()) }
        #expect(tags.allSatisfy { filter.insert($0) == .fresh })
        #expect(tags.allSatisfy { filter.insert($0) == .replay })
        #expect(filter.insert(entropy.bytes()) == .full)
        #expect(filter.count == 100_000)
    }

    @Test("the queue is bounded: what exceeds it is dropped and counted")
    func overflow() {
        var entropy = Entropy(seed: 5)
        var core = RelayCore(capacity: 6, entropy: &entropy)
        for link in 0..<5 as Range<UInt64> {
            _ = core.accept(
                [0], unwrapped(&entropy, delay: 100), epoch: 1, from: .guest(link: link), now: noon)
        }
        #expect(core.waiting == 3)
        #expect(core.counters.overflow == 2)
    }

    @Test("a delay over ten seconds is cut")
    func longDelay() {
        var entropy = Entropy(seed: 6)
        var core = RelayCore(entropy: &entropy)
        _ = core.accept([0], unwrapped(&entropy, delay: .max), epoch: 1, from: RelayTests.neighbour, now: noon)
        #expect(core.nextWake == noon.adding(seconds: 10))
    }

    @Test("what is held by a clock that was a day ahead leaves when it would have, and replays are refused as before")
    func clockBack() {
        var entropy = Entropy(seed: 17)
        var core = RelayCore(entropy: &entropy)
        let first = unwrapped(&entropy)
        _ = core.accept([1], first, epoch: 20_000, from: RelayTests.neighbour, now: noon)
        #expect(core.journaled(through: 1, now: noon).count == 1)
        let ahead = noon.adding(seconds: 86_400)
        let second = unwrapped(&entropy, delay: 50)
        _ = core.accept([2], second, epoch: 20_001, from: RelayTests.neighbour, now: ahead)
        core.probe = CapacityProbe(
            epoch: 20_001, targets: [entropy.bytes()], from: ahead, until: ahead.adding(seconds: 60), entropy: &entropy)
        let right = noon.adding(seconds: 600)
        #expect(core.isAhead(of: right))
        #expect(core.accept([1], first, epoch: 20_000, from: RelayTests.neighbour, now: right).isEmpty)
        #expect(core.counters.replays == 1)
        #expect(core.nextWake == right.adding(milliseconds: 50))
        #expect(core.journaled(through: 2, now: right.adding(milliseconds: 50)).count == 1)
        #expect(core.probe == nil)
        #expect(core.counters.clockTurns == 1)
    }

    @Test("keys are kept while a leap of the clock may be an error, and made anew when they are of other days")
    func standing() {
        let midnight = Timestamp(seconds: 20_000 * 86_400)
        func ring(_ epochs: ClosedRange<UInt64>) -> MixKeyRing {
            var entropy = Entropy(seed: 18)
            return MixKeyRing(epochs.map { MixKey(epoch: $0, key: X25519PrivateKey(&entropy)) })
        }
        let today = ring(20_000...20_001)
        #expect(today.standing(at: noon, isOnTrial: false) == .current)
        #expect(today.standing(at: noon.adding(seconds: 86_400), isOnTrial: true) == .current)
        #expect(today.standing(at: noon.adding(seconds: 86_400), isOnTrial: false) == .outdated)
        #expect(ring(19_999...20_001).standing(at: midnight.adding(seconds: 3599), isOnTrial: false) == .current)
        #expect(ring(19_999...20_001).standing(at: midnight.adding(seconds: 3600), isOnTrial: false) == .outdated)
        #expect(ring(19_999...20_000).standing(at: midnight, isOnTrial: false) == .outdated)
        // The clock was a day ahead for long, or stood still for days.
        #expect(ring(20_001...20_002).standing(at: noon, isOnTrial: false) == .useless)
        #expect(ring(20_000...20_002).standing(at: noon, isOnTrial: true) == .useless)
        #expect(today.standing(at: noon.adding(seconds: 3 * 86_400), isOnTrial: true) == .useless)
        #expect(MixKeyRing([]).standing(at: noon, isOnTrial: false) == .useless)
    }

    @Test("own loops come back through the mixes and are counted; a lost one is noticed")
    func loops() throws {
        var entropy = Entropy(seed: 7)
        var core = RelayCore(entropy: &entropy)
        let key = X25519PrivateKey(&entropy)
        let node: Bytes32 = entropy.bytes()
        let started = core.startLoop(path: [Hop(node: node, key: key.publicKey)], now: noon, entropy: &entropy)
        guard case .forward(let first, var envelope) = started.first else {
            Issue.record("no envelope")
            return
        }
        #expect(first == node)
        let ring = MixKeyRing([MixKey(epoch: noon.epoch, key: key)])
        let opened = try envelope.withUnsafeMutableBytes { try ring.unwrap($0, now: noon) }
        #expect(opened.unwrapped.routing.command == .loop)
        _ = core.accept(envelope, opened.unwrapped, epoch: opened.epoch, from: RelayTests.neighbour, now: noon)
        #expect(core.counters.loopsReturned == 1)
        _ = core.startLoop(path: [Hop(node: node, key: ring.publicKeys[0].key)], now: noon, entropy: &entropy)
        _ = core.wake(now: noon.adding(seconds: 121))
        #expect(core.counters.loopsLost == 1)
    }

    @Test("keys open in their epoch, an hour longer, and ten minutes early; not at other times")
    func keyOverlap() throws {
        var entropy = Entropy(seed: 8)
        let day = Timestamp.secondsPerEpoch
        let key = X25519PrivateKey(&entropy)
        let publicKey = key.publicKey
        let ring = MixKeyRing([MixKey(epoch: 100, key: key)])
        for (second, opens) in [
            (100 * day, true), (101 * day - 1, true), (101 * day + 3599, true), (101 * day + 3600, false),
            (100 * day - 600, true), (100 * day - 601, false),
        ] {
            var envelope = try Wrap.forward(
                path: [Hop(node: Bytes32(), key: publicKey)], content: [], entropy: &entropy)
            var accepted = true
            envelope.withUnsafeMutableBytes { raw in
                do throws(EnvelopeError) { _ = try ring.unwrap(raw, now: Timestamp(seconds: second)) } catch {
                    accepted = false
                }
            }
            #expect(accepted == opens, "second \(second)")
        }
    }

    @Test("replies and deliveries wait for the journal too")
    func ends() {
        var entropy = Entropy(seed: 9)
        var core = RelayCore(entropy: &entropy)
        let envelope = entropy.array(Geometry.envelopeSize)
        let reply = unwrapped(&entropy, .reply)
        _ = core.accept(envelope, reply, epoch: 1, from: RelayTests.neighbour, now: noon)
        _ = core.accept(envelope, unwrapped(&entropy, .deliver), epoch: 1, from: RelayTests.neighbour, now: noon)
        #expect(core.wake(now: noon).isEmpty)
        let payload = Array(envelope[Geometry.headerSize...])
        #expect(
            core.journaled(through: 2, now: noon) == [
                .reply(handle: reply.routing.handle, id: reply.routing.id, payload: payload),
                .deliver(payload: payload),
            ])
    }
}
