import Envelope
import Primitives

extension Operation {
    static func envelopes() throws -> [Operation] {
        let entropy = Box(Entropy(seed: 1))
        let bare = Bare()
        let mix = Box(X25519PrivateKey(&entropy.value))
        var path: [Hop] = []
        for index in 0..<Geometry.hops {
            let key = index == 0 ? mix.value.publicKey : X25519PrivateKey(&entropy.value).publicKey
            path.append(Hop(node: entropy.value.bytes(), key: key))
        }
        let content = entropy.value.array(Geometry.contentSize)
        let hops = path
        let fiveHops = {
            for _ in 0..<Geometry.hops {
                bare.multiply()
                bare.multiplyBase()
            }
        }
        let handle: Bytes16 = entropy.value.bytes()
        let made = try ReplyBlock.make(path: hops, handle: handle, id: handle, entropy: &entropy.value)
        let half = Geometry.payloadSize - Lioness.leftSize

        return [
            try unwrap(Wrap.forward(path: hops, content: content, entropy: &entropy.value), key: mix, bare),
            Operation(
                "wrap, 5 hops", against: "5 X25519 + 5 base multiplications", target: 1.5, batch: 1,
                construction: {
                    consume(try? Wrap.forward(path: hops, content: content, entropy: &entropy.value))
                }, primitives: fiveHops),
            Operation(
                "reply block, 5 hops", against: "5 X25519 + 5 base multiplications", target: 1.5, batch: 1,
                construction: {
                    consume(
                        try? ReplyBlock.make(path: hops, handle: handle, id: handle, entropy: &entropy.value))
                }, primitives: fiveHops),
            Operation(
                "reply", against: "2 ChaCha20 + 2 BLAKE2b of the payload", batch: 20,
                construction: { consume(try? made.block.reply(content: content)) },
                primitives: {
                    for _ in 0..<2 {
                        bare.stream(half)
                        bare.hash(half)
                    }
                }),
        ]
    }

    /// A mix's work on one envelope, which is copied from a fresh one each time.
    private static func unwrap(
        _ fresh: [UInt8], key: Box<X25519PrivateKey>, _ bare: Bare
    ) throws -> Operation {
        // Both live as long as the process: the operation's closures need them to the end.
        let source = UnsafeMutableRawBufferPointer.allocate(byteCount: fresh.count, alignment: 16)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: fresh.count, alignment: 16)
        source.copyBytes(from: fresh)
        buffer.copyBytes(from: fresh)
        _ = try Unwrap.process(buffer, key: key.value)
        return Operation(
            "unwrap", against: "1 X25519 multiplication", target: 1.5, allocations: 0, batch: 5,
            construction: {
                buffer.copyMemory(from: UnsafeRawBufferPointer(source))
                do throws(EnvelopeError) {
                    consume(try Unwrap.process(buffer, key: key.value))
                } catch { consume(error) }
            }, primitives: { bare.multiply() })
    }
}
