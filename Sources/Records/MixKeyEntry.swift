import Primitives
import Wire

/// The key with which a relay opens envelopes during one epoch.
public struct MixKeyEntry: Hashable, Sendable {
    /// Days since 1970 (``Timestamp/epoch``).
    public var epoch: UInt64
    public var key: X25519PublicKey

    /// Epoch 8 ‖ key 32.
    public static let encodedSize = 40

    public init(epoch: UInt64, key: X25519PublicKey) {
        self.epoch = epoch
        self.key = key
    }

    init(_ reader: inout Reader) throws(WireError) {
        epoch = try reader.uint64()
        key = X25519PublicKey(try reader.fixed())
    }

    func encode(_ writer: inout Writer) {
        writer.uint64(epoch)
        writer.fixed(key.bytes)
    }
}
