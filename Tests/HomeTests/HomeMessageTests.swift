import Envelope
import Primitives
import Records
import Testing
import Wire

@testable import Home

@Suite struct HomeMessageTests {
    @Test("the longest request of each kind fits into an envelope, and the longest answer into a reply")
    func sizes() throws {
        let delivery = HomeRequest.deliver(
            .init(
                account: Bytes16(), messageID: Bytes16(),
                blob: [UInt8](repeating: 1, count: HomeRequest.Delivery.blobLimit)))
        #expect(delivery.encode().count == ServiceRequest.bodyLimit(replyBlocks: 1))
        var entropy = Entropy(seed: 20)
        let key = SigningKey(&entropy)
        let most = [UInt64](repeating: 1, count: HomeRequest.Attachment.acknowledgementsBesideThreeBlocks)
        let attachment = HomeRequest.attach(
            home: Bytes32(), counter: 1, isReturning: true, acknowledged: most, blocks: [], key: key)
        #expect(attachment.encode().count <= ServiceRequest.bodyLimit(replyBlocks: 3))
        let item = HomeAnswer.item(
            .init(
                number: 1, pending: 1, messageID: Bytes16(),
                blob: [UInt8](repeating: 1, count: HomeRequest.Delivery.blobLimit)))
        #expect(item.encode().count <= Geometry.contentSize)
    }

    @Test("requests and answers decode to what was encoded")
    func roundTrip() throws {
        var entropy = Entropy(seed: 21)
        let key = SigningKey(&entropy)
        for request in try HomeMessageTests.requests(key, &entropy) {
            #expect(try HomeRequest(decoding: request.encode()) == request)
        }
        for answer in HomeMessageTests.answers(&entropy) {
            #expect(try HomeAnswer(decoding: answer.encode()) == answer)
        }
    }

    @Test("cut, lengthened, changed and random bytes are decoded to the same bytes or refused")
    func fuzz() throws {
        let seed: UInt64 = 22
        print("home message fuzz seed \(seed)")
        var entropy = Entropy(seed: seed)
        let key = SigningKey(&entropy)
        let valid =
            try HomeMessageTests.requests(key, &entropy).map { $0.encode() }
            + HomeMessageTests.answers(&entropy).map { $0.encode() }
        var accepted = 0
        for _ in 0..<20_000 {
            var bytes = valid[entropy.below(valid.count)]
            switch entropy.below(4) {
            case 0: bytes = Array(bytes.prefix(entropy.below(bytes.count)))
            case 1: bytes += entropy.array(1 + entropy.below(8))
            case 2: bytes[entropy.below(bytes.count)] ^= 1 << UInt8(entropy.below(8))
            default: bytes = [bytes[0]] + entropy.array(entropy.below(300))
            }
            if let request = try? HomeRequest(decoding: bytes) {
                accepted += 1
                #expect(request.encode() == bytes)
            }
            if let answer = try? HomeAnswer(decoding: bytes) {
                accepted += 1
                #expect(answer.encode() == bytes)
            }
        }
        #expect(accepted > 0)
    }

    @Test("a home survives random requests with random reply blocks")
    func hostileRequests() throws {
        var fixture = Fixture(seed: 23)
        _ = try fixture.register()
        for _ in 0..<3000 {
            let kind = [UInt8(1 + fixture.entropy.below(8))]
            let body = kind + fixture.entropy.array(fixture.entropy.below(400))
            _ = try fixture.home.handle(.request(body: body, replyBlocks: []), now: fixture.now, store: &fixture.store)
        }
        #expect(fixture.home.counters.malformed > 2000)
        #expect(try fixture.deliver([1]).isAccepted)
    }

    @Test("a request that a home cannot read is refused as malformed, one of a later kind as unsupported")
    func unreadable() throws {
        var fixture = Fixture(seed: 24)
        let block = try fixture.block()
        var entropy = Entropy(seed: 25)
        for request in try HomeMessageTests.requests(fixture.owner, &entropy) {
            for body in [request.encode() + [0], Array(request.encode().dropLast())] {
                let answers = try fixture.request(body, [block])
                #expect(answers.map(\.1) == [.refused(.malformed)] && answers.map(\.0) == [block])
            }
        }
        for kind in [8, 9, HomeRequest.highestKind] as [UInt8] {
            #expect(try fixture.request([kind, 1, 2, 3], [block]).map(\.1) == [.refused(.unsupported)])
        }
        // No requests: an answer would answer an answer.
        for body in [[], [0], [HomeRequest.highestKind + 1], [69, 1]] as [[UInt8]] {
            #expect(try fixture.request(body, [block]).isEmpty)
        }
        #expect(try fixture.request([8], []).isEmpty)
        #expect(fixture.home.counters.malformed > 25)
    }

    static func requests(_ key: borrowing SigningKey, _ entropy: inout Entropy) throws -> [HomeRequest] {
        [
            .register(home: entropy.bytes(), token: "sesame", key: key),
            .register(home: entropy.bytes(), token: "", key: key),
            .attach(
                home: entropy.bytes(), counter: 7, isReturning: false, acknowledged: [1, 2, 3], blocks: [], key: key),
            .deliver(.init(account: entropy.bytes(), messageID: entropy.bytes(), blob: entropy.array(100))),
            .register(home: entropy.bytes(), token: "sesame", recovery: entropy.bytes(), key: key),
            .takeOver(
                home: entropy.bytes(), account: entropy.bytes(), serial: 9, key: SigningKey(&entropy).publicKey,
                recovery: key),
            .close(home: entropy.bytes(), account: entropy.bytes(), discards: false, recovery: key),
            .close(home: entropy.bytes(), account: entropy.bytes(), discards: true, recovery: key),
            .name(
                home: entropy.bytes(), account: entropy.bytes(), counter: 3, epoch: 4, label: entropy.bytes(),
                pointer: entropy.array(NamePointer.size), key: key),
            .name(
                home: entropy.bytes(), account: entropy.bytes(), counter: 3, epoch: 4, label: entropy.bytes(),
                pointer: nil, key: key),
        ]
    }

    static func answers(_ entropy: inout Entropy) -> [HomeAnswer] {
        [
            .registered(account: entropy.bytes()), .attached(pending: 3, blocks: 2),
            .item(.init(number: 4, pending: 1, messageID: entropy.bytes(), blob: entropy.array(50))),
            .accepted(messageID: entropy.bytes()), .refused(.inboxFull), .takenOver(serial: 5),
            .closed(account: entropy.bytes()), .refused(.wrongRecovery),
            .named(label: entropy.bytes(), record: entropy.array(659)),
            .released(label: entropy.bytes(), record: entropy.array(659)),
        ]
    }
}
