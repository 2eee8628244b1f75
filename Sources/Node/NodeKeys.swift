import Primitives
import Records
import Transport

/// The secrets of one server: its cluster's identity (which an operator may move away), its own, and its link key.
final class NodeKeys: Sendable {
    let cluster: SigningKey
    let server: SigningKey
    let link: X25519PrivateKey

    init(directory: String, entropy: inout Entropy) throws {
        cluster = try SigningKey(
            seed: KeyFile.loadOrCreate(directory + "/cluster.key", count: 32, entropy: &entropy))
        server = try SigningKey(seed: KeyFile.loadOrCreate(directory + "/server.key", count: 32, entropy: &entropy))
        link = try X25519PrivateKey(KeyFile.loadOrCreate(directory + "/link.key", count: 32, entropy: &entropy))
    }

    var nodeID: NodeID { Node.id(of: server.publicKey) }
}
