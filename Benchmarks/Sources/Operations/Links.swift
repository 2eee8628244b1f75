import Crypto
import Link
import Primitives

extension Operation {
    static func links() throws -> [Operation] {
        try [handshake()] + frames()
    }

    private static func handshake() throws -> Operation {
        let entropy = Box(Entropy(seed: 3))
        let bare = Bare()
        let caller = Box(X25519PrivateKey(&entropy.value))
        let answerer = Box(X25519PrivateKey(&entropy.value))
        let seed = entropy.value.array(64)
        _ = try session(caller, answerer, entropy)
        return Operation(
            "Noise_IK handshake, both sides", against: "8 X25519 + 2 base, ML-KEM-768 keygen + encaps + decaps",
            batch: 1,
            construction: {
                do {
                    let (session, _) = try session(caller, answerer, entropy)
                    consume(session.value.handshakeHash)
                } catch { consume(error) }
            },
            primitives: {
                for _ in 0..<8 { bare.multiply() }
                for _ in 0..<2 { bare.multiplyBase() }
                do {
                    let key = try Crypto.MLKEM768.PrivateKey(seedRepresentation: seed, publicKey: nil)
                    let result = try key.publicKey.encapsulate()
                    consume(try key.decapsulate(result.encapsulated))
                } catch { consume(error) }
            })
    }

    /// Both ends of a new link.
    private static func session(
        _ caller: Box<X25519PrivateKey>, _ answerer: Box<X25519PrivateKey>, _ entropy: Box<Entropy>
    ) throws -> (Box<StreamSession>, Box<StreamSession>) {
        let initiator = try StreamInitiator(
            identity: caller.value, responder: answerer.value.publicKey, entropy: &entropy.value)
        let accepted = try StreamResponder.respond(
            to: initiator.firstMessage, key: answerer.value, entropy: &entropy.value)
        let reply = accepted.reply
        return (Box(try initiator.finish(reply)), Box(accepted.takeSession()))
    }

    private static func frames() throws -> [Operation] {
        let size = StreamSession.frameSize - ChaChaPoly.tagSize
        let entropy = Box(Entropy(seed: 4))
        let bare = Bare(size: size)
        let caller = Box(X25519PrivateKey(&entropy.value))
        let answerer = Box(X25519PrivateKey(&entropy.value))
        let (sender, receiver) = try session(caller, answerer, entropy)
        // Both live as long as the process: the operation's closures need them to the end.
        let body = UnsafeMutableRawBufferPointer.allocate(byteCount: StreamSession.bodyLimit, alignment: 16)
        entropy.value.fill(body)
        let frame = UnsafeMutableRawBufferPointer.allocate(byteCount: StreamSession.frameSize, alignment: 16)
        guard bare.open(size) else { throw UnexpectedResult(operation: "frame open") }
        return [
            Operation(
                "frame seal + open", against: "ChaCha20-Poly1305 seal + open of 2,615 bytes", allocations: 0,
                batch: 50,
                construction: {
                    do throws(LinkError) {
                        try sender.value.seal(kind: 1, body: UnsafeRawBufferPointer(body), into: frame)
                        consume(try receiver.value.open(frame))
                    } catch { consume(error) }
                },
                primitives: {
                    bare.seal(size)
                    consume(bare.open(size))
                })
        ]
    }
}
