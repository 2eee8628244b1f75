import Primitives
import Records
import Wire

/// A directory server, as its own signed descriptor says.
struct Server {
    let node: NodeID
    let cluster: VerifyingKey
    let linkKey: X25519PublicKey
    let address: SocketAddress

    init(_ descriptor: ServerDescriptor) {
        node = descriptor.nodeID
        cluster = descriptor.clusterID
        linkKey = descriptor.linkKey
        address = descriptor.udp
    }

    /// One that is only known from a peer link.
    init?(_ link: PeerLink) {
        guard let address = link.address else { return nil }
        node = Node.id(of: link.clusterID)
        cluster = link.clusterID
        linkKey = link.linkKey
        self.address = address
    }
}

/// A user's record, and under which key the servers have it.
struct Published {
    let user: VerifyingKey
    let key: VerifyingKey
    let encoded: [UInt8]
    /// The servers that hold it, by ring.
    let rings: [[Server]]
}
