import CAllocationCounter
import Primitives
import Testing
import Wire

@testable import Envelope

@Suite struct EnvelopeTests {
    @Test("the geometry is the design's: header 560, payload 2048, envelope 2608")
    func geometry() {
        #expect(Geometry.headerSize == 560)
        #expect(Geometry.betaSize == 512)
        #expect(Geometry.envelopeSize == 2608)
        #expect(Geometry.replyBlockSize == 624)
        #expect(Geometry.contentSize == 2014)
    }

    @Test("each hop of a forward path reads its own routing block and the last one the content", arguments: 1...5)
    func forward(count: Int) throws {
        var entropy = Entropy(seed: UInt64(count))
        let path = Path(count, &entropy)
        let content = entropy.array(1500)
        let id: Bytes16 = entropy.bytes()
        var envelope = try Wrap.forward(path: path.hops, command: .deliver, id: id, content: content, entropy: &entropy)
        #expect(envelope.count == Geometry.envelopeSize)
        for index in 0..<count {
            let opened = try unwrap(&envelope, try path.key(index))
            #expect(opened.routing.delayMilliseconds == UInt32(10 * index))
            if index < count - 1 {
                #expect(opened.routing.command == .relay)
                #expect(opened.routing.target == path.hops[index + 1].node)
            } else {
                #expect(opened.routing.command == .deliver)
                #expect(opened.routing.id == id)
            }
        }
        #expect(try Payload.content(of: Array(envelope[Geometry.headerSize...])) == content)
    }

    @Test("a reply comes back through its block and opens with its keys only", arguments: 1...5)
    func reply(count: Int) throws {
        var entropy = Entropy(seed: UInt64(100 + count))
        let path = Path(count, &entropy)
        let handle: Bytes16 = entropy.bytes()
        let id: Bytes16 = entropy.bytes()
        let (made, keys) = try ReplyBlock.make(path: path.hops, handle: handle, id: id, entropy: &entropy)
        var writer = Writer()
        made.encode(&writer)
        #expect(writer.bytes.count == ReplyBlock.encodedSize)
        var reader = Reader(writer.bytes)
        let block = try ReplyBlock(&reader)
        #expect(block == made)
        #expect(block.firstHop == path.hops[0].node)

        let content = entropy.array(Geometry.contentSize)
        var envelope = try block.reply(content: content)
        #expect(envelope.count == Geometry.envelopeSize)
        for index in 0..<count {
            let opened = try unwrap(&envelope, try path.key(index))
            if index == count - 1 {
                #expect(opened.routing.command == .reply)
                #expect(opened.routing.handle == handle)
                #expect(opened.routing.id == id)
            }
        }
        let payload = Array(envelope[Geometry.headerSize...])
        #expect(throws: EnvelopeError.tamperedPayload) { try Payload.content(of: payload) }

        var keyWriter = Writer()
        keys.encode(&keyWriter)
        var keyReader = Reader(keyWriter.bytes)
        let restored = try ReplyKeys(&keyReader)
        #expect(try restored.open(payload) == content)
        let (_, others) = try ReplyBlock.make(path: path.hops, handle: handle, id: id, entropy: &entropy)
        #expect(throws: EnvelopeError.tamperedPayload) { try others.open(payload) }
    }

    @Test("a relay that does not hold the key refuses the envelope and leaves it unchanged")
    func wrongKey() throws {
        var entropy = Entropy(seed: 7)
        let path = Path(3, &entropy)
        var envelope = try Wrap.forward(path: path.hops, content: [1, 2, 3], entropy: &entropy)
        let before = envelope
        let stranger = X25519PrivateKey(&entropy)
        #expect(throws: EnvelopeError.wrongMAC) { try unwrap(&envelope, stranger) }
        #expect(envelope == before)
    }

    @Test("every flipped bit of a header is refused by the first hop")
    func headerBits() throws {
        var entropy = Entropy(seed: 8)
        let path = Path(5, &entropy)
        let envelope = try Wrap.forward(path: path.hops, content: [1], entropy: &entropy)
        let key = try path.key(0)
        // X25519 ignores the top bit of a coordinate; the transcript, which is MAC-keyed with it, does not.
        for bit in 0..<Geometry.headerSize * 8 {
            var changed = envelope
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            var refused = false
            do throws(EnvelopeError) { _ = try unwrap(&changed, key) } catch { refused = true }
            #expect(refused, "bit \(bit)")
        }
    }

