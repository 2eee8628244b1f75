import Federation
import Primitives
import Records
import Wire

/// The clusters with which this one peers, as far as this server itself knows them: for `hulda node peer`.
public struct NodePeers: Codable, Sendable {
    /// A stream link with a server, or none.
    public struct Contact: Codable, Equatable, Sendable {
        public var isLinked: Bool
        /// Since when it is so; missing when there never was a link.
        public var seconds: UInt64?
        /// Why there is none.
        public var failure: String?

        public init(isLinked: Bool, seconds: UInt64?, failure: String?) {
            self.isLinked = isLinked
            self.seconds = seconds
            self.failure = failure
        }
    }

    public struct Peer: Codable, Equatable, Sendable {
        public var link: String
        /// Whether the operator added it; else it is on the bootstrap list.
        public var isAdded: Bool
        /// ClusterID.
        public var cluster: String
        /// Missing as long as its descriptor has not come.
        public var name: String?
        public var address: String
        public var contact: Contact?
        /// Whether the own cluster's descriptor endorses it, and its descriptor the own cluster.
        public var isEndorsed: Bool
        public var endorsesBack: Bool

        public init(link: PeerLink, isAdded: Bool) {
            self.link = link.text
            self.isAdded = isAdded
            cluster = link.clusterID.bytes.hex
            address = link.host.contains(":") ? "[\(link.host)]:\(link.port)" : "\(link.host):\(link.port)"
            isEndorsed = false
            endorsesBack = false
        }
    }

    /// Whether the server has the cluster's key, with which it endorses.
    public var hasClusterKey: Bool
    /// Added ones first.
    public var peers: [Peer]

    public init(hasClusterKey: Bool, peers: [Peer]) {
        self.hasClusterKey = hasClusterKey
        self.peers = peers
    }
}

extension CoreOwner {
    /// - Parameters:
    ///   - links: of the bootstrap list and of added peers.
    ///   - own: the own cluster.
    func peers(
        _ links: [(link: PeerLink, isAdded: Bool)], of own: VerifyingKey, hasClusterKey: Bool
    ) -> NodePeers {
        let endorsed = Set(map.knownCluster(own)?.endorsements ?? [])
        let peers = links.filter { $0.link.clusterID != own }.map { link, isAdded in
            var peer = NodePeers.Peer(link: link, isAdded: isAdded)
            let descriptor = map.knownCluster(link.clusterID)
            peer.name = descriptor?.name
            peer.contact = contact(link.linkKey)
            peer.isEndorsed = endorsed.contains(link.clusterID)
            peer.endorsesBack = descriptor?.endorsements.contains(own) ?? false
            return peer
        }
        return NodePeers(hasClusterKey: hasClusterKey, peers: peers)
    }

    /// What the own links say of a server.
    func contact(_ server: X25519PublicKey) -> NodePeers.Contact {
        let entry = news.links.entry(server)
        let now = Timestamp.now()
        return .init(
            isLinked: entry.map { !$0.links.isEmpty } ?? false,
            seconds: entry?.since.map { now.milliseconds(since: $0) / 1000 }, failure: entry?.failure)
    }
}
