import Primitives
import Records
import Wire

/// Where a server answers directory messages, and the key that it must prove there.
public struct Endpoint: Hashable, Sendable {
    public var linkKey: X25519PublicKey
    public var address: SocketAddress

    public init(linkKey: X25519PublicKey, address: SocketAddress) {
        self.linkKey = linkKey
        self.address = address
    }
}

/// A server as the routing table knows it.
public struct Contact: Hashable, Sendable {
    public let serverID: VerifyingKey
    public let endpoint: Endpoint
    /// `H("hulda/node", ServerID)`.
    public let nodeID: NodeID

    /// ServerID 32 ‖ link key 32 ‖ UDP address 18.
    public static let encodedSize = 64 + SocketAddress.encodedSize

    public init(serverID: VerifyingKey, endpoint: Endpoint) {
        self.serverID = serverID
        self.endpoint = endpoint
        nodeID = Node.id(of: serverID)
    }

    public init(_ descriptor: ServerDescriptor) {
        self.init(
            serverID: descriptor.serverID, endpoint: Endpoint(linkKey: descriptor.linkKey, address: descriptor.udp))
    }

    init(_ reader: inout Reader) throws(WireError) {
        let serverID = VerifyingKey(try reader.fixed())
        let linkKey = X25519PublicKey(try reader.fixed())
        self.init(serverID: serverID, endpoint: Endpoint(linkKey: linkKey, address: try SocketAddress(&reader)))
    }

    func encode(_ writer: inout Writer) {
        writer.fixed(serverID.bytes)
        writer.fixed(endpoint.linkKey.bytes)
        endpoint.address.encode(&writer)
    }
}

extension Bytes32 {
    /// The XOR of two identifiers: Kademlia's distance.
    func distance(to other: Bytes32) -> Bytes32 {
        var out = self
        out.withUnsafeMutableBytes { left in
            other.withUnsafeBytes { right in
                for index in 0..<Bytes32.count { left[index] ^= right[index] }
            }
        }
        return out
    }

    /// Leading zero bits, 0 to 256.
    var leadingZeros: Int {
        withUnsafeBytes { raw in
            var count = 0
            for byte in raw {
                count += byte.leadingZeroBitCount
                if byte != 0 { break }
            }
            return count
        }
    }

    /// The first eight bytes as a number, the first byte highest.
    var leadingWord: UInt64 {
        withUnsafeBytes { UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self)) }
    }

    /// The order of ``FixedBytes``, decided by the first eight bytes where they differ: searches compare little else.
    func precedes(_ other: Bytes32) -> Bool {
        let (left, right) = (leadingWord, other.leadingWord)
        return left == right ? self < other : left < right
    }
}
