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
    /// - Parameter root: the snapshot root of the epoch before on which the clusters agree; without one the epoch alone
    ///   decides, which is foreseeable.
    public static func seed(epoch: UInt64, root: Bytes32?) -> Bytes32 {
        BLAKE2b.h(Domain("hulda/path-seed"), root ?? Bytes32(), epoch)
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
