import Federation

/// What a node says of itself: everything that it has seen of its users, and its counters.
///
/// The statement is made from the node's own tables, so an auditor can hold it against what the role may know
/// (specs/overview.md, "Who sees what").
public struct NodeStatus: Codable, Sendable {
    public struct Server: Codable, Sendable {
        public var cluster: String
        public var clusterName: String
        public var server: String
        public var listen: String
        public var software: String
        public var uptimeSeconds: UInt64
        public var residentKiB: UInt64
        public var epoch: UInt64
        /// The last that announced itself with this server's key; missing when nobody has since the start.
        public var copy: Copy?
    }

    /// A copy of this server's keys (specs/map.md, "Copies of a server").
    public struct Copy: Codable, Sendable {
        public var address: String
        public var secondsAgo: UInt64
        /// Announcements within an hour until then.
        public var count: Int
    }

    /// Another server of the own cluster.
    public struct Sibling: Codable, Sendable {
        public var server: String
        public var address: String
        /// Seconds since 1970 until which the cluster has certified it.
        public var certifiedUntil: UInt64
    }

    /// As a gateway: how many agents there are, and never which.
    public struct Gateway: Codable, Sendable {
        /// Links of agents that stand now, and those of them with a mailbox here.
        public var agents: Int
        public var agentsWithMailbox: Int
        public var mailboxes: Int
        /// Replies that wait in mailboxes.
        public var repliesWaiting: Int
        public var envelopesFromAgents: UInt64
        public var repliesToAgents: UInt64
        /// On a testbed only (``NodeConfiguration/testbedAddresses``): addresses of agents that had a mailbox here.
        public var agentAddresses: [String]?
        /// On a testbed only: those of agents that fetched the map here and had their mailbox elsewhere.
        public var mapAddresses: [String]?
    }

    /// As a mix: neighbours only.
    public struct Mix: Codable, Sendable {
        public var neighbours: [String]
        public var received: UInt64
        public var forwarded: UInt64
        public var dropped: UInt64
        public var replays: UInt64
        public var waiting: Int
        /// The own layer of this epoch, from 1; missing while the map is too small for layers.
        public var layer: Int?
    }

    /// As a home: accounts, which are hashes of operational keys.
    public struct Home: Codable, Sendable {
        /// A thousand at most.
        public var accounts: [String]
        public var accountsTotal: Int
        public var items: Int
        public var replyBlocks: Int
    }

    /// As a directory holder: sealed records under blinded keys.
    public struct Directory: Codable, Sendable {
        public var records: Int
        public var contacts: Int
        public var requests: UInt64
        public var sharedRandom: SharedRandom
        /// Missing in the statement of an earlier version.
        public var view: View?
    }

    /// What speaks for the network that this server was shown, and what against it (specs/directory.md, "Bootstrap").
    public struct View: Codable, Sendable {
        public struct Source: Codable, Sendable {
            public var named: Int
            public var answered: Int
        }

        /// An alarm that holds.
        public struct Alarm: Codable, Sendable {
            /// `density`, `join_rate`, `anchors`, `size`, `crowd`, `false_records`, `strangers`.
            public var kind: String
            public var detail: String
            public var secondsLeft: UInt64
        }

        /// Whether servers of three sources, or three of different clusters and networks, have proven who they are.
        public var isTrusted: Bool
        /// Servers to begin with, by where they are known from: `lastRun`, `bootstrapList`, `addedPeers`,
        /// `knownServers`.
        public var sources: [String: Source]
        /// Those that answered and are of different clusters and networks.
        public var unrelated: Int
        public var alarms: [Alarm]
    }

    /// The values that place servers on the circle, as hexadecimal digits or in a word.
    public struct SharedRandom: Codable, Sendable {
        public var today: String
        public var next: String
        /// Clusters that make the next one.
        public var participants: Int
        /// Those of them that committed to a secret and did not show it, or committed twice: ClusterIDs.
        public var withheld: [String]
        /// Whether a value was not agreed on since the start.
        public var isAlarmed: Bool
    }

    /// What is refused since so many seconds, and tried again until it is not.
    public struct Trouble: Codable, Sendable {
        public var seconds: UInt64
        public var reason: String
    }

    public struct Store: Codable, Sendable {
        public var usedBytes: Int
        public var sizeBytes: Int
        /// What was missing of the stores at the start; missing itself when nothing was.
        public var findings: [String]?
        /// Missing while the store takes what is written.
        public var trouble: Trouble?
        /// Own descriptors that are not on disk yet; missing in the statement of an earlier version.
        public var unpublished: Int?
        /// The same of the journal of replay tags: envelopes wait for it.
        public var journalTrouble: Trouble?
        /// The same of the next day's mix key.
        public var keysTrouble: Trouble?
    }

    public struct Map: Codable, Sendable {
        public var clusters: Int
        public var servers: Int
        /// Clusters with a server that paths may use, and how many a message's path needs.
        public var usableClusters: Int
        public var neededClusters: Int
        /// Servers with which there is a stream link.
        public var linkedServers: Int
        /// The highest version of its gossip that this node speaks, and links by the version spoken over them.
        public var wireVersion: Int
        public var links: [String: Int]
        /// The other servers of the own cluster; missing in the statement of an earlier version.
        public var siblings: [Sibling]?
        /// Missing in the statement of an earlier version.
        public var snapshot: SnapshotReport?
    }

    /// What the server needs to prove that it is of its cluster.
    public struct Keys: Codable, Sendable {
        /// Whether the cluster's key is here, with which peerings are signed and the certificate is renewed.
        public var hasClusterKey: Bool
        /// When the server's certificate ends, in seconds since 1970, and how long that is.
        public var certificateEnd: UInt64
        public var certificateSecondsLeft: UInt64
    }

    /// What all this comes to.
    public var verdict: NodeVerdict
    public var server: Server
    public var keys: Keys
    public var gateway: Gateway
    public var mix: Mix
    public var home: Home
    public var directory: Directory
    public var map: Map
    public var store: Store
    /// Everything that was dropped, by reason.
    public var counters: [String: UInt64]

    /// A statement that its owners have yet to fill in.
    init(server: Server, keys: Keys, counters: [String: UInt64]) {
        verdict = NodeVerdict(findings: [])
        self.server = server
        self.keys = keys
        gateway = .init(
            agents: 0, agentsWithMailbox: 0, mailboxes: 0, repliesWaiting: 0, envelopesFromAgents: 0,
            repliesToAgents: 0)
        mix = .init(neighbours: [], received: 0, forwarded: 0, dropped: 0, replays: 0, waiting: 0)
        home = .init(accounts: [], accountsTotal: 0, items: 0, replyBlocks: 0)
        directory = .init(
            records: 0, contacts: 0, requests: 0,
            sharedRandom: .init(today: "unknown", next: "unknown", participants: 0, withheld: [], isAlarmed: false))
        map = .init(
            clusters: 0, servers: 0, usableClusters: 0, neededClusters: MapView.pathClusters, linkedServers: 0,
            wireVersion: 0, links: [:])
        store = .init(usedBytes: 0, sizeBytes: 0)
        self.counters = counters
    }
}