    @Test("a flipped payload bit at any hop destroys the payload at the destination")
    func payloadBits() throws {
        var entropy = Entropy(seed: 9)
        let path = Path(5, &entropy)
        let envelope = try Wrap.forward(path: path.hops, content: entropy.array(2000), entropy: &entropy)
        for sample in 0..<60 {
            let bit = sample < 8 ? sample : entropy.below(Geometry.payloadSize * 8)
            let hop = sample % 5
            var changed = envelope
            for index in 0..<5 {
                if index == hop { changed[Geometry.headerSize + bit / 8] ^= 1 << UInt8(bit % 8) }
                _ = try unwrap(&changed, try path.key(index))
            }
            let payload = Array(changed[Geometry.headerSize...])
            #expect(throws: EnvelopeError.tamperedPayload) { try Payload.content(of: payload) }
        }
    }

    @Test("a flipped payload bit of a reply is found by the agent")
    func replyBits() throws {
        var entropy = Entropy(seed: 10)
        let path = Path(4, &entropy)
        let (block, keys) = try ReplyBlock.make(
            path: path.hops, handle: Bytes16(), id: Bytes16(), entropy: &entropy)
        let envelope = try block.reply(content: [5, 6])
        for sample in 0..<40 {
            let bit = entropy.below(Geometry.payloadSize * 8)
            var changed = envelope
            for index in 0..<4 {
                if index == sample % 4 { changed[Geometry.headerSize + bit / 8] ^= 1 << UInt8(bit % 8) }
                _ = try unwrap(&changed, try path.key(index))
            }
            #expect(throws: EnvelopeError.tamperedPayload) { try keys.open(Array(changed[Geometry.headerSize...])) }
        }
    }

