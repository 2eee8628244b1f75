import Primitives
import Records
import Storage
import Wire

/// The bounds and habits of a ``MapCore``.
public struct MapConfiguration: Sendable {
    /// Whether this is an agent's map: it compares and learns, and never tells anybody a descriptor.
    public var isAgent = false
    /// The most admitted descriptors, of servers and of clusters.
    public var capacity = 262_144
    /// The most servers of one cluster.
    public var serversPerCluster = 256
    /// The most descriptors of clusters not (yet) admitted; the oldest gives way. They are not stored.
    public var pendingLimit = 4096
    /// Milliseconds between two comparisons with each peer; each is drawn from ± 20 %.
    public var interval: UInt64 = 5000
    /// Up to so many descriptors everybody is told at once of what is new, and every link is compared each interval.
    public var smallMap = 1000
    /// Milliseconds between two comparisons of a large map; it is reached at twelve times ``smallMap``.
    public var slowestInterval: UInt64 = 60_000
    /// The most cells in one comparison; beyond it buckets are compared.
    public var symbolLimit = ExchangeMessage.symbolLimit
    /// The highest version spoken; operators pin it while a federation is upgraded (specs/map.md, "Versions").
    public var highestVersion = MapVersion.highest
    /// Per link and interval: descriptors sent.
    public var sendLimit = 2000
    /// Per link and interval: descriptors looked at. A forged one counts for ``forgeryCost``.
    public var receiveLimit = 8000
    public var forgeryCost = 100
    /// Per link and interval: lists of digests looked at, and sent.
    public var digestLimit = 2048
    /// Per interval, over all links: descriptors looked at in passes over the map, half of them for agents at most.
    public var passLimit = 8_000_000
    /// Per link and interval: summaries answered.
    public var summaryLimit = 4

    public init() {}
}

/// What a ``MapCore`` is told.
public enum MapEvent: Sendable {
    /// A stream link stands; `peer` is `nil` when an agent is at the other end, from whom no descriptor is taken.
    case linkUp(link: UInt64, peer: NodeID?)
    /// The body of a map frame came over a link.
    case message(link: UInt64, [UInt8])
    case linkDown(link: UInt64)
    /// The operator has changed whom this map trusts: the bootstrap list, added peers, and the own cluster.
    case roots(Set<VerifyingKey>)
    /// What this server measured of the relays of ``MapEffect/measure(epoch:targets:until:)``: the steps they passed.
    case measured(epoch: UInt64, [NodeID: UInt8])
    /// An answer to a question of ``MapEffect/inquire(_:)`` came.
    case inquired([UInt8])
    /// The directory's shared random value of an epoch, where one was made; not the stand-in of a young network
    /// (specs/directory.md).
    case sharedRandom(epoch: UInt64, Bytes32)
    /// ``MapCore/nextWake`` has come.
    case wake
}

/// What the driver must do for a ``MapCore``, after it has committed the store.
public enum MapEffect: Sendable {
    /// Send this frame body, at most ``Limits/envelopeSize`` bytes, over the link.
    case send(link: UInt64, [UInt8])
    /// A server is new in the map, or has said something new.
    case learned(ServerDescriptor)
    /// A cluster is new in the map, or has said something new.
    case learnedCluster(ClusterDescriptor)
    /// A server's descriptor has expired, or its cluster is endorsed no longer.
    case lost(NodeID)
    /// Somebody of an admitted cluster has contradicted himself, as this proves; it is new and in the store.
    case evidence(EquivocationEvidence)
    /// Somebody else has signed a newer descriptor of this very server: he has its key.
    case copied(ServerDescriptor)
    /// What the comparison of an epoch's snapshots has come to; again when that changes.
    case snapshotVerdict(epoch: UInt64, SnapshotComparison.Verdict)
    /// What ``MapCore/view(at:)`` gives is another, although no descriptor is: layers, weights, or what may be used.
    case viewChanged
    /// Measure how much these relays pass on, at times spread until then.
    case measure(epoch: UInt64, targets: [NodeID], until: Timestamp)
    /// An agent's map has whatever this link offered when they last compared: it is as whole as the other side's.
    case compared(link: UInt64)
    /// An agent's map wants these questions to go to the map's service of servers, each in an envelope of its own.
    case inquire([MapQuestion])
}

/// Why an own descriptor was not published.
public enum MapError: Error, Equatable, Sendable {
    case descriptor(DescriptorError)
    /// The map has one of the same or a higher sequence.
    case notNewer(held: UInt64)
    case full
    case storage(StorageError)
}

/// What came in and was dropped, and what went out, since the start.
public struct MapCounters: CounterSet {
    public static let family = "map"

    /// Descriptors taken into the map.
    public var learned: UInt64 = 0
    /// The same descriptor again.
    public var duplicates: UInt64 = 0
    /// Lower sequence than the one held.
    public var replayed: UInt64 = 0
    /// Two validly signed descriptors of one sequence.
    public var conflicting: UInt64 = 0
    /// Signature or certificate does not fit.
    public var forged: UInt64 = 0
    public var expired: UInt64 = 0
    public var oversize: UInt64 = 0
    public var malformed: UInt64 = 0
    /// Put aside because the cluster is not admitted.
    public var pending: UInt64 = 0
    /// Clusters of those put aside that endorse, and are endorsed by, others that are not admitted: a circle.
    public var circular: UInt64 = 0
    /// Put aside and pushed out again by others.
    public var evicted: UInt64 = 0
    /// Dropped because the map, or the cluster's share of it, is full.
    public var full: UInt64 = 0
    /// Newer descriptors of this very server that it did not sign.
    public var copies: UInt64 = 0
    /// Dropped because too many versions of one descriptor had come within the hour.
    public var hasty: UInt64 = 0
    /// Dropped because the link's share of this interval was used up.
    public var flooded: UInt64 = 0
    /// Not sent because the link's share of this interval was used up.
    public var throttled: UInt64 = 0
    /// Descriptors that an agent tried to publish.
    public var fromAgents: UInt64 = 0
    /// Messages and items of kinds that this version does not know, and such as came before a greeting.
    public var unknown: UInt64 = 0
    /// Descriptors of a kind or version that this version does not know.
    public var later: UInt64 = 0
    /// Links whose other side speaks no version that this one does.
    public var incompatible: UInt64 = 0
    /// Comparisons begun.
    public var exchanges: UInt64 = 0
    /// Cells that did not decode yet.
    public var undecoded: UInt64 = 0
    /// Cells of two different states, or out of order.
    public var stale: UInt64 = 0
    /// Comparisons that went on bucket by bucket.
    public var walks: UInt64 = 0
    /// Renewals of descriptors that were not held in the version before.
    public var incomplete: UInt64 = 0
    /// Names of what others offered, or of what was of no use, for which there was no room.
    public var surplus: UInt64 = 0
    /// How often the clock went back.
    public var clockTurns: UInt64 = 0
    /// Bytes of all frame bodies sent, and the number of frames.
    public var sentBytes: UInt64 = 0
    public var sentFrames: UInt64 = 0

    public init() {}
}
