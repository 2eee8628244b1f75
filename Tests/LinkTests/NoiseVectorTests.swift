import Foundation
import Primitives
import Testing

@testable import Link

/// The entries of specs/vectors/noise.json.
struct NoiseVectors: Decodable {
    struct Message: Decodable {
        let payload: String
        let ciphertext: String
    }
    struct Vector: Decodable, CustomTestStringConvertible {
        let source: String
        let protocolName: String
        let initPrologue: String
        let initStatic: String?
        let initEphemeral: String
        let initRemoteStatic: String
        let respPrologue: String
        let respStatic: String
        let respEphemeral: String
        let handshakeHash: String?
        let messages: [Message]
        var testDescription: String { "\(protocolName) of \(source)" }
        var pattern: NoisePattern { protocolName.hasPrefix("Noise_IK_") ? .ik : .nk }
    }
    let vectors: [Vector]

    static func load() throws -> [Vector] {
        let file = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../specs/vectors/noise.json").standardized
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(NoiseVectors.self, from: Data(contentsOf: file)).vectors
    }
}

/// The private key of fixed bytes.
func privateKey(_ hex: String) throws -> X25519PrivateKey {
    var bytes = try #require(Hex.decode(hex))
    return try X25519PrivateKey(SecretBytes(taking: &bytes))
}

/// The nth key of a family, the same in every run.
func privateKey(_ number: UInt64) -> X25519PrivateKey {
    var entropy = Entropy(seed: 0x6b65_7900 + number)
    return X25519PrivateKey(&entropy)
}

/// `#require` for the throwing consumption of non-copyable values.
func linkError(_ body: () throws -> Void) -> LinkError? {
    do {
        try body()
        return nil
    } catch {
        return error as? LinkError
    }
}

