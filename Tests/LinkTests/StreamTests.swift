import Primitives
import Testing

@testable import Link

/// Both ends of an established stream link.
struct StreamPair: ~Copyable {
    var initiator: StreamSession
    var responder: StreamSession
    let peer: X25519PublicKey?

    init(anonymous: Bool = false, seed: UInt64 = 1) throws {
        var entropy = Entropy(seed: seed)
        let key = privateKey(1)
        let start = try StreamPair.start(anonymous: anonymous, &entropy)
        let accepted = try StreamResponder.respond(to: start.firstMessage, key: key, entropy: &entropy)
        initiator = try start.finish(accepted.reply)
        peer = accepted.peer
        responder = accepted.takeSession()
    }

    static func start(anonymous: Bool, _ entropy: inout Entropy) throws -> StreamInitiator {
        let responder = privateKey(1).publicKey
        if anonymous { return try StreamInitiator(responder: responder, entropy: &entropy) }
        return try StreamInitiator(identity: privateKey(2), responder: responder, entropy: &entropy)
    }
}

extension StreamSession {
    mutating func frame(kind: UInt8 = 7, _ body: [UInt8]) throws -> [UInt8] {
        var out = [UInt8](repeating: 0xaa, count: StreamSession.frameSize)
        try out.withUnsafeMutableBytes { out in try body.withUnsafeBytes { try seal(kind: kind, body: $0, into: out) } }
        return out
    }

    mutating func read(_ frame: [UInt8]) throws -> (kind: UInt8, body: [UInt8]) {
        var copy = frame
        let opened = try copy.withUnsafeMutableBytes { try open($0) }
        return (opened.kind, Array(copy[opened.bodyOffset..<opened.bodyOffset + opened.bodyCount]))
    }
}

@Suite("Stream links")
struct StreamTests {
    @Test("a server is known to its peer, an agent is not", arguments: [false, true])
    func peers(anonymous: Bool) throws {
        let pair = try StreamPair(anonymous: anonymous)
        let peer = pair.peer
        #expect(peer == (anonymous ? nil : privateKey(2).publicKey))
        let hashes = (pair.initiator.handshakeHash, pair.responder.handshakeHash)
        #expect(hashes.0 == hashes.1)
    }

    @Test("messages have the sizes that the specification gives")
    func sizes() throws {
        var entropy = Entropy(seed: 1)
        let ik = try StreamPair.start(anonymous: false, &entropy).firstMessage
        let nk = try StreamPair.start(anonymous: true, &entropy).firstMessage
        #expect(ik.count == 1281 && ik.first == 1)
        #expect(nk.count == 1233 && nk.first == 2)
        #expect(StreamResponder.firstMessageSize(startingWith: 1) == 1281)
        #expect(StreamResponder.firstMessageSize(startingWith: 2) == 1233)
        #expect(StreamResponder.firstMessageSize(startingWith: 0) == nil)
        #expect(StreamResponder.firstMessageSize(startingWith: nil) == nil)
        #expect(StreamInitiator.secondMessageSize == 1136)
        #expect(StreamSession.frameSize == 2631)
    }

    @Test("frames of every length arrive in both directions", arguments: [false, true])
    func frames(anonymous: Bool) throws {
        var pair = try StreamPair(anonymous: anonymous)
        for count in [0, 1, 255, 256, 1000, StreamSession.bodyLimit] {
            let body = [UInt8](repeating: UInt8(truncatingIfNeeded: count), count: count)
            let there = try pair.responder.read(try pair.initiator.frame(kind: 3, body))
            let back = try pair.initiator.read(try pair.responder.frame(kind: 255, body))
            #expect(there.kind == 3 && there.body == body)
            #expect(back.kind == 255 && back.body == body)
        }
    }

    @Test("a body beyond the limit is refused before anything is sealed")
    func oversize() throws {
        var pair = try StreamPair()
        let long = [UInt8](repeating: 0, count: StreamSession.bodyLimit + 1)
        let error = linkError { _ = try pair.initiator.frame(long) }
        #expect(error == .oversize(limit: 2612, actual: 2613))
        let next = try pair.responder.read(try pair.initiator.frame([1]))
        #expect(next.body == [1])
    }

    @Test("a replayed, reordered, reflected or corrupted frame fails")
    func badFrames() throws {
        var pair = try StreamPair()
        let one = try pair.initiator.frame([1])
        let two = try pair.initiator.frame([2])
        #expect(linkError { _ = try pair.responder.read(two) } == .authenticationFailed)
        #expect(linkError { _ = try pair.initiator.read(one) } == .authenticationFailed)
        #expect(linkError { _ = try pair.responder.read(one) } == nil)
        #expect(linkError { _ = try pair.responder.read(one) } == .authenticationFailed)
        for bit in stride(from: 0, to: two.count * 8, by: 97) {
            var bad = two
            bad[bit / 8] ^= 1 << (bit % 8)
            #expect(linkError { _ = try pair.responder.read(bad) } == .authenticationFailed)
        }
        #expect(linkError { _ = try pair.responder.read(Array(two.dropLast())) } == .malformed)
        #expect(linkError { _ = try pair.responder.read(two) } == nil)
    }

