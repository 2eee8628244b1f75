import Primitives
import Records
import Wire

/// A directory server, as its own signed descriptor says.
package struct Server {
    package let node: NodeID
    package let cluster: VerifyingKey
    package let linkKey: X25519PublicKey
    package let address: SocketAddress

    package init(_ descriptor: ServerDescriptor) {
        node = descriptor.nodeID
        cluster = descriptor.clusterID
        linkKey = descriptor.linkKey
        address = descriptor.udp
    }

    /// One that is only known from a peer link.
    package init?(_ link: PeerLink) {
        guard let address = link.address else { return nil }
        node = Node.id(of: link.clusterID)
        cluster = link.clusterID
        linkKey = link.linkKey
        self.address = address
    }
}
