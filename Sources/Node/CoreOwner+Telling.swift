import Directory
import Federation
import NIOCore
import Wire

/// Who has to learn of a changed map.
extension CoreOwner {
    /// Those who need the whole map are told at once while it is small, and else after some time, with all changes of
    /// that time: each telling takes a pass over it.
    func mapChanged() {
        guard map.serverTotal > CoreOwner.smallMap else { return tellOfMap() }
        guard !isTellingLater else { return }
        isTellingLater = true
        loop.scheduleTask(in: CoreOwner.tellingDelay) {
            self.isTellingLater = false
            self.tellOfMap()
        }
    }

    func tellOfMap() {
        let now = Timestamp.now()
        let view = map.view(at: now)
        // Only a map that is refused is not usable as a whole.
        let servers = map.isViewRefused(at: now) ? map.currentTable(at: now) : view.table
        ledger.replaceServers(servers, view: view)
        tellDirectory(servers)
        ports?.mapChanged()
    }

    func tellDirectory(_ table: ServerTable) {
        let servers = table.all.filter { $0.roles.contains(.directory) }
        handle(
            .directory(
                .map(
                    servers.map {
                        Placement.Node(
                            id: $0.nodeID, cluster: $0.clusterID, prefix: $0.udp.prefix,
                            endpoint: Endpoint(linkKey: $0.linkKey, address: $0.udp),
                            countsFrom: map.countsFrom($0.nodeID))
                    })))
        if directory.contactCount < 20 {
            let endpoints = servers.lazy.filter { $0.nodeID != self.own }.prefix(40).map {
                Endpoint(linkKey: $0.linkKey, address: $0.udp)
            }
            handle(.directory(.join(Array(endpoints))))
        }
    }
}
