import Primitives
import Records

/// The servers of a map for reading. It shares the memory in which the map has them encoded, and decodes one when it is
/// asked for: a hundred thousand decoded servers would take more memory than the map.
public struct ServerTable: Sendable {
    private let descriptors: DescriptorTable
    /// Where those that are in it stand, ascending by the first 16 bytes of their node IDs.
    private let slots: [DescriptorTable.Slot]

    init(_ descriptors: DescriptorTable, slots: [DescriptorTable.Slot]) {
        self.descriptors = descriptors
        self.slots = slots
    }

    /// A table of its own. Of two descriptors of one server the last counts.
    public init(_ servers: [ServerDescriptor]) {
        var descriptors = DescriptorTable()
        for server in servers { _ = descriptors.insert(server.encode(), id: MapCore.name(server.nodeID)) }
        self.init(descriptors, slots: descriptors.slots { $0.isServer })
    }

    public var count: Int { slots.count }

    /// The first 16 bytes of their node IDs, ascending.
    var ids: some Sequence<Bytes16> { slots.lazy.compactMap(descriptors.id(at:)) }

    public subscript(node: NodeID) -> ServerDescriptor? {
        let id = MapCore.name(node)
        guard place(id) != nil, case .server(let server)? = descriptors[id], server.nodeID == node else { return nil }
        return server
    }

    /// Whether a server is in it, without decoding anything.
    public func contains(_ node: NodeID) -> Bool { glance(MapCore.name(node))?.nodeID == node }

    /// All, decoded.
    public var all: [ServerDescriptor] { slots.indices.compactMap(server(at:)) }

    /// What the server at a place says, without decoding it; places ascend by node ID.
    public func glance(at place: Int) -> ServerGlance? {
        slots.indices.contains(place) ? descriptors.glance(at: slots[place]) : nil
    }

    public func server(at place: Int) -> ServerDescriptor? {
        guard let id = id(at: place), case .server(let server)? = descriptors[id] else { return nil }
        return server
    }

    func id(at place: Int) -> Bytes16? { slots.indices.contains(place) ? descriptors.id(at: slots[place]) : nil }

    func glance(_ id: Bytes16) -> ServerGlance? { place(id).flatMap(glance(at:)) }

    /// Those of the table that fit.
    func filter(_ fits: (Bytes16) -> Bool) -> ServerTable {
        ServerTable(descriptors, slots: slots.filter { descriptors.id(at: $0).map(fits) ?? false })
    }

    /// Where a server stands in the table.
    func place(_ id: Bytes16) -> Int? {
        guard let slot = descriptors.slot(id) else { return nil }
        var low = 0
        var high = slots.count
        while low < high {
            let middle = (low + high) / 2
            if slots[middle] < slot { low = middle + 1 } else { high = middle }
        }
        return low < slots.count && slots[low] == slot ? low : nil
    }
}
