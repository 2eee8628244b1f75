import Envelope
import Primitives

/// Relays with their private keys, made from a seed.
struct Path: ~Copyable {
    let hops: [Hop]
    let keys: [[UInt8]]

    init(_ count: Int, _ entropy: inout Entropy) {
        var hops: [Hop] = []
        var keys: [[UInt8]] = []
        for index in 0..<count {
            let key = X25519PrivateKey(&entropy)
            keys.append(key.withUnsafeBytes { Array($0) })
            let delay = UInt32(truncatingIfNeeded: 10 * index)
            hops.append(Hop(node: entropy.bytes(), key: key.publicKey, delayMilliseconds: delay))
        }
        self.hops = hops
        self.keys = keys
    }

    func key(_ index: Int) throws -> X25519PrivateKey {
        var copy = keys[index]
        return try X25519PrivateKey(SecretBytes(taking: &copy))
    }
}

/// Opens one layer of an envelope held in an array.
func unwrap(_ envelope: inout [UInt8], _ key: borrowing X25519PrivateKey) throws(EnvelopeError) -> Unwrapped {
    var result: Result<Unwrapped, EnvelopeError> = .failure(.wrongMAC)
    envelope.withUnsafeMutableBytes { raw in
        do throws(EnvelopeError) {
            result = .success(try Unwrap.process(raw, key: key))
        } catch {
            result = .failure(error)
        }
    }
    return try result.get()
}
