import Primitives

/// The identifiers of each cluster's servers in a map, so that nobody has to look through the map for them.
struct ServerRoster: Sendable {
    /// Most clusters have one server: those have no list of their own.
    private enum Crew: Sendable {
        case one(Bytes16)
        case many([Bytes16])
    }

    private var crews: [VerifyingKey: Crew] = [:]

    /// Ascending.
    subscript(cluster: VerifyingKey) -> [Bytes16] {
        switch crews[cluster] {
        case .one(let id)?: [id]
        case .many(let all)?: all
        case nil: []
        }
    }

    func count(_ cluster: VerifyingKey) -> Int {
        switch crews[cluster] {
        case .one?: 1
        case .many(let all)?: all.count
        case nil: 0
        }
    }

    /// Adds a server that is not there.
    mutating func insert(_ id: Bytes16, of cluster: VerifyingKey) {
        var all = self[cluster]
        crews[cluster] = nil
        all.insert(id, at: all.firstIndex { id < $0 } ?? all.count)
        crews[cluster] = all.count == 1 ? .one(id) : .many(all)
    }

    mutating func remove(_ id: Bytes16, of cluster: VerifyingKey) {
        var all = self[cluster]
        crews[cluster] = nil
        all.removeAll { $0 == id }
        if let first = all.first { crews[cluster] = all.count == 1 ? .one(first) : .many(all) }
    }
}
