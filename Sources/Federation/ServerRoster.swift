import Primitives

/// How many servers of each cluster a map has, and which of those clusters that have many, so that what such a cluster
/// says does not cost a pass over the map.
///
/// A list is made by one pass when a cluster comes to have so many, and kept until it has half as many: so passes are as
/// rare as it takes that many descriptors to bring one about.
struct ServerRoster: Sendable {
    private let threshold: Int
    private var counts: [VerifyingKey: Int] = [:]
    private var lists: [VerifyingKey: [Bytes16]] = [:]

    /// - Parameter threshold: from so many servers on a cluster has a list.
    init(listedFrom threshold: Int) { self.threshold = max(1, threshold) }

    func count(_ cluster: VerifyingKey) -> Int { counts[cluster, default: 0] }

    /// The servers of a cluster that has many, ascending; `nil` for others.
    func list(_ cluster: VerifyingKey) -> [Bytes16]? { lists[cluster] }

    /// Counts a server that was not there.
    /// - Parameter all: finds all servers of the cluster, this one included.
    mutating func insert(_ id: Bytes16, of cluster: VerifyingKey, all: () -> [Bytes16]) {
        counts[cluster, default: 0] += 1
        if let place = lists[cluster].map({ list in list.firstIndex { id < $0 } ?? list.count }) {
            lists[cluster]?.insert(id, at: place)
        } else if count(cluster) >= threshold {
            lists[cluster] = all()
        }
    }

    mutating func remove(_ id: Bytes16, of cluster: VerifyingKey) {
        let left = counts[cluster, default: 1] - 1
        counts[cluster] = left > 0 ? left : nil
        if left * 2 < threshold { lists[cluster] = nil } else { lists[cluster]?.removeAll { $0 == id } }
    }
}