@Suite("Noise handshakes")
struct NoiseVectorTests {
    @Test("the public vectors hold both protocols from two sources")
    func vectorsAreComplete() throws {
        let names = try NoiseVectors.load().map { $0.testDescription }
        #expect(
            Set(names) == [
                "Noise_IK_25519_ChaChaPoly_BLAKE2b of cacophony", "Noise_NK_25519_ChaChaPoly_BLAKE2b of cacophony",
                "Noise_IK_25519_ChaChaPoly_BLAKE2b of snow", "Noise_NK_25519_ChaChaPoly_BLAKE2b of snow",
            ])
    }

    @Test("every message of the public vectors comes out as published", arguments: try NoiseVectors.load())
    func knownAnswers(_ vector: NoiseVectors.Vector) throws {
        let identity: X25519PrivateKey?
        if let hex = vector.initStatic { identity = try privateKey(hex) } else { identity = nil }
        let remoteBytes = try #require(Hex.decode(vector.initRemoteStatic))
        let remote = X25519PublicKey(try #require(Bytes32(remoteBytes)))
        var initiator = NoiseHandshake.initiator(
            vector.pattern, prologue: try #require(Hex.decode(vector.initPrologue)), identity: identity,
            responder: remote, ephemeral: try privateKey(vector.initEphemeral))
        var responder = NoiseHandshake.responder(
            vector.pattern, prologue: try #require(Hex.decode(vector.respPrologue)),
            identity: try privateKey(vector.respStatic), ephemeral: try privateKey(vector.respEphemeral))

        let payloads = try vector.messages.map { try #require(Hex.decode($0.payload)) }
        let first = try initiator.write(payloads[0])
        #expect(Hex.encode(first) == vector.messages[0].ciphertext)
        let firstPayload = try responder.read(first)
        #expect(firstPayload == payloads[0])
        let second = try responder.write(payloads[1])
        #expect(Hex.encode(second) == vector.messages[1].ciphertext)
        let secondPayload = try initiator.read(second)
        #expect(secondPayload == payloads[1])
        let learnt = responder.remoteStatic
        #expect((learnt == nil) == (vector.initStatic == nil))

        let near = try initiator.split()
        let far = try responder.split()
        #expect(near.hash == far.hash)
        if let published = vector.handshakeHash { #expect(near.hash.hex == published) }

        var initiatorSends = NoiseCipherBox(near.fromInitiator)
        var responderSends = NoiseCipherBox(far.fromResponder)
        var responderReceives = NoiseCipherBox(far.fromInitiator)
        var initiatorReceives = NoiseCipherBox(near.fromResponder)
        for (index, message) in vector.messages.enumerated().dropFirst(2) {
            let sealed: [UInt8]
            let opened: [UInt8]
            if index % 2 == 0 {
                sealed = try initiatorSends.seal(payloads[index])
                opened = try responderReceives.open(sealed)
            } else {
                sealed = try responderSends.seal(payloads[index])
                opened = try initiatorReceives.open(sealed)
            }
            #expect(Hex.encode(sealed) == message.ciphertext)
            #expect(opened == payloads[index])
        }
    }

    @Test("REKEY gives the first 32 bytes of 32 zeros sealed under the highest nonce")
    func rekey() throws {
        let key = SecretBytes(count: 32)
        var cipher = NoiseCipher(key: key.copy())
        cipher.rekey()
        // RFC 8439: block 1 of the ChaCha20 key stream under that nonce is what encrypts zeros.
        var expected = [UInt8](repeating: 0, count: 32)
        let nonce: [UInt8] = [0, 0, 0, 0] + [UInt8](repeating: 0xff, count: 8)
        expected.withUnsafeMutableBytes { out in
            key.withUnsafeBytes { key in
                nonce.withUnsafeBytes { ChaCha20.xor(out, key: key, nonce: $0, counter: 1) }
            }
        }
        let actual = cipher.takeKey().withUnsafeBytes { Array($0) }
        #expect(actual == expected)
    }

    @Test("the reserved nonce is never used for a message")
    func exhaustion() {
        var cipher = NoiseCipher(key: SecretBytes(count: 32), counter: .max - 1)
        var buffer = [UInt8](repeating: 0, count: 20)
        let errors = (0..<2).map { _ in
            linkError { try buffer.withUnsafeMutableBytes { raw in try cipher.seal(raw) } }
        }
        #expect(errors == [nil, .exhausted])
    }

    @Test("a message out of turn is refused on either side")
    func outOfTurn() throws {
        let key = privateKey(1)
        var responder = NoiseHandshake.responder(.nk, prologue: [], identity: key.copy(), ephemeral: privateKey(2))
        #expect(linkError { _ = try responder.write([]) } == .outOfTurn)
        var initiator = NoiseHandshake.initiator(
            .nk, prologue: [], identity: nil, responder: key.publicKey, ephemeral: privateKey(3))
        #expect(linkError { _ = try initiator.read([UInt8](repeating: 0, count: 64)) } == .outOfTurn)
        #expect(linkError { _ = try initiator.write([]) } == nil)
        #expect(linkError { _ = try initiator.write([]) } == .outOfTurn)
    }

    @Test("an ephemeral of low order is refused")
    func lowOrder() {
        var responder = NoiseHandshake.responder(.ik, prologue: [], identity: privateKey(1), ephemeral: privateKey(2))
        let zeros = [UInt8](repeating: 0, count: NoisePattern.ik.firstOverhead)
        #expect(linkError { _ = try responder.read(zeros) } == .invalidKey)
    }
}

/// A cipher over arrays.
struct NoiseCipherBox: ~Copyable {
    private var cipher: NoiseCipher
    init(_ key: borrowing SecretBytes) { cipher = NoiseCipher(key: key.copy()) }

    mutating func rekey() { cipher.rekey() }

    mutating func seal(_ plaintext: [UInt8]) throws -> [UInt8] {
        var out = plaintext + [UInt8](repeating: 0, count: 16)
        try out.withUnsafeMutableBytes { try cipher.seal($0) }
        return out
    }

    mutating func open(_ sealed: [UInt8]) throws -> [UInt8] {
        var out = sealed
        try out.withUnsafeMutableBytes { try cipher.open($0) }
        return Array(out.dropLast(16))
    }
}
