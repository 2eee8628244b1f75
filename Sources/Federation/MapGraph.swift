import Primitives
import Records

/// The clusters that a map knows of, who peers with whom, and why each is admitted or is not: for people and auditors
/// (`hulda node map`).
public struct MapGraph: Codable, Equatable, Sendable {
    public enum Standing: String, Codable, Sendable {
        case root, admitted, refused
    }

    public struct Cluster: Codable, Equatable, Sendable {
        /// ClusterID, 64 hexadecimal digits.
        public var id: String
        /// What the operator calls it: any text, to be shown with care.
        public var name: String
        public var contact: String
        public var software: String
        /// Servers in the map; those of a refused cluster are not in it.
        public var servers: Int
        public var standing: Standing
        /// Short IDs of the clusters from this one to a root: two disjoint paths, one in a small map, or the only one
        /// of a cluster that is refused for having no second. Of one of more than ``MapGraph/pathLimit`` clusters the
        /// middle is left out, and a dash stands there.
        public var paths: [[String]]
        /// The short ID of the one cluster that lies on every path of a refused cluster.
        public var hangsOn: String?
        /// Short IDs of admitted clusters whose endorsement a refused cluster does not return.
        public var unreturned: [String]
        /// Short IDs of clusters that it endorses and that do not endorse it, sixteen at most.
        public var unanswered: [String]
        /// Short IDs of the clusters that it peers with.
        public var peers: [String]
    }

    /// Roots first, then the admitted, then the refused; each by name and ID.
    public var clusters: [Cluster]
    /// Clusters that fit the question and were left out, because the answer is bounded.
    public var omitted: Int

    public init(clusters: [Cluster], omitted: Int) {
        self.clusters = clusters
        self.omitted = omitted
    }

    /// The most clusters in one answer, so that it stays below a megabyte.
    public static let limit = 500

    /// The most clusters of one path in an answer.
    public static let pathLimit = 32

    /// The first 16 hexadecimal digits of a ClusterID, which name it in lists.
    public static func short(_ cluster: VerifyingKey) -> String { String(cluster.bytes.hex.prefix(16)) }

    static func short(path: [VerifyingKey]) -> [String] {
        guard path.count > pathLimit else { return path.map(short) }
        return path.prefix(pathLimit / 2).map(short) + ["–"] + path.suffix(pathLimit / 2).map(short)
    }
}

extension MapCore {
    /// The map as a graph.
    ///
    /// Explaining one cluster may take a search through the whole graph, so the number of those explained shrinks as
    /// the map grows.
    /// - Parameter question: the beginning of a cluster's name or ID; empty for all.
    public func graph(matching question: String = "") -> MapGraph {
        var known = clusters
        for case .cluster(let waiting) in pending.descriptors where known[waiting.clusterID] == nil {
            known[waiting.clusterID] = waiting
        }
        let fitting = known.values.filter { cluster in
            question.isEmpty || cluster.name.hasPrefix(question)
                || cluster.clusterID.bytes.hex.hasPrefix(question.lowercased())
        }
        let ordered = fitting.map { (standing($0.clusterID), $0) }.sorted { left, right in
            (left.0.rank, left.1.name, left.1.clusterID.bytes.hex)
                < (right.0.rank, right.1.name, right.1.clusterID.bytes.hex)
        }
        let shown = ordered.prefix(min(MapGraph.limit, 2_000_000 / (known.count + 1) + 1))
        return MapGraph(
            clusters: shown.map { explain($0.1, $0.0) }, omitted: ordered.count - shown.count)
    }

    /// The name and standing of every cluster that the map knows of.
    public var standings: [VerifyingKey: (name: String, standing: MapGraph.Standing)] {
        var all: [VerifyingKey: (name: String, standing: MapGraph.Standing)] = [:]
        for case .cluster(let waiting) in pending.descriptors {
            all[waiting.clusterID] = (waiting.name, standing(waiting.clusterID))
        }
        for cluster in eachCluster { all[cluster.clusterID] = (cluster.name, standing(cluster.clusterID)) }
        return all
    }

    /// The descriptor of a cluster, admitted or not.
    public func knownCluster(_ cluster: VerifyingKey) -> ClusterDescriptor? {
        if let held = self.cluster(cluster) { return held }
        for case .cluster(let waiting) in pending.descriptors where waiting.clusterID == cluster { return waiting }
        return nil
    }

    /// The row of one cluster, admitted or not.
    public func row(of cluster: VerifyingKey) -> MapGraph.Cluster? {
        knownCluster(cluster).map { explain($0, standing(cluster)) }
    }

    private func standing(_ cluster: VerifyingKey) -> MapGraph.Standing {
        if admission.roots.contains(cluster) { return .root }
        return admission.admits(cluster) ? .admitted : .refused
    }

    private func explain(_ descriptor: ClusterDescriptor, _ standing: MapGraph.Standing) -> MapGraph.Cluster {
        let id = descriptor.clusterID
        let peers = admission.graph.peers(of: id)
        let unanswered = descriptor.endorsements.filter { !peers.contains($0) }
        var row = MapGraph.Cluster(
            id: id.bytes.hex, name: descriptor.name, contact: descriptor.contact, software: descriptor.software,
            servers: roster.count(id), standing: standing, paths: [], hangsOn: nil, unreturned: [],
            unanswered: unanswered.prefix(16).map(MapGraph.short), peers: peers.map(MapGraph.short))
        switch admission.reason(for: id) {
        case .root, .unknown: break
        case .twoPaths(let first, let second), .waiting(let first, let second):
            row.paths = [MapGraph.short(path: first), MapGraph.short(path: second)]
        case .smallMap(let path): row.paths = [MapGraph.short(path: path)]
        case .onePath(let path, let bottleneck):
            row.paths = [MapGraph.short(path: path)]
            row.hangsOn = bottleneck.map(MapGraph.short)
        case .noPath(let endorsers): row.unreturned = endorsers.prefix(16).map(MapGraph.short)
        }
        return row
    }
}

extension MapGraph.Cluster {
    /// Why it is admitted or is not, in words.
    /// - Parameter name: what to call the cluster of a short ID.
    public func reason(naming name: (String) -> String) -> String {
        let unanswered = self.unanswered.map(name).joined(separator: ", ")
        switch standing {
        case .root: return unanswered.isEmpty ? "trust root" : "trust root; not endorsed back by \(unanswered)"
        case .admitted:
            let paths = self.paths.map { $0.dropFirst().map(name).joined(separator: " > ") }
            return paths.joined(separator: " | ")
        case .refused:
            if let hinge = hangsOn {
                return "every path leads through \(name(hinge)): it needs a peering with another cluster"
            }
            if paths.count == 2 { return "its peers have brought in as many as they may today: it comes in tomorrow" }
            if !paths.isEmpty { return "only one trust root peers with it: it needs a second peering" }
            guard unreturned.isEmpty else {
                let endorsers = unreturned.map(name).joined(separator: ", ")
                return "it does not endorse back \(endorsers)"
            }
            guard self.unanswered.isEmpty else { return "\(unanswered) must endorse it back" }
            return "no cluster on the map peers with it"
        }
    }
}

extension MapGraph.Standing {
    var rank: Int {
        switch self {
        case .root: 0
        case .admitted: 1
        case .refused: 2
        }
    }
}
