import Directory
import Federation
import Primitives
import Records
import Wire

/// Who has to learn of a changed map.
extension CoreOwner {
    /// Those who need the whole map are told at once while it is small, and else after some time, with all changes of
    /// that time: each telling takes a pass over it.
    func mapChanged() {
        guard map.serverTotal > CoreOwner.smallMap else { return tellOfMap() }
        tellingDue = tellingDue ?? Timestamp.now().adding(milliseconds: CoreOwner.tellingDelay)
    }

    func tellOfMap() {
        tellingDue = nil
        let now = Timestamp.now()
        let view = map.view(at: now)
        // Only a map that is refused is not usable as a whole.
        let servers = map.isViewRefused(at: now) ? map.currentTable(at: now) : view.table
        ledger.replaceServers(servers, view: view)
        tellDirectory(servers)
        ports?.mapChanged()
    }

    /// The servers with which to begin have been read, at the start or because the operator changed them.
    func begin(with named: [BootstrapSource: [PeerLink]], own: X25519PublicKey) {
        for source in BootstrapSource.allCases where source != .anchors {
            handle(.directory(.listed(source, Set((named[source] ?? []).map(\.linkKey)))))
        }
        var beginnings = Beginnings(named, own: own, entropy: &entropy)
        for (source, endpoints) in beginnings.first() { handle(.directory(.bootstrap(source, endpoints))) }
        self.beginnings = beginnings
        tellDirectory(map.currentTable(at: .now()))
    }

    /// Servers are read where the map keeps them: to decode them all would take as long as to check their form again.
    func tellDirectory(_ table: ServerTable) {
        let nodes = (0..<table.count).compactMap { place -> Placement.Node? in
            guard let server = table.glance(at: place), server.roles.contains(.directory) else { return nil }
            let id = server.nodeID
            return Placement.Node(
                id: id, cluster: server.clusterID, prefix: server.udp.prefix,
                endpoint: Endpoint(linkKey: server.linkKey, address: server.udp), countsFrom: map.countsFrom(id))
        }
        handle(.directory(.map(nodes)))
        for (source, endpoints) in beginnings?.found(nodes.compactMap(\.endpoint)) ?? [] {
            handle(.directory(.bootstrap(source, endpoints)))
        }
        if directory.contactCount < 20 {
            let endpoints = nodes.lazy.filter { $0.id != self.own }.compactMap(\.endpoint).prefix(40)
            handle(.directory(.join(Array(endpoints))))
        }
    }
}
