import Directory
import Federation

/// What a node's statement comes to: whether the server is of use, and what to do about what is not well.
///
/// Made from the statement alone, so that the text, the JSON and the exit code of `hulda node status --check` agree.
public struct NodeVerdict: Codable, Equatable, Sendable {
    public enum State: String, Codable, Comparable, Sendable {
        case healthy
        /// It works, and somebody has to look after it.
        case degraded
        /// Nobody can use it as it is.
        case unusable

        private var rank: Int { [.healthy, .degraded, .unusable].firstIndex(of: self) ?? 0 }
        public static func < (left: State, right: State) -> Bool { left.rank < right.rank }
    }

    public struct Finding: Codable, Equatable, Sendable {
        public var state: State
        /// What is not well.
        public var what: String
        /// What to do.
        public var next: String

        public init(_ state: State, _ what: String, next: String) {
            self.state = state
            self.what = what
            self.next = next
        }
    }

    public var state: State
    /// The worst first.
    public var findings: [Finding]

    public init(findings: [Finding]) {
        self.findings = findings.enumerated().sorted { ($1.element.state, $0.offset) < ($0.element.state, $1.offset) }
            .map(\.element)
        state = self.findings.first?.state ?? .healthy
    }

    /// The verdict on a statement whose owners have filled it in.
    init(_ status: NodeStatus) {
        self.init(
            findings: NodeVerdict.copies(status) + NodeVerdict.clusters(status.map) + NodeVerdict.keys(status.keys)
                + NodeVerdict.store(status.store)
                + NodeVerdict.links(status) + NodeVerdict.snapshot(status.map) + NodeVerdict.view(status.directory))
    }
}

extension NodeVerdict {
    /// Days before its end at which a certificate that nobody can renew is told of: a month (``NodeKeys``).
    private static let certificateNotice: UInt64 = 30 * 86_400

    /// Who else speaks as this server, and which others speak for its cluster.
    private static func copies(_ status: NodeStatus) -> [Finding] {
        var findings: [Finding] = []
        if let copy = status.server.copy {
            findings.append(
                Finding(
                    copy.secondsAgo < 3600 ? .unusable : .degraded,
                    "a server at \(copy.address) announced itself with this server's key \(copy.secondsAgo) s ago, "
                        + "\(copy.count) times within an hour: a copy of the data directory runs there",
                    next: "Stop it. If it is not yours, the keys are stolen: make a new server (hulda node init in an "
                        + "empty directory) and take this one off."))
        }
        for sibling in status.map.siblings ?? [] {
            findings.append(
                Finding(
                    .degraded, "the cluster also has the server \(sibling.server.prefix(16)) at \(sibling.address)",
                    next: "If you did not set it up, somebody has a copy of cluster.key."))
        }
        return findings
    }

    private static func clusters(_ map: NodeStatus.Map) -> [Finding] {
        guard map.usableClusters < map.neededClusters else { return [] }
        return [
            Finding(
                .unusable,
                "\(map.usableClusters) of the \(map.neededClusters) clusters that a message path needs are on the map",
                next: "Peer with more operators: hulda node peer add LINK, on both sides. After a start, wait a minute."
            )
        ]
    }

    private static func keys(_ keys: NodeStatus.Keys) -> [Finding] {
        let days = keys.certificateSecondsLeft / 86_400
        guard keys.certificateSecondsLeft > 0 else {
            return [
                Finding(
                    .unusable, "the server's certificate has ended: nobody accepts this server",
                    next: "Put cluster.key into the data directory and start the server again.")
            ]
        }
        guard !keys.hasClusterKey, keys.certificateSecondsLeft < certificateNotice else { return [] }
        return [
            Finding(
                .degraded, "the server's certificate ends in \(days) days, and cluster.key is not here to renew it",
                next: "Put cluster.key into the data directory and start the server again; then take it away again.")
        ]
    }

    private static func store(_ store: NodeStatus.Store) -> [Finding] {
        var findings: [Finding] = []
        let waiting = store.unpublished.map { $0 > 0 ? "; \($0) own descriptors wait for it" : "" } ?? ""
        let troubles = [
            (store.trouble, "the store", waiting),
            (store.journalTrouble, "the journal of envelopes", "; envelopes wait for it"),
            (store.keysTrouble, "the next day's mix key", ""),
        ]
        for case (let trouble?, let name, let more) in troubles {
            findings.append(
                Finding(
                    .unusable, "\(name) cannot be written, for \(trouble.seconds) s: \(trouble.reason)\(more)",
                    next: "Free space on the disk, or raise store_mib in node.toml and start the server again. It is "
                        + "tried again until it can be written."))
        }
        findings += (store.findings ?? []).map {
            Finding(
                .degraded, $0,
                next: "Restore the folder from a copy with the server stopped, or go on with what is left.")
        }
        if findings.isEmpty, store.sizeBytes > 0, store.usedBytes > store.sizeBytes / 10 * 9 {
            findings.append(
                Finding(
                    .degraded, "the store is more than nine tenths full",
                    next: "Raise store_mib in node.toml and start the server again."))
        }
        return findings
    }

    /// A map with others on it and no link with any of them.
    private static func links(_ status: NodeStatus) -> [Finding] {
        guard status.map.servers > 1, status.map.linkedServers == 0 else { return [] }
        return [
            Finding(
                .unusable, "there is no link with any of the \(status.map.servers - 1) other servers on the map",
                next: "See whether TCP gets out and in at \(status.server.listen), and who is reached: hulda node map")
        ]
    }

    private static func snapshot(_ map: NodeStatus.Map) -> [Finding] {
        let compare =
            "Another operator's server may have another map: write proofs with hulda node map --prove on both, and "
            + "compare them with hulda audit membership."
        switch map.snapshot?.judgement {
        case .contested: return [Finding(.degraded, "the clusters do not all have the same map", next: compare)]
        case .refused:
            return [
                Finding(
                    .degraded, "few clusters have this map: somebody may hide servers from this one", next: compare)
            ]
        case .agreed, .undecided, nil: return []
        }
    }

    private static func view(_ directory: NodeStatus.Directory) -> [Finding] {
        guard let view = directory.view else { return [] }
        var findings = view.alarms.map { alarm in
            Finding(
                .degraded, "\(alarm.detail) (holds for \(alarm.secondsLeft / 60 + 1) min more)",
                next: advice(alarm.kind))
        }
        if !view.isTrusted {
            let isAlone = view.sources.values.allSatisfy { $0.named == 0 }
            findings.append(
                Finding(
                    .degraded, "too few servers vouch for the network that this one sees",
                    next: (isAlone ? "The first cluster of a network begins so. " : "Wait a minute after a start. ")
                        + "Three of different clusters and networks are to answer, or three that are known from "
                        + "different sources: add peers (hulda node peer add LINK), or name servers that you know "
                        + "(known_servers in node.toml)."))
        }
        return findings
    }

    /// What to do about an alarm of this kind.
    private static func advice(_ kind: String) -> String {
        switch kind {
        case "size":
            "Compare hulda node map with another operator's. If yours has clusters that the other one lacks, look at "
                + "whom you endorse: hulda node peer list"
        case "anchors":
            "See whether this machine's UDP gets out. If it does, somebody may show you another network: ask another "
                + "operator whether your cluster is on the other's map."
        default:
            "Somebody may be gathering servers. Nobody new is let into the routing table meanwhile, and searches ask "
                + "more servers. Ask other operators whether they see the same."
        }
    }
}
