import Federation
import Logging
import Primitives
import Records
import Wire

/// What the operator's log and lists tell of servers, clusters and links as they come and go. Of agents, nothing.
struct News {
    var links = LinkBook()
    var clusters = ClusterWatch()
    var ration = LogRation()
    var hasJoined = false
}

extension CoreOwner {
    /// Up to so many clusters they are looked at every ``News`` interval; in a larger map once a minute.
    static let fewClusters = 200

    /// A line of a kind whose number others decide.
    func tell(_ kind: String, _ metadata: Logger.Metadata) {
        guard let omitted = news.ration.take(kind, .now()) else { return }
        var metadata = metadata
        if omitted > 0 { metadata["more_before"] = "\(omitted)" }
        logger.info("\(kind)", metadata: metadata)
    }

    func noteLinkDown(_ link: UInt64, _ reason: String?) {
        let now = Timestamp.now()
        guard let (server, since) = news.links.down(link, reason, now) else { return }
        var names = names(of: server) ?? [:]
        names["reason"] = "\(reason ?? "closed by the other side or unused")"
        names["after"] = "\(now.milliseconds(since: since) / 1000) s"
        tell("lost the link with a server", names)
    }

    /// A link that this server tried to open did not come about.
    func linkFailed(_ server: X25519PublicKey, at place: String, _ reason: String?) {
        let reason = reason ?? "no answer at this address"
        guard news.links.failed(server, reason) else { return }
        var names = names(of: server) ?? [:]
        names["address"] = "\(place)"
        names["reason"] = "\(reason)"
        tell("cannot connect with a server", names)
    }

    /// Tells of a link with a server, once the map names it.
    func tellOfLink(_ server: X25519PublicKey) {
        guard let names = names(of: server), news.links.tell(server) else { return }
        tell("connected with a server", names)
    }

    /// Tells which clusters came or went since the last look; called every few seconds.
    func lookAtClusters() {
        news.links.untold.forEach(tellOfLink)
        for (cluster, name, change) in news.clusters.look(map.standings) {
            var details: Logger.Metadata = ["cluster": "\(name)", "id": "\(MapGraph.short(cluster))"]
            switch change {
            case .admitted: tell("a cluster is on the map", details)
            case .leftOut:
                if let row = map.row(of: cluster) { details["why"] = "\(row.reason { self.name(ofShort: $0) })" }
                tell("a cluster is left out of the map", details)
            case .gone: tell("a cluster is known no more", details)
            }
        }
    }

    /// The peers that the operator added or removed.
    func tellOfPeers(_ before: Set<VerifyingKey>, _ after: Set<VerifyingKey>) {
        for cluster in after.subtracting(before) { logger.info("a peer was added", metadata: names(of: cluster)) }
        for cluster in before.subtracting(after) { logger.info("a peer was removed", metadata: names(of: cluster)) }
    }

    private func names(of cluster: VerifyingKey) -> Logger.Metadata {
        ["cluster": "\(map.knownCluster(cluster)?.name ?? "not on the map yet")", "id": "\(MapGraph.short(cluster))"]
    }

    /// What a server on the map is called; `nil` for others, of whom nothing is known but a key that they chose.
    private func names(of key: X25519PublicKey) -> Logger.Metadata? {
        guard let node = ledger.node(linkKey: key), let server = ledger.server(node) else { return nil }
        return [
            "cluster": "\(map.cluster(server.clusterID)?.name ?? MapGraph.short(server.clusterID))",
            "server": "\(node.hex.prefix(16))",
        ]
    }

    private func name(ofShort id: String) -> String {
        map.standings.first { MapGraph.short($0.key) == id }?.value.name ?? id
    }
}
