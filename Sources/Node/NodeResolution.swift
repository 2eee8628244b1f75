import Directory

/// What a node found by a direct lookup, for its operator: the record as far as the ID opens it, and what each holder
/// sent (specs/directory.md, "Direct lookups").
public struct NodeResolution: Codable, Sendable {
    /// Milliseconds after which the node says that it has no answer; the lookup itself ends earlier.
    public static let deadline: UInt64 = 12_000

    public enum Result: String, Codable, Sendable {
        case found
        /// Enough holders have signed that they have no record.
        case missing
        case unanswered
    }

    /// Why there is no lookup.
    public enum Refusal: String, Codable, Error, Sendable {
        /// Too many lookups, or calls, are under way.
        case busy
        case invalidID
        /// The node has no answer by its ``deadline``.
        case late
    }

    /// A server, and its cluster as the map has it.
    public struct Place: Codable, Sendable {
        public var server: String
        /// ClusterID and name; missing for a server that is not on the map.
        public var cluster: String?
        public var clusterName: String?
    }

    public struct Record: Codable, Sendable {
        /// By which two records of one day are told apart.
        public var sequence: UInt64
        /// Seconds since 1970.
        public var expiry: UInt64
        /// Seconds since it was published; missing when that is no second of the past.
        public var ageSeconds: UInt64?
        /// Grows when the user's keys are replaced.
        public var serial: UInt64
        /// Whether strangers may write.
        public var isOpen: Bool
        public var homes: [Place]
    }

    public struct Holder: Codable, Sendable {
        public var place: Place
        /// From 1.
        public var ring: Int
        public var answer: LookupReport.Answer
        public var milliseconds: UInt64?
        public var sequence: UInt64?
    }

    public var id: String
    public var result: Result
    public var epoch: UInt64
    /// Until the result was known.
    public var milliseconds: UInt64
    /// Round trips that had to follow one another: one for the holders, and those of a search.
    public var hops: Int
    /// Whether the holders had no record, so that it was searched for without the map.
    public var usedSearch: Bool
    /// Whether enough was known of the times that answers take; else fifteen answers of twenty were awaited.
    public var judgedByTimes: Bool
    /// Whether this node knows the day's shared random value, from which the holders follow.
    public var knowsPlaces: Bool
    /// Holders by what they sent; all kinds are there.
    public var answers: [String: Int]
    public var record: Record?
    public var holders: [Holder]
}
