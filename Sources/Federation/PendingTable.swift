import Primitives

/// Valid descriptors whose cluster is not admitted yet, so that the order of arrival does not matter; bounded.
///
/// Those of clusters that peer with an admitted one have a part of their own, which no flood of strangers empties.
struct PendingTable: Sendable {
    private var vouched = BoundedTable()
    private var strangers = BoundedTable()

    var count: Int { vouched.count + strangers.count }
    var descriptors: [MapDescriptor] { vouched.descriptors + strangers.descriptors }
    var digests: [MapDigest] { vouched.digests + strangers.digests }

    subscript(id: Bytes16) -> MapDescriptor? { vouched[id] ?? strangers[id] }

    /// Adds or replaces a descriptor; each part holds at most `limit`.
    /// - Returns: the descriptor that had to give way, the oldest of its part.
    mutating func insert(_ descriptor: MapDescriptor, isVouchedFor: Bool, limit: Int) -> MapDescriptor? {
        remove(descriptor.id)
        return isVouchedFor
            ? vouched.insert(descriptor, limit: limit) : strangers.insert(descriptor, limit: limit)
    }

    mutating func remove(_ id: Bytes16) {
        vouched.remove(id)
        strangers.remove(id)
    }
}

/// Descriptors in the order of their arrival.
private struct BoundedTable: Sendable {
    private var entries: [Bytes16: (descriptor: MapDescriptor, ticket: UInt64)] = [:]
    private var order: [(id: Bytes16, ticket: UInt64)] = []
    private var nextTicket: UInt64 = 0

    var count: Int { entries.count }
    var descriptors: [MapDescriptor] { order.compactMap { isLive($0) ? entries[$0.id]?.descriptor : nil } }
    var digests: [MapDigest] { entries.map { MapDigest(id: $0.key, sequence: $0.value.descriptor.sequence) } }

    subscript(id: Bytes16) -> MapDescriptor? { entries[id]?.descriptor }

    mutating func insert(_ descriptor: MapDescriptor, limit: Int) -> MapDescriptor? {
        let id = descriptor.id
        entries[id] = (descriptor, nextTicket)
        order.append((id, nextTicket))
        nextTicket += 1
        // Entries that were replaced or removed leave their place in the order behind.
        if order.count > 2 * limit + 16 { order = order.filter(isLive) }
        guard entries.count > limit, let oldest = order.firstIndex(where: isLive) else { return nil }
        let victim = order[oldest].id
        order.removeSubrange(...oldest)
        return entries.removeValue(forKey: victim)?.descriptor
    }

    mutating func remove(_ id: Bytes16) { entries[id] = nil }

    private func isLive(_ place: (id: Bytes16, ticket: UInt64)) -> Bool {
        entries[place.id]?.ticket == place.ticket
    }
}
