import Primitives
import Records

/// The paths by which a cluster is admitted, for people.
extension EndorsementGraph {
    /// Up to two paths of mutual endorsements from `cluster` to a root, both ends included, that share no cluster but
    /// possibly the root. Shortest first where one path is all there is.
    ///
    /// A flow of at most two units: the second search may undo steps of the first (Suurballe, 1974), so two paths are
    /// found whenever there are two.
    func disjointPaths(from cluster: VerifyingKey, roots: Set<VerifyingKey>) -> [[VerifyingKey]] {
        guard let first = path(from: cluster, roots: roots, around: []) else { return [] }
        guard let second = path(from: cluster, roots: roots, around: first) else { return [first] }
        // Steps that both take in opposite directions cancel; what is left splits at the cluster into two paths.
        var steps: [VerifyingKey: [VerifyingKey]] = [:]
        for path in [first, second] {
            for (from, to) in zip(path, path.dropFirst()) {
                if let back = steps[to]?.firstIndex(of: from) {
                    steps[to]?.remove(at: back)
                } else {
                    steps[from, default: []].append(to)
                }
            }
        }
        let paths = (steps[cluster] ?? []).map { start in
            var path = [cluster, start]
            while let last = path.last, !roots.contains(last), let next = steps[last]?.first { path.append(next) }
            return path
        }
        return paths.sorted { $0.count < $1.count }
    }

    /// The cluster without which no path is left, where `path` is the only one; the nearest to `cluster` if there are
    /// several, `nil` if there is none and the single path is a root's own endorsement.
    ///
    /// The search for a second path can leave each cluster of the first that there is a way around. The first one that it
    /// cannot leave cuts off all beyond (Ford and Fulkerson, 1956): one search, however long the path is.
    func bottleneck(of cluster: VerifyingKey, on path: [VerifyingKey], roots: Set<VerifyingKey>) -> VerifyingKey? {
        let seen = search(from: cluster, roots: roots, around: path).seen
        return path.dropFirst().first {
            !roots.contains($0) && !seen.contains(Place(cluster: $0, mustFollow: false))
        }
    }

    /// A place of the search: a cluster, and whether it is reached against the direction of the path to get around, so
    /// that the path must be followed back before it can be left.
    private struct Place: Hashable {
        let cluster: VerifyingKey
        let mustFollow: Bool
    }

    /// The shortest walk to a root in the graph that `taken` leaves: clusters of `taken` may be entered from outside
    /// only to go back along it.
    private func path(
        from cluster: VerifyingKey, roots: Set<VerifyingKey>, around taken: [VerifyingKey]
    ) -> [VerifyingKey]? {
        search(from: cluster, roots: roots, around: taken).path
    }

    /// The same walk, and all places that were seen on the way to it.
    private func search(
        from cluster: VerifyingKey, roots: Set<VerifyingKey>, around taken: [VerifyingKey]
    ) -> (path: [VerifyingKey]?, seen: Set<Place>) {
        /// For each cluster of `taken` but its ends, the one before it on that path.
        let previous = Dictionary(
            zip(taken.dropFirst().dropLast(), taken), uniquingKeysWith: { first, _ in first })
        let takenSteps = Dictionary(zip(taken, taken.dropFirst()), uniquingKeysWith: { first, _ in first })
        let start = Place(cluster: cluster, mustFollow: false)
        var cameFrom: [Place: Place] = [:]
        var seen: Set<Place> = [start]
        var frontier = [start]
        while !frontier.isEmpty {
            var further: [Place] = []
            for place in frontier {
                for next in steps(from: place, previous, takenSteps, origin: cluster) where seen.insert(next).inserted {
                    cameFrom[next] = place
                    if roots.contains(next.cluster) { return (EndorsementGraph.trace(next, cameFrom), seen) }
                    further.append(next)
                }
            }
            frontier = further
        }
        return (nil, seen)
    }

    private func steps(
        from place: Place, _ previous: [VerifyingKey: VerifyingKey], _ taken: [VerifyingKey: VerifyingKey],
        origin: VerifyingKey
    ) -> [Place] {
        let here = place.cluster
        var out: [Place] = []
        if let back = previous[here] {
            // Back along the taken path; having come that way, one may also leave it here.
            if back != origin { out.append(Place(cluster: back, mustFollow: false)) }
            if place.mustFollow { return out }
        }
        for peer in peers(of: here) where peer != origin && taken[here] != peer && peer != previous[here] {
            out.append(Place(cluster: peer, mustFollow: previous[peer] != nil))
        }
        return out
    }

    private static func trace(_ end: Place, _ cameFrom: [Place: Place]) -> [VerifyingKey] {
        var path = [end.cluster]
        var place = end
        while let before = cameFrom[place] {
            path.append(before.cluster)
            place = before
        }
        return path.reversed()
    }
}
