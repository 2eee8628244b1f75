import Federation
import Primitives
import Records
import Wire

/// The map as a node answers `hulda node map`: its clusters, and where some of their servers are.
public struct NodeMap: Codable, Sendable {
    public struct Server: Codable, Sendable {
        /// The first digits of its node ID, and of its cluster's ID.
        public var server: String
        public var cluster: String
        /// For stream links.
        public var address: String
        /// Missing for this server itself.
        public var contact: NodePeers.Contact?
    }

    public var clusters: [MapGraph.Cluster]
    public var omitted: Int
    /// Of each cluster shown at most ``serverLimit``.
    public var addresses: [Server]
    /// Clusters with a server on the map, and how many a message path needs.
    public var usableClusters: Int
    public var neededClusters: Int

    /// Servers of one cluster that are listed, and of all clusters.
    static let serverLimit = 4
    static let totalLimit = 1000

    public var graph: MapGraph { MapGraph(clusters: clusters, omitted: omitted) }
}

extension CoreOwner {
    func nodeMap(matching question: String) -> NodeMap {
        let now = Timestamp.now()
        let graph = map.graph(matching: question)
        var left = Dictionary(
            graph.clusters.map { ($0.id, NodeMap.serverLimit) }, uniquingKeysWith: { first, _ in first })
        let table = map.currentTable(at: now)
        var servers: [NodeMap.Server] = []
        for place in 0..<table.count where servers.count < NodeMap.totalLimit {
            guard let glance = table.glance(at: place) else { continue }
            let cluster = glance.clusterID.bytes.hex
            guard let room = left[cluster], room > 0, let server = table.server(at: place) else { continue }
            left[cluster] = room - 1
            servers.append(
                .init(
                    server: String(server.nodeID.hex.prefix(16)), cluster: String(cluster.prefix(16)),
                    address: "\(server.tcp)", contact: server.nodeID == own ? nil : contact(server.linkKey)))
        }
        return NodeMap(
            clusters: graph.clusters, omitted: graph.omitted, addresses: servers,
            usableClusters: CoreOwner.clusters(of: map.usableTable(at: now)).count,
            neededClusters: MapView.pathClusters)
    }

    /// The clusters that have a server in the table.
    static func clusters(of table: ServerTable) -> Set<VerifyingKey> {
        Set((0..<table.count).compactMap { table.glance(at: $0)?.clusterID })
    }
}
