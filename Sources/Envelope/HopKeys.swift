import Primitives

/// The keys that a hop and the sender derive from their shared secret (specs/envelope.md, "Keys").
///
/// Plain functions on caller's buffers: the relay's side runs on its stack without allocating.
enum HopKeys {
    /// MAC key 32 ‖ stream key 32.
    static let headSize = 64
    static let secretSize = 32
    /// The suite's name, the first bytes of the transcript.
    static let suite: StaticString = "hulda/kem-sphinx/x25519/1"

    /// Writes MAC key ‖ stream key: BLAKE2b-512 keyed with the shared secret over suite ‖ ephemeral ‖ relay key.
    @inline(__always)
    static func head(
        into out: UnsafeMutableRawBufferPointer, secret: UnsafeRawBufferPointer, ephemeral: UnsafeRawBufferPointer,
        relay: UnsafeRawBufferPointer
    ) {
        let size = suite.utf8CodeUnitCount + 64
        withUnsafeTemporaryAllocation(byteCount: size, alignment: 8) { transcript in
            suite.withUTF8Buffer { transcript.copyBytes(from: $0) }
            copy(ephemeral, into: transcript, at: suite.utf8CodeUnitCount)
            copy(relay, into: transcript, at: suite.utf8CodeUnitCount + 32)
            BLAKE2b.hash(into: out, UnsafeRawBufferPointer(transcript), key: secret, domain: Domain("hulda/env-head"))
        }
    }

    /// The header's authenticator over β.
    @inline(__always)
    static func mac(_ beta: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) -> Bytes16 {
        Bytes16(unsafe: { BLAKE2b.hash(into: $0, beta, key: key, domain: Domain("hulda/env-mac")) })
    }

    /// What a relay remembers of an accepted envelope.
    @inline(__always)
    static func replayTag(secret: UnsafeRawBufferPointer, ephemeral: UnsafeRawBufferPointer) -> Bytes16 {
        Bytes16(unsafe: { BLAKE2b.hash(into: $0, ephemeral, key: secret, domain: Domain("hulda/env-tag")) })
    }

    /// The payload's seed: bound to the header through its MAC.
    @inline(__always)
    static func payloadSeed(
        into out: UnsafeMutableRawBufferPointer, secret: UnsafeRawBufferPointer, ephemeral: UnsafeRawBufferPointer,
        relay: UnsafeRawBufferPointer, mac: Bytes16
    ) {
        withUnsafeTemporaryAllocation(byteCount: 80, alignment: 8) { transcript in
            copy(ephemeral, into: transcript, at: 0)
            copy(relay, into: transcript, at: 32)
            mac.withUnsafeBytes { copy($0, into: transcript, at: 64) }
            BLAKE2b.hash(into: out, UnsafeRawBufferPointer(transcript), key: secret, domain: Domain("hulda/env-pay"))
        }
    }

    /// The four LIONESS subkeys of a payload seed: BLAKE2b-512 of the bytes 0 and 1, keyed with the seed.
    @inline(__always)
    static func expand(_ seed: UnsafeRawBufferPointer, into out: UnsafeMutableRawBufferPointer) {
        for index in 0..<2 {
            var counter = UInt8(truncatingIfNeeded: index)
            withUnsafeBytes(of: &counter) { counter in
                BLAKE2b.hash(
                    into: UnsafeMutableRawBufferPointer(rebasing: out[64 * index..<64 * index + 64]), counter,
                    key: seed, domain: Domain("hulda/env-exp"))
            }
        }
    }

    /// Runs `body` with the LIONESS key of `seed`, which is zeroed afterwards.
    @inline(__always)
    static func withPayloadKey(_ seed: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Void) {
        withUnsafeTemporaryAllocation(byteCount: Lioness.keySize, alignment: 16) { key in
            expand(seed, into: key)
            body(UnsafeRawBufferPointer(key))
            SecretBytes.zero(key)
        }
    }

    @inline(__always)
    static func copy(_ source: UnsafeRawBufferPointer, into out: UnsafeMutableRawBufferPointer, at offset: Int) {
        UnsafeMutableRawBufferPointer(rebasing: out[offset..<offset + source.count]).copyMemory(from: source)
    }
}
