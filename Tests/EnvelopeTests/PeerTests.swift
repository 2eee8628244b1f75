import Foundation
import Primitives
import SecondImplementation
import Testing
import Wire

@testable import Envelope

extension Peer {
    fileprivate static let envelope = Peer("envelope")

    /// What the peer reads of an envelope, hop by hop.
    fileprivate struct Answer: Decodable {
        struct Hop: Decodable {
            @Number var command: UInt8
            @Number var delay: UInt32
            let target, id, replayTag: HexBytes
        }
        let envelope, payload, content: HexBytes
        let hops: [Hop]
        let error: String
    }

    fileprivate static func answers(to requests: [[String: Any]]) throws -> [Answer] {
        try envelope.answers(["verify"], to: requests)
    }

    fileprivate static func cases(seed: UInt64, count: Int) throws -> [EnvelopeCase] {
        try envelope.answers(["generate", "\(seed)", "\(count)"])
    }
}

@Suite("A second implementation in Python", .enabled(if: Peer.isWanted, "HULDA_PYTHON is not set"))
struct PeerTests {
    /// A fresh seed for a run, or that of an earlier one from the environment's `HULDA_SEED`.
    private func seed(_ what: String) -> UInt64 {
        let given = ProcessInfo.processInfo.environment["HULDA_SEED"].flatMap { UInt64($0) }
        var system = Entropy.system()
        let seed = given ?? system.uint64() >> 12
        print("\(what): HULDA_SEED=\(seed)")
        return seed
    }

    @Test("writes the committed vectors again, byte for byte")
    func vectors() throws {
        #expect(try Peer.envelope.writesVectors())
    }

    @Test("makes forward envelopes and reply blocks on random paths that are ours, bit for bit, and open here")
    func fromPeer() throws {
        let cases = try Peer.cases(seed: seed("envelopes from Python"), count: 40)
        #expect(cases.count == 40)
        for made in cases {
            try made.checkWrap()
            try made.checkUnwrap()
        }
    }

    @Test("reads our forward envelopes on random paths: routing blocks, replay tags, content")
    func forward() throws {
        var entropy = Entropy(seed: seed("forward envelopes to Python"))
        var requests: [[String: Any]] = []
        var expected: [Journey] = []
        for _ in 0..<40 {
            let path = Path(1 + entropy.below(Geometry.hops), &entropy)
            let commands: [Command] = [.deliver, .loop, .drop, .circuit]
            var envelope = try Wrap.forward(
                path: path.hops, command: commands[entropy.below(4)], id: entropy.bytes(),
                content: entropy.array(entropy.below(Geometry.contentSize + 1)), entropy: &entropy)
            requests.append(["envelope": Hex.encode(envelope), "keys": path.keys.map { Hex.encode($0) }])
            expected.append(try Journey(&envelope, keys: path.keys))
        }
        #expect(expected.allSatisfy { $0.error.isEmpty })
        try compare(try Peer.answers(to: requests), expected)
    }

    @Test("answers through our reply blocks with the envelope that we would send, and opens it with our reply keys")
    func reply() throws {
        var entropy = Entropy(seed: seed("replies by Python"))
        var requests: [[String: Any]] = []
        var expected: [Journey] = []
        var envelopes: [[UInt8]] = []
        for _ in 0..<40 {
            let path = Path(1 + entropy.below(Geometry.hops), &entropy)
            let (block, keys) = try ReplyBlock.make(
                path: path.hops, handle: entropy.bytes(), id: entropy.bytes(), entropy: &entropy)
            let content = entropy.array(entropy.below(Geometry.contentSize + 1))
            var envelope = try block.reply(content: content)
            envelopes.append(envelope)
            var blockWriter = Writer()
            block.encode(&blockWriter)
            var keyWriter = Writer()
            keys.encode(&keyWriter)
            requests.append([
                "replyBlock": Hex.encode(blockWriter.bytes), "replyKeys": Hex.encode(keyWriter.bytes),
                "content": Hex.encode(content), "keys": path.keys.map { Hex.encode($0) },
            ])
            let journey = try Journey(&envelope, keys: path.keys, replyKeys: keys)
            #expect(journey.content == content)
            expected.append(journey)
        }
        let answers = try Peer.answers(to: requests)
        #expect(answers.map(\.envelope.bytes) == envelopes)
        try compare(answers, expected)
    }

    @Test("refuses what we refuse, at the same hop and for the same reason, when bits flip on the way")
    func corruption() throws {
        var entropy = Entropy(seed: seed("changed envelopes to Python"))
        var requests: [[String: Any]] = []
        var expected: [Journey] = []
        for round in 0..<120 {
            let path = Path(1 + entropy.below(Geometry.hops), &entropy)
            var envelope = try Wrap.forward(path: path.hops, content: entropy.array(500), entropy: &entropy)
            // The change happens on the link to a random hop.
            let hop = entropy.below(path.hops.count)
            for index in 0..<hop { _ = try unwrap(&envelope, try path.key(index)) }
            let size = [Geometry.ephemeralSize, Geometry.headerSize, Geometry.envelopeSize][round % 3]
            let bit = entropy.below(size * 8)
            envelope[bit / 8] ^= 1 << UInt8(bit % 8)
            if round % 10 == 9 { envelope.removeLast() }
            let keys = Array(path.keys[hop...])
            requests.append(["envelope": Hex.encode(envelope), "keys": keys.map { Hex.encode($0) }])
            expected.append(try Journey(&envelope, keys: keys))
        }
        #expect(expected.allSatisfy { !$0.error.isEmpty })
        try compare(try Peer.answers(to: requests), expected)
    }

    private func compare(_ answers: [Peer.Answer], _ expected: [Journey]) throws {
        #expect(answers.count == expected.count)
        for (answer, journey) in zip(answers, expected) {
            #expect(answer.error == journey.error)
            #expect(answer.payload.bytes == journey.payload)
            #expect(answer.content.bytes == journey.content)
            #expect(answer.hops.count == journey.hops.count)
            for (read, hop) in zip(answer.hops, journey.hops) {
                #expect(read.command == hop.routing.command.rawValue)
                #expect(read.delay == hop.routing.delayMilliseconds)
                #expect(read.target.bytes == hop.routing.target.bytes)
                #expect(read.id.bytes == hop.routing.id.bytes)
                #expect(read.replayTag.bytes == hop.replayTag.bytes)
            }
        }
    }
}
