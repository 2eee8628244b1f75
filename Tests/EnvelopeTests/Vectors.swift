import Foundation
import Primitives
import SecondImplementation
import Testing
import Wire

@testable import Envelope

/// Bytes that a vector gives in hexadecimal.
struct HexBytes: Decodable {
    let bytes: [UInt8]

    init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        bytes = try #require(Hex.decode(text), "no hexadecimal: \(text)")
    }

    func fixed<T: FixedBytes>(_ type: T.Type = T.self) throws -> T {
        try #require(T(bytes), "\(bytes.count) bytes, not \(T.count)")
    }

    func secret() -> SecretBytes {
        var copy = bytes
        return SecretBytes(taking: &copy)
    }

    func privateKey() throws -> X25519PrivateKey { try X25519PrivateKey(secret()) }
}

/// specs/vectors/envelope.json, written by Tests/Peers/envelope.py.
struct EnvelopeVectors: Decodable {
    let cases: [EnvelopeCase]
    let refusals: [Refusal]

    static func load() throws -> EnvelopeVectors {
        try Peer.vectors("envelope")
    }
}

/// An envelope for one hop that the hop, or the reader of its payload, must refuse.
struct Refusal: Decodable {
    let name: String
    let privateKey: HexBytes
    let envelope: HexBytes
    let error: String
}

/// One hop of a case: what goes in, and every value computed on the way.
struct HopValues: Decodable {
    let privateKey, publicKey, node: HexBytes
    @Number var delay: UInt32
    let ephemeralPrivate, ephemeral, routing: HexBytes
    let sharedSecret, macKey, streamKey, payloadSeed, lionessKey: HexBytes
    let macInput, mac, headerAfter, replayTag: HexBytes
    /// BLAKE2b-256 of the payload that the hop leaves, and its first 32 bytes.
    let payloadDigest, payloadStart: HexBytes
}

/// One envelope from its sender to its end.
struct EnvelopeCase: Decodable, CustomTestStringConvertible {
    enum Kind: String, Decodable { case forward, reply }

    let kind: Kind
    @Number var command: UInt8
    let id, content, padding, envelope: HexBytes
    let hops: [HopValues]
    let handle, replySeed, replyBlock, replyKeys: HexBytes?

    var testDescription: String { "\(kind) of \(hops.count) hops" }

    func path() throws -> [Hop] {
        try hops.map {
            Hop(node: try $0.node.fixed(), key: X25519PublicKey(try $0.publicKey.fixed()), delayMilliseconds: $0.delay)
        }
    }

    func draw() -> HeaderDraw {
        var ephemerals = hops.flatMap { $0.ephemeralPrivate.bytes }
        return HeaderDraw(ephemerals: SecretBytes(taking: &ephemerals), padding: padding.bytes)
    }

