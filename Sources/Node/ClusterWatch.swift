import Federation
import Primitives
import Records

/// Which clusters came to the map, left it, or are left out, since it was last looked at: for the operator's log.
struct ClusterWatch {
    enum Change: Equatable {
        case admitted
        /// Known and not on the map.
        case leftOut
        /// Not known any more.
        case gone
    }

    /// What was seen last; `nil` before the first look, which is no news.
    private var seen: [VerifyingKey: (name: String, isAdmitted: Bool)]?

    /// - Returns: what is different, by name and ID.
    mutating func look(
        _ standings: [VerifyingKey: (name: String, standing: MapGraph.Standing)]
    ) -> [(cluster: VerifyingKey, name: String, change: Change)] {
        let now = standings.mapValues { (name: $0.name, isAdmitted: $0.standing != .refused) }
        defer { seen = now }
        guard let seen else { return [] }
        var changes: [(cluster: VerifyingKey, name: String, change: Change)] = []
        for (cluster, entry) in now where seen[cluster]?.isAdmitted != entry.isAdmitted {
            changes.append((cluster, entry.name, entry.isAdmitted ? .admitted : .leftOut))
        }
        for (cluster, entry) in seen where now[cluster] == nil { changes.append((cluster, entry.name, .gone)) }
        return changes.sorted { ($0.name, $0.cluster.bytes.hex) < ($1.name, $1.cluster.bytes.hex) }
    }
}
