import Primitives
import Records
import Wire

/// A server's new descriptor for whoever holds the one before: what changes each day, and a fingerprint of the whole
/// (specs/map.md, "Renewals"). It is a third of the descriptor's size.
struct Renewal: Equatable, Sendable {
    let id: Bytes16
    let sequence: UInt64
    let expiry: UInt64
    /// The epoch of each mix key, and the key where the receiver may not have it: that of the last epoch alone.
    let epochs: [UInt64]
    let newestKey: X25519PublicKey
    let signature: Signature
    /// The first 8 bytes of `H("hulda/map-renew", the descriptor)`.
    let fingerprint: UInt64

    /// What to send for `descriptor`.
    init?(_ descriptor: ServerDescriptor, id: Bytes16) {
        guard let newest = descriptor.mixKeys.last else { return nil }
        self.id = id
        sequence = descriptor.sequence
        expiry = descriptor.expiry
        epochs = descriptor.mixKeys.map(\.epoch)
        newestKey = newest.key
        signature = descriptor.signature
        fingerprint = Renewal.fingerprint(descriptor.encode())
    }

    /// id 16 ‖ sequence 8 ‖ expiry 8 ‖ number 1 ‖ epochs 8 each ‖ newest key 32 ‖ signature 64 ‖ fingerprint 8.
    init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        id = try reader.fixed()
        sequence = try reader.uint64()
        expiry = try reader.uint64()
        let count = Int(try reader.uint8())
        guard (1...ServerDescriptor.mixKeyLimit).contains(count) else { throw .outOfRange(field: "mixKeys") }
        var epochs: [UInt64] = []
        for _ in 0..<count { epochs.append(try reader.uint64()) }
        guard zip(epochs, epochs.dropFirst()).allSatisfy({ $0 < $1 }) else { throw .outOfRange(field: "mixKeys") }
        self.epochs = epochs
        newestKey = X25519PublicKey(try reader.fixed())
        signature = Signature(try reader.fixed())
        fingerprint = try reader.uint64()
        try reader.finish()
    }

    func encode() -> [UInt8] {
        var writer = Writer(capacity: 161)
        writer.fixed(id)
        writer.uint64(sequence)
        writer.uint64(expiry)
        writer.uint8(UInt8(truncatingIfNeeded: epochs.count))
        for epoch in epochs { writer.uint64(epoch) }
        writer.fixed(newestKey.bytes)
        writer.fixed(signature.bytes)
        writer.uint64(fingerprint)
        return writer.bytes
    }

    /// The whole descriptor, made with what `older` has; `nil` when that is not enough. Its signature is yet to be
    /// checked.
    func renewed(_ older: ServerDescriptor) -> [UInt8]? {
        var keys: [MixKeyEntry] = []
        for epoch in epochs {
            let isNewest = epoch == epochs.last
            guard let key = isNewest ? newestKey : older.mixKey(epoch: epoch) else { return nil }
            keys.append(MixKeyEntry(epoch: epoch, key: key))
        }
        let bytes = older.encode(sequence: sequence, expiry: expiry, mixKeys: keys, signature: signature)
        return Renewal.fingerprint(bytes) == fingerprint ? bytes : nil
    }

    private static func fingerprint(_ bytes: [UInt8]) -> UInt64 {
        let hash = BLAKE2b.h(Domain("hulda/map-renew"), bytes)
        return hash.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
    }
}
