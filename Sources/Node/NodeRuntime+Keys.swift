import FoundationEssentials
import Primitives
import Records
import Wire

/// What can be done before a node runs.
extension NodeRuntime {
    /// Makes the data directory and the keys, without starting anything.
    /// - Returns: the link with which others peer with this cluster.
    public static func prepare(_ configuration: NodeConfiguration) throws -> PeerLink {
        try configuration.validate()
        let addresses = try NodeAddresses(configuration)
        if let path = NodeFiles.bootstrapPath(configuration) { _ = try NodeFiles.list(path, isRequired: true) }
        try NodeFiles.makeDirectory(configuration.dataDirectory)
        // The stores come first: keys without stores are what a start warns of.
        try NodeStores.create(configuration)
        return try link(configuration, addresses)
    }

    /// The link with which others peer with the cluster whose keys lie in the data directory.
    public static func peerLink(_ configuration: NodeConfiguration) throws -> PeerLink {
        let addresses = try NodeAddresses(configuration)
        let keys = configuration.dataDirectory + "/link.key"
        guard FileManager.default.fileExists(atPath: keys) else {
            throw NodeError.unreadable(path: keys, reason: "there are no keys yet")
        }
        return try link(configuration, addresses)
    }

    private static func link(_ configuration: NodeConfiguration, _ addresses: NodeAddresses) throws -> PeerLink {
        var entropy = Entropy.system()
        let keys = try NodeKeys(directory: configuration.dataDirectory, now: .now(), entropy: &entropy)
        return PeerLink(
            clusterID: keys.certificate.clusterID, linkKey: keys.link.publicKey, address: addresses.advertise)
    }

    /// What other operators put into their bootstrap lists.
    func peerLink(_ addresses: NodeAddresses) -> PeerLink {
        PeerLink(
            clusterID: keys.certificate.clusterID, linkKey: keys.link.publicKey, address: addresses.advertise)
    }
}
