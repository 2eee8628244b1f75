import Primitives

/// What a hop reads from an envelope.
public struct Unwrapped: Sendable {
    public var routing: RoutingBlock
    /// The same for every copy of one envelope; see ``Relay``'s replay filter.
    public var replayTag: Bytes16

    public init(routing: RoutingBlock, replayTag: Bytes16) {
        self.routing = routing
        self.replayTag = replayTag
    }
}

/// A hop's work: one Curve25519 multiplication, one MAC, one stream, one wide block (specs/envelope.md, "Unwrap").
public enum Unwrap {
    /// Opens one layer in place: the envelope becomes the one for the next hop, or its payload the plaintext.
    ///
    /// Allocates nothing. On an error the envelope is unchanged.
    /// - Parameters:
    ///   - envelope: ``Geometry/envelopeSize`` bytes.
    ///   - key: the relay's mix key of the envelope's epoch.
    /// - Throws: ``EnvelopeError/wrongSize(expected:actual:)``, ``EnvelopeError/invalidEphemeral``,
    ///   ``EnvelopeError/wrongMAC``, ``EnvelopeError/malformedRouting``
    public static func process(
        _ envelope: UnsafeMutableRawBufferPointer, key: borrowing X25519PrivateKey
    ) throws(EnvelopeError) -> Unwrapped {
        guard envelope.count == Geometry.envelopeSize else {
            throw .wrongSize(expected: Geometry.envelopeSize, actual: envelope.count)
        }
        let relay = key.publicKey.bytes
        var result: Result<Unwrapped, EnvelopeError> = .failure(.wrongMAC)
        key.withUnsafeBytes { scalar in
            relay.withUnsafeBytes { relay in
                // One scratch area: shared secret, header keys, payload seed, and the header with its padding.
                withUnsafeTemporaryAllocation(byteCount: Scratch.size, alignment: 16) { scratch in
                    result = layer(envelope, scalar: scalar, relay: relay, Scratch(scratch))
                    SecretBytes.zero(UnsafeMutableRawBufferPointer(rebasing: scratch[0..<Scratch.secretsSize]))
                }
            }
        }
        return try result.get()
    }

    /// Views of one stack allocation.
    private struct Scratch {
        static let secretsSize = HopKeys.secretSize + HopKeys.headSize + Geometry.seedSize
        static let size = secretsSize + Geometry.betaSize + Geometry.shift

        let secret: UnsafeMutableRawBufferPointer
        let head: UnsafeMutableRawBufferPointer
        let seed: UnsafeMutableRawBufferPointer
        let header: UnsafeMutableRawBufferPointer

        @inline(__always)
        init(_ raw: UnsafeMutableRawBufferPointer) {
            secret = UnsafeMutableRawBufferPointer(rebasing: raw[0..<32])
            head = UnsafeMutableRawBufferPointer(rebasing: raw[32..<96])
            seed = UnsafeMutableRawBufferPointer(rebasing: raw[96..<128])
            header = UnsafeMutableRawBufferPointer(rebasing: raw[128..<Scratch.size])
        }
    }

    @inline(__always)
    private static func layer(
        _ envelope: UnsafeMutableRawBufferPointer, scalar: UnsafeRawBufferPointer, relay: UnsafeRawBufferPointer,
        _ scratch: Scratch
    ) -> Result<Unwrapped, EnvelopeError> {
        let ephemeral = UnsafeRawBufferPointer(rebasing: envelope[0..<Geometry.ephemeralSize])
        let beta = UnsafeMutableRawBufferPointer(rebasing: envelope[Geometry.betaRange])
        let secret = UnsafeRawBufferPointer(scratch.secret)
        do throws(PrimitiveError) {
            try X25519.multiply(into: scratch.secret, scalar: scalar, point: ephemeral)
        } catch {
            return .failure(.invalidEphemeral)
        }
        HopKeys.head(into: scratch.head, secret: secret, ephemeral: ephemeral, relay: relay)
        let macKey = UnsafeRawBufferPointer(rebasing: scratch.head[0..<32])
        let streamKey = UnsafeRawBufferPointer(rebasing: scratch.head[32..<64])

        let expected = HopKeys.mac(UnsafeRawBufferPointer(beta), key: macKey)
        let isAuthentic = expected.withUnsafeBytes {
            ConstantTime.equal($0, UnsafeRawBufferPointer(rebasing: envelope[Geometry.macRange]))
        }
        guard isAuthentic else { return .failure(.wrongMAC) }

        HopKeys.copy(UnsafeRawBufferPointer(beta), into: scratch.header, at: 0)
        UnsafeMutableRawBufferPointer(rebasing: scratch.header[Geometry.betaSize...])
            .initializeMemory(as: UInt8.self, repeating: 0)
        ChaCha20.xor(scratch.header, oneTimeKey: streamKey)
        let header = UnsafeRawBufferPointer(scratch.header)

        let routing: RoutingBlock
        do throws(EnvelopeError) {
            routing = try RoutingBlock(
                decoding: UnsafeRawBufferPointer(rebasing: header[0..<Geometry.routingSize]))
        } catch {
            return .failure(error)
        }
        let tag = HopKeys.replayTag(secret: secret, ephemeral: ephemeral)
        HopKeys.payloadSeed(
            into: scratch.seed, secret: secret, ephemeral: ephemeral, relay: relay, mac: expected)

        // Next ephemeral ‖ next MAC ‖ next β are contiguous, as the envelope wants them.
        envelope.copyMemory(from: UnsafeRawBufferPointer(rebasing: header[Geometry.routingSize...]))
        HopKeys.withPayloadKey(UnsafeRawBufferPointer(scratch.seed)) { key in
            Lioness.decrypt(UnsafeMutableRawBufferPointer(rebasing: envelope[Geometry.headerSize...]), key: key)
        }
        return .success(Unwrapped(routing: routing, replayTag: tag))
    }
}
