import Primitives
import Wire

/// What an encoded server descriptor says that tables of many are searched by, read in place.
public struct ServerGlance: Sendable {
    public let clusterID: VerifyingKey
    public let serverID: VerifyingKey
    public let linkKey: X25519PublicKey
    public let udp: SocketAddress
    public let roles: ServerRoles
    /// Seconds since 1970; its certificate's, if that is sooner.
    public let end: UInt64
    /// The numbers of the networks of its addresses: see ``network(_:)``.
    public let tcpNetwork: UInt32
    public let udpNetwork: UInt32
    private let firstKey: UInt64
    private let secondKey: UInt64?
    private let thirdKey: UInt64?

    // Kind 1 ‖ version 1 ‖ ClusterID 32 ‖ ServerID 32 ‖ sequence 8 ‖ expiry 8 ‖ certificate's expiry 8 ‖ its signature 64
    // ‖ link key 32 ‖ TCP 18 ‖ UDP 18 ‖ roles 2 ‖ number 1 ‖ epoch 8 and mix key 32 each (specs/map.md).
    private static let linkKeyOffset = 154
    private static let addressOffset = 186
    private static let rolesOffset = 222
    private static let mixKeyOffset = 225
    private static let mixKeySize = 40

    /// `nil` when the bytes are too few or not a server's.
    public init?(raw: UnsafeRawBufferPointer) {
        guard let header = DescriptorHeader(raw: raw), header.isServer, header.isReadable,
            raw.count > ServerGlance.mixKeyOffset,
            (1...ServerDescriptor.mixKeyLimit).contains(Int(raw[ServerGlance.mixKeyOffset - 1])),
            raw.count >= ServerGlance.mixKeyOffset + Int(raw[ServerGlance.mixKeyOffset - 1]) * ServerGlance.mixKeySize
        else { return nil }
        let keys = Int(raw[ServerGlance.mixKeyOffset - 1])
        func epoch(_ index: Int) -> UInt64 {
            UInt64(
                littleEndian: raw.loadUnaligned(
                    fromByteOffset: ServerGlance.mixKeyOffset + index * ServerGlance.mixKeySize, as: UInt64.self))
        }
        clusterID = header.clusterID
        serverID = VerifyingKey(raw.loadUnaligned(fromByteOffset: 34, as: Bytes32.self))
        linkKey = X25519PublicKey(raw.loadUnaligned(fromByteOffset: ServerGlance.linkKeyOffset, as: Bytes32.self))
        udp = SocketAddress(
            address: raw.loadUnaligned(fromByteOffset: ServerGlance.addressOffset + 18, as: Bytes16.self),
            port: UInt16(
                littleEndian: raw.loadUnaligned(fromByteOffset: ServerGlance.addressOffset + 34, as: UInt16.self)))
        roles = ServerRoles(
            rawValue: UInt16(
                littleEndian: raw.loadUnaligned(fromByteOffset: ServerGlance.rolesOffset, as: UInt16.self)))
        end = header.end
        tcpNetwork = ServerGlance.network(UnsafeRawBufferPointer(rebasing: raw[ServerGlance.addressOffset...]))
        udpNetwork = ServerGlance.network(UnsafeRawBufferPointer(rebasing: raw[(ServerGlance.addressOffset + 18)...]))
        firstKey = epoch(0)
        secondKey = keys > 1 ? epoch(1) : nil
        thirdKey = keys > 2 ? epoch(2) : nil
    }

    public var nodeID: NodeID { Node.id(of: serverID) }

    public func hasMixKey(epoch: UInt64) -> Bool { firstKey == epoch || secondKey == epoch || thirdKey == epoch }

    /// The prefix of an address as a number: of IPv4 its first two bytes, of IPv6 its first four, the first byte highest.
    /// No IPv6 address in use begins with two zero bytes.
    private static func network(_ address: UnsafeRawBufferPointer) -> UInt32 {
        let isV4 = address[..<10].allSatisfy { $0 == 0 } && address[10] == 0xff && address[11] == 0xff
        return (isV4 ? address[12..<14] : address[0..<4]).reduce(0) { $0 << 8 | UInt32($1) }
    }
}
