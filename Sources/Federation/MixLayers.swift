import Primitives
import Records

/// Which of the three mix layers a relay belongs to, decided anew each epoch by a hash that nobody chooses
/// (specs/map.md, "Layers").
///
/// Because an envelope passes one relay of each layer, all envelopes that enter a layer mix with each other, and a pair
/// of relays of one layer never stands in one path.
public enum MixLayers {
    public static let count = 3
    /// Layers are used while each has relays of so many clusters at least; below, they would only make paths easier to
    /// tell apart.
    public static let leastClusters = 8

    /// What an epoch's layers, and who measures whom in it, follow from.
    /// - Parameters:
    ///   - root: the snapshot root of the epoch before on which the clusters agree.
    ///   - value: the epoch's shared random value. It is made after that root, so whoever signs last has nothing to try
    ///     for; without it the root alone decides, and without either the epoch, which is foreseeable.
    public static func seed(epoch: UInt64, root: Bytes32?, value: Bytes32?) -> Bytes32 {
        var hash = BLAKE2b(outputCount: 32, domain: Domain("hulda/path-seed"))
        hash.update(root ?? Bytes32())
        hash.update(value ?? Bytes32())
        hash.update(epoch)
        return hash.finalize()
    }

    /// The relay's layer: the first 8 bytes of `H("hulda/layer", seed ‖ ServerID)`, little-endian, modulo 3.
    public static func layer(of server: VerifyingKey, seed: Bytes32) -> Int {
        var hash = BLAKE2b(outputCount: 32, domain: Domain("hulda/layer"))
        hash.update(seed)
        hash.update(server.bytes)
        let digest: Bytes32 = hash.finalize()
        let number = digest.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
        return Int(number % UInt64(count))
    }
}
