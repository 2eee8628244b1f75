import Primitives

/// Valid descriptors whose cluster nobody endorses yet, so that the order of arrival does not matter; bounded.
struct PendingTable: Sendable {
    private var entries: [Bytes16: (descriptor: MapDescriptor, ticket: UInt64)] = [:]
    private var order: [(id: Bytes16, ticket: UInt64)] = []
    private var nextTicket: UInt64 = 0

    var count: Int { entries.count }
    var descriptors: [MapDescriptor] { order.compactMap { isLive($0) ? entries[$0.id]?.descriptor : nil } }

    subscript(id: Bytes16) -> MapDescriptor? { entries[id]?.descriptor }

    /// Adds or replaces a descriptor.
    /// - Returns: the identifier that had to give way.
    mutating func insert(_ descriptor: MapDescriptor, limit: Int) -> Bytes16? {
        let id = descriptor.id
        entries[id] = (descriptor, nextTicket)
        order.append((id, nextTicket))
        nextTicket += 1
        // Entries that were replaced or removed leave their place in the order behind.
        if order.count > 2 * limit + 16 { order = order.filter(isLive) }
        guard entries.count > limit, let oldest = order.firstIndex(where: isLive) else { return nil }
        let victim = order[oldest].id
        order.removeSubrange(...oldest)
        entries[victim] = nil
        return victim
    }

    mutating func remove(_ id: Bytes16) { entries[id] = nil }

    private func isLive(_ place: (id: Bytes16, ticket: UInt64)) -> Bool {
        entries[place.id]?.ticket == place.ticket
    }
}
