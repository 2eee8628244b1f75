import Primitives
import Records
import Wire

/// What others read of the map. Descriptors are kept encoded: each of these decodes what it returns.
extension MapCore {
    /// Links by the version spoken over them; 0 where there is none in common, or nobody has greeted yet.
    public var linkVersions: [UInt8: Int] {
        peers.values.reduce(into: [:]) { $0[$1.version ?? 0, default: 0] += 1 }
    }

    /// Measurements of the last two epochs that are held.
    public var statementTotal: Int { capacity.places.count }

    /// Whether this measurement is held.
    public func holds(statement: [UInt8]) -> Bool { capacity.places[CapacityMessage.name(statement)] != nil }

    public var serverTotal: Int { held.count - clusterTotal }

    public func server(_ node: NodeID) -> ServerDescriptor? {
        guard let id = Bytes16(node.bytes.prefix(16)), case .server(let server)? = held[id] else { return nil }
        return server
    }

    /// The other servers of this one's cluster, as they announce themselves.
    public func siblings(at now: Timestamp) -> [ServerDescriptor] {
        guard let own = snapshots.signer?.certificate else { return [] }
        return servers(of: own.clusterID).compactMap { id in
            guard case .server(let server)? = held[id], server.serverID != own.serverID, server.isCurrent(at: now)
            else { return nil }
            return server
        }
    }

    public func cluster(_ cluster: VerifyingKey) -> ClusterDescriptor? {
        guard case .cluster(let descriptor)? = held[MapCore.name(cluster)] else { return nil }
        return descriptor
    }

    /// All admitted servers: decodes the whole map.
    public var servers: [NodeID: ServerDescriptor] {
        var all: [NodeID: ServerDescriptor] = [:]
        for id in held.identifiers(where: { $0.isServer && $0.isReadable }) {
            if case .server(let server)? = held[id] { all[server.nodeID] = server }
        }
        return all
    }

    /// All admitted clusters that have said something of themselves: decodes each.
    public var clusters: [VerifyingKey: ClusterDescriptor] {
        var all: [VerifyingKey: ClusterDescriptor] = [:]
        for id in held.identifiers(where: { !$0.isServer }) {
            if case .cluster(let cluster)? = held[id] { all[cluster.clusterID] = cluster }
        }
        return all
    }

    /// The same clusters, one decoded at a time.
    var eachCluster: some Sequence<ClusterDescriptor> {
        held.identifiers { !$0.isServer }.lazy.compactMap { id in
            if case .cluster(let cluster)? = held[id] { cluster } else { nil }
        }
    }

    /// The first 16 bytes of a node ID: a server's identifier.
    static func name(_ node: NodeID) -> Bytes16 { Bytes16(node.bytes.prefix(16)) ?? Bytes16() }

    /// The admitted servers whose time is not over at `now`, by node ID: decodes nothing.
    public func currentTable(at now: Timestamp) -> ServerTable {
        ServerTable(held, slots: held.slots { $0.isServer && $0.isReadable && $0.end > now.seconds })
    }

    /// The same, decoded.
    public func currentServers(at now: Timestamp) -> [ServerDescriptor] { currentTable(at: now).all }

    /// The identifiers of a cluster's servers whose time is not over, ascending.
    func currentServers(of cluster: VerifyingKey, at now: Timestamp) -> [Bytes16] {
        servers(of: cluster).filter { id in held.header(id).map { $0.end > now.seconds } ?? false }
    }

    /// The identifiers of all servers of a cluster, ascending: without a pass over the map where there are many.
    func servers(of cluster: VerifyingKey) -> [Bytes16] {
        roster.list(cluster) ?? MapCore.servers(of: cluster, in: held)
    }

    static func servers(of cluster: VerifyingKey, in table: DescriptorTable) -> [Bytes16] {
        table.identifiers { $0.isServer && $0.clusterID == cluster }
    }

    /// How many servers' time is not over.
    public func currentTotal(at now: Timestamp) -> Int { currentTable(at: now).count }
}