    /// The sender's side: our envelope, reply block and reply keys are the case's, byte for byte.
    func checkWrap() throws {
        guard kind == .reply else {
            let made = try Wrap.forward(
                path: try path(), command: try #require(Command(rawValue: command)), id: try id.fixed(),
                content: content.bytes, draw())
            #expect(made == envelope.bytes)
            return
        }
        let (block, keys) = try ReplyBlock.make(
            path: try path(), handle: try #require(handle).fixed(), id: try id.fixed(), draw(),
            seed: try #require(replySeed).fixed())
        var blockWriter = Writer()
        block.encode(&blockWriter)
        #expect(blockWriter.bytes == replyBlock?.bytes)
        var keyWriter = Writer()
        keys.encode(&keyWriter)
        #expect(keyWriter.bytes == replyKeys?.bytes)
        #expect(try block.reply(content: content.bytes) == envelope.bytes)
    }

    /// The relays' side and the end: each value on the way, and the content.
    func checkUnwrap() throws {
        var current = envelope.bytes
        for (index, hop) in hops.enumerated() {
            #expect(Array(current[Geometry.macRange]) == hop.mac.bytes)
            #expect(Array(current[Geometry.betaRange]) == hop.macInput.bytes)
            try hop.checkKeys(ephemeral: Array(current[0..<Geometry.ephemeralSize]))

            let opened = try unwrap(&current, try hop.privateKey.privateKey())
            #expect(opened.replayTag == (try hop.replayTag.fixed()))
            #expect(Array(current[0..<Geometry.headerSize]) == hop.headerAfter.bytes)
            let payload = Array(current[Geometry.headerSize...])
            #expect(digest(payload) == hop.payloadDigest.bytes)
            #expect(Array(payload[0..<32]) == hop.payloadStart.bytes)

            let routing = opened.routing
            #expect(routing.delayMilliseconds == hop.delay)
            if index + 1 < hops.count {
                #expect(routing.command == .relay)
                #expect(routing.target == (try hops[index + 1].node.fixed()))
            } else {
                #expect(routing.command.rawValue == command)
                #expect(routing.id == (try id.fixed()))
                if let handle { #expect(routing.handle == (try handle.fixed())) }
            }
            var encoded = [UInt8](repeating: 0xff, count: Geometry.routingSize)
            encoded.withUnsafeMutableBytes { routing.encode(into: $0) }
            #expect(encoded == hop.routing.bytes)
        }
        let payload = Array(current[Geometry.headerSize...])
        if let replyKeys {
            var reader = Reader(replyKeys.bytes)
            #expect(try ReplyKeys(&reader).open(payload) == content.bytes)
        } else {
            #expect(try Payload.content(of: payload) == content.bytes)
        }
    }
}

extension HopValues {
    /// Every key of this hop, from its private key and the ephemeral key that it sees.
    fileprivate func checkKeys(ephemeral seen: [UInt8]) throws {
        let relay = try privateKey.privateKey()
        let sender = try ephemeralPrivate.privateKey()
        #expect(relay.publicKey.bytes.bytes == publicKey.bytes)
        #expect(sender.publicKey.bytes.bytes == ephemeral.bytes)
        #expect(seen == ephemeral.bytes)

        let secret = bytes(try relay.sharedSecret(with: sender.publicKey))
        #expect(secret == sharedSecret.bytes)
        #expect(bytes(try sender.sharedSecret(with: relay.publicKey)) == secret)

        var head = [UInt8](repeating: 0, count: HopKeys.headSize)
        var seed = [UInt8](repeating: 0, count: Geometry.seedSize)
        var expanded = [UInt8](repeating: 0, count: Lioness.keySize)
        let expectedMAC: Bytes16 = try mac.fixed()
        let computedMAC: Bytes16 = secret.withUnsafeBytes { secret in
            seen.withUnsafeBytes { ephemeral in
                publicKey.bytes.withUnsafeBytes { relay in
                    head.withUnsafeMutableBytes {
                        HopKeys.head(into: $0, secret: secret, ephemeral: ephemeral, relay: relay)
                    }
                    seed.withUnsafeMutableBytes {
                        HopKeys.payloadSeed(
                            into: $0, secret: secret, ephemeral: ephemeral, relay: relay, mac: expectedMAC)
                    }
                }
            }
            return macInput.bytes.withUnsafeBytes { beta in
                head.withUnsafeBytes {
                    HopKeys.mac(beta, key: UnsafeRawBufferPointer(rebasing: $0[0..<32]))
                }
            }
        }
        seed.withUnsafeBytes { seed in expanded.withUnsafeMutableBytes { HopKeys.expand(seed, into: $0) } }
        #expect(Array(head[0..<32]) == macKey.bytes)
        #expect(Array(head[32..<64]) == streamKey.bytes)
        #expect(computedMAC == expectedMAC)
        #expect(seed == payloadSeed.bytes)
        #expect(expanded == lionessKey.bytes)
    }
}

private func bytes(_ secret: borrowing SecretBytes) -> [UInt8] { secret.withUnsafeBytes { Array($0) } }

/// BLAKE2b-256 without key and domain.
private func digest(_ message: [UInt8]) -> [UInt8] {
    var hash = BLAKE2b(outputCount: 32)
    hash.update(message)
    return hash.finalize(as: Bytes32.self).bytes
}
