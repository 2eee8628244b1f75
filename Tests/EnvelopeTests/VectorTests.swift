import Primitives
import Testing

@testable import Envelope

@Suite("The vectors of specs/vectors/envelope.json")
struct VectorTests {
    private let vectors: EnvelopeVectors

    init() throws { vectors = try EnvelopeVectors.load() }

    @Test("hold forward envelopes and replies of one to five hops, and every kind of refusal")
    func completeness() {
        for kind in [EnvelopeCase.Kind.forward, .reply] {
            #expect(vectors.cases.filter { $0.kind == kind }.map(\.hops.count) == Array(1...Geometry.hops))
        }
        let errors: Set<String> = ["invalidEphemeral", "wrongMAC", "malformedRouting", "tamperedPayload"]
        #expect(Set(vectors.refusals.map(\.error)) == errors)
        let commands = Set(vectors.cases.map(\.command)).union([Command.relay.rawValue])
        #expect(commands == Set(Command.allCases.map(\.rawValue)))
    }

    @Test("are what a sender makes of their ephemeral keys, padding and seeds, bit for bit")
    func wrap() throws {
        for vector in vectors.cases { try vector.checkWrap() }
    }

    @Test("open at every hop with each key, authenticator, header, tag and payload as written")
    func unwrap() throws {
        for vector in vectors.cases { try vector.checkUnwrap() }
    }

    @Test("that must be refused are refused for the named reason, and stay unchanged where the header is at fault")
    func refusals() throws {
        for refusal in vectors.refusals {
            var envelope = refusal.envelope.bytes
            let journey = try Journey(&envelope, keys: [refusal.privateKey.bytes])
            #expect(journey.error == refusal.error, "\(refusal.name)")
            if refusal.error != "tamperedPayload" { #expect(envelope == refusal.envelope.bytes, "\(refusal.name)") }
        }
    }

    @Test("cannot be made from ephemeral keys or padding for another number of hops")
    func wrongDraw() throws {
        let two = try #require(vectors.cases.first { $0.hops.count == 2 })
        let three = try #require(vectors.cases.first { $0.hops.count == 3 })
        #expect(throws: EnvelopeError.pathLength(2)) {
            try Wrap.forward(path: try two.path(), command: .deliver, id: Bytes16(), content: [], three.draw())
        }
        for count in [-1, 0, 6] {
            var entropy = Entropy(seed: 1)
            #expect(throws: EnvelopeError.pathLength(count)) { _ = try HeaderDraw(hops: count, &entropy).padding }
        }
    }
}