    @Test("a frame of the peer whose length exceeds the body is refused")
    func wrongLength() throws {
        var near = NoiseCipher(key: SecretBytes(count: 32))
        var far = StreamSession(
            sending: NoiseCipher(key: SecretBytes(count: 32)), receiving: NoiseCipher(key: SecretBytes(count: 32)),
            handshakeHash: Bytes64())
        for (count, isRight) in [(2612, true), (2613, false), (65535, false)] {
            var frame = [UInt8](repeating: 0, count: StreamSession.frameSize)
            frame[1] = UInt8(truncatingIfNeeded: count)
            frame[2] = UInt8(truncatingIfNeeded: count >> 8)
            try frame.withUnsafeMutableBytes { try near.seal($0) }
            #expect(linkError { _ = try far.read(frame) } == (isRight ? nil : .malformed))
        }
    }

    @Test("the bodies of equal frames are unlike on the wire")
    func noRepetition() throws {
        var pair = try StreamPair()
        let one = try pair.initiator.frame([1])
        let two = try pair.initiator.frame([1])
        let equal = zip(one, two).count { $0 == $1 }
        #expect(equal < 64)
    }

    @Test("a first message with any sampled bit flipped, cut or extended gets no answer", arguments: [false, true])
    func badFirst(anonymous: Bool) throws {
        var entropy = Entropy(seed: 5)
        let key = privateKey(1)
        let first = try StreamPair.start(anonymous: anonymous, &entropy).firstMessage
        for bit in stride(from: 0, to: first.count * 8, by: 61) {
            // X25519 ignores the top bit of a point, but the handshake hash does not.
            var bad = first
            bad[bit / 8] ^= 1 << (bit % 8)
            let error = linkError { _ = try StreamResponder.respond(to: bad, key: key, entropy: &entropy).reply }
            #expect(error != nil, "bit \(bit)")
        }
        for count in [0, 1, 32, 33, first.count - 1] {
            let cut = Array(first.prefix(count))
            #expect(
                linkError { _ = try StreamResponder.respond(to: cut, key: key, entropy: &entropy).reply } == .malformed)
        }
        #expect(
            linkError { _ = try StreamResponder.respond(to: first + [0], key: key, entropy: &entropy).reply }
                == .malformed)
    }

    @Test("a second message with any sampled bit flipped is refused", arguments: [false, true])
    func badSecond(anonymous: Bool) throws {
        let key = privateKey(1)
        for index in 0..<40 {
            var entropy = Entropy(seed: UInt64(index))
            let start = try StreamPair.start(anonymous: anonymous, &entropy)
            var reply = try StreamResponder.respond(to: start.firstMessage, key: key, entropy: &entropy).reply
            let bit = index * (reply.count * 8 - 1) / 39
            reply[bit / 8] ^= 1 << (bit % 8)
            var failed = false
            do { _ = try start.finish(reply).handshakeHash } catch { failed = true }
            #expect(failed, "bit \(bit)")
        }
    }

    @Test("a handshake with the wrong responder key fails")
    func wrongKey() throws {
        var entropy = Entropy(seed: 9)
        let start = try StreamPair.start(anonymous: false, &entropy)
        let first = start.firstMessage
        #expect(
            linkError { _ = try StreamResponder.respond(to: first, key: privateKey(3), entropy: &entropy).reply }
                == .authenticationFailed)
    }

    @Test("the ML-KEM secret takes part in both transport keys")
    func postQuantum() {
        let key = SecretBytes(count: 32)
        var one = SecretBytes(count: 32)
        one.withUnsafeMutableBytes { $0[31] = 1 }
        let a = StreamHandshake.mix(key, SecretBytes(count: 32), Bytes64()).withUnsafeBytes { Array($0) }
        let b = StreamHandshake.mix(key, one, Bytes64()).withUnsafeBytes { Array($0) }
        let c = StreamHandshake.mix(one, SecretBytes(count: 32), Bytes64()).withUnsafeBytes { Array($0) }
        #expect(Set([a, b, c]).count == 3)
    }

    @Test("both sides change keys after the same frame, and a forgery at that moment changes nothing")
    func rekey() throws {
        let start = StreamSession.framesPerKey - 1
        func cipher() -> NoiseCipher { NoiseCipher(key: SecretBytes(count: 32), counter: start) }
        var near = StreamSession(sending: cipher(), receiving: cipher(), handshakeHash: Bytes64())
        var far = StreamSession(sending: cipher(), receiving: cipher(), handshakeHash: Bytes64())
        for number in 0..<3 as Range<UInt8> {
            let frame = try near.frame([number])
            var forged = frame
            forged[0] ^= 1
            #expect(linkError { _ = try far.read(forged) } == .authenticationFailed)
            #expect(linkError { _ = try far.read(forged) } == .authenticationFailed)
            let body = try far.read(frame).body
            #expect(body == [number])
        }
    }
}