    @Test("an envelope of any other length is refused")
    func truncation() throws {
        var entropy = Entropy(seed: 11)
        let path = Path(2, &entropy)
        let envelope = try Wrap.forward(path: path.hops, content: [], entropy: &entropy)
        let key = try path.key(0)
        for size in 0..<envelope.count {
            var cut = Array(envelope[0..<size])
            #expect(throws: EnvelopeError.wrongSize(expected: Geometry.envelopeSize, actual: size)) {
                try unwrap(&cut, key)
            }
        }
        var long = envelope + [0]
        #expect(throws: EnvelopeError.self) { try unwrap(&long, key) }
    }

    @Test("points of low order are refused by relays and by senders")
    func lowOrder() throws {
        var entropy = Entropy(seed: 12)
        let path = Path(2, &entropy)
        var envelope = try Wrap.forward(path: path.hops, content: [], entropy: &entropy)
        for index in 0..<32 { envelope[index] = 0 }
        let key = try path.key(0)
        #expect(throws: EnvelopeError.invalidEphemeral) { try unwrap(&envelope, key) }
        let bad = Hop(node: Bytes32(), key: X25519PublicKey(Bytes32()))
        #expect(throws: EnvelopeError.invalidRelayKey) {
            try Wrap.forward(path: [bad], content: [], entropy: &entropy)
        }
    }

    @Test("an envelope with an unknown command or non-zero reserved bytes is refused")
    func routingBlocks() throws {
        var raw = [UInt8](repeating: 0, count: 64)
        for command in UInt8.min...UInt8.max {
            raw[0] = command
            let known = Command(rawValue: command) != nil
            var accepted = true
            raw.withUnsafeBytes { bytes in
                do throws(EnvelopeError) { _ = try RoutingBlock(decoding: bytes) } catch { accepted = false }
            }
            #expect(accepted == known)
        }
        for index in [1, 2, 3] + Array(56..<64) {
            raw = [UInt8](repeating: 0, count: 64)
            raw[0] = 1
            raw[index] = 1
            var accepted = true
            raw.withUnsafeBytes { bytes in
                do throws(EnvelopeError) { _ = try RoutingBlock(decoding: bytes) } catch { accepted = false }
            }
            #expect(!accepted)
        }
    }

    @Test("copies of one envelope have one replay tag, different envelopes different ones")
    func replayTags() throws {
        var entropy = Entropy(seed: 13)
        let path = Path(1, &entropy)
        var tags: Set<Bytes16> = []
        let key = try path.key(0)
        for _ in 0..<50 {
            let envelope = try Wrap.forward(path: path.hops, content: [], entropy: &entropy)
            var first = envelope
            var second = envelope
            let tag = try unwrap(&first, key).replayTag
            #expect(try unwrap(&second, key).replayTag == tag)
            tags.insert(tag)
        }
        #expect(tags.count == 50)
    }

    @Test("a copy with another payload has the same replay tag, and its payload is noise")
    func recombination() throws {
        var entropy = Entropy(seed: 16)
        let path = Path(1, &entropy)
        let key = try path.key(0)
        let one = try Wrap.forward(path: path.hops, content: [1], entropy: &entropy)
        let other = try Wrap.forward(path: path.hops, content: [2], entropy: &entropy)
        var original = one
        var mixed = Array(one[0..<Geometry.headerSize] + other[Geometry.headerSize...])
        #expect(try unwrap(&mixed, key).replayTag == unwrap(&original, key).replayTag)
        #expect(throws: EnvelopeError.tamperedPayload) {
            try Payload.content(of: Array(mixed[Geometry.headerSize...]))
        }
    }

    @Test("what a hop leaves shares no 8 bytes in place with what it got")
    func unlinkability() throws {
        var entropy = Entropy(seed: 17)
        let path = Path(5, &entropy)
        var envelope = try Wrap.forward(path: path.hops, content: [], entropy: &entropy)
        for index in 0..<5 {
            let before = envelope
            _ = try unwrap(&envelope, try path.key(index))
            for start in stride(from: 0, to: envelope.count, by: 8) {
                #expect(before[start..<start + 8] != envelope[start..<start + 8])
            }
        }
    }

    @Test("paths of no hop or of six, and content over the limit, are refused")
    func limits() throws {
        var entropy = Entropy(seed: 14)
        let path = Path(6, &entropy)
        #expect(throws: EnvelopeError.pathLength(0)) { try Wrap.forward(path: [], content: [], entropy: &entropy) }
        #expect(throws: EnvelopeError.pathLength(6)) {
            try Wrap.forward(path: path.hops, content: [], entropy: &entropy)
        }
        #expect(throws: EnvelopeError.contentTooLong(2015)) {
            try Wrap.forward(
                path: [path.hops[0]], content: [UInt8](repeating: 0, count: 2015), entropy: &entropy)
        }
    }

    @Test("unwrapping allocates nothing")
    func allocations() throws {
        var entropy = Entropy(seed: 15)
        let path = Path(5, &entropy)
        let key = try path.key(0)
        var envelopes: [[UInt8]] = []
        for _ in 0..<20 { envelopes.append(try Wrap.forward(path: path.hops, content: [1], entropy: &entropy)) }
        var failures = 0
        var total: UInt = 0
        for index in envelopes.indices {
            envelopes[index].withUnsafeMutableBytes { raw in
                let before = hulda_thread_allocations()
                do throws(EnvelopeError) { _ = try Unwrap.process(raw, key: key) } catch { failures += 1 }
                if index > 0 { total += hulda_thread_allocations() - before }
            }
        }
        #expect(failures == 0)
        #expect(total == 0)
    }

    @Test("random envelopes and service requests are refused or decoded, never a crash")
    func fuzz() throws {
        let seed: UInt64 = 20_261_123
        print("seed \(seed)")
        var entropy = Entropy(seed: seed)
        let path = Path(1, &entropy)
        let key = try path.key(0)
        for _ in 0..<2000 {
            var noise = entropy.array(Geometry.envelopeSize)
            #expect(throws: EnvelopeError.self) { try unwrap(&noise, key) }
        }
        for _ in 0..<20_000 {
            let noise = entropy.array(entropy.below(Geometry.contentSize))
            if let request = try? ServiceRequest(decoding: noise) { #expect(request.encode() == noise) }
        }
    }
}
