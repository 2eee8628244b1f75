import Primitives

/// What the first bytes of an encoded descriptor say, read in place: for tables that hold many and decode few.
public struct DescriptorHeader: Sendable, Equatable {
    /// Whether it is a server's and not a cluster's.
    public let isServer: Bool
    /// Whether it is of a version that this program can read as a whole.
    public let isReadable: Bool
    public let clusterID: VerifyingKey
    public let sequence: UInt64
    /// Seconds since 1970; of a server its certificate's, if that is sooner.
    public let end: UInt64

    /// `nil` when the bytes are too few or of another kind.
    public init?(raw: UnsafeRawBufferPointer) {
        // Kind 1 ‖ version 1 ‖ ClusterID 32 ‖ of a server ServerID 32 ‖ sequence 8 ‖ expiry 8 ‖ of a server its
        // certificate's expiry 8 (specs/map.md).
        guard raw.count >= 90 else { return nil }
        switch raw[0] {
        case ServerDescriptor.kind: isServer = true
        case ClusterDescriptor.kind: isServer = false
        default: return nil
        }
        isReadable = raw[1] == ServerDescriptor.version
        clusterID = VerifyingKey(raw.loadUnaligned(fromByteOffset: 2, as: Bytes32.self))
        func number(_ offset: Int) -> UInt64 {
            UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        }
        sequence = number(isServer ? 66 : 34)
        end = isServer ? min(number(74), number(82)) : number(42)
    }
}
