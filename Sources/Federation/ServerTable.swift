import Primitives
import Records

/// The servers of a map for reading. It shares the memory in which the map has them encoded, and decodes one when it is
/// asked for: a hundred thousand decoded servers would take more memory than the map.
public struct ServerTable: Sendable {
    private let descriptors: DescriptorTable
    /// The first 16 bytes of the node IDs of those that are in it, ascending.
    let ids: [Bytes16]

    init(_ descriptors: DescriptorTable, ids: [Bytes16]) {
        self.descriptors = descriptors
        self.ids = ids
    }

    /// A table of its own. Of two descriptors of one server the last counts.
    public init(_ servers: [ServerDescriptor]) {
        var descriptors = DescriptorTable()
        for server in servers { _ = descriptors.insert(server.encode(), id: MapCore.name(server.nodeID)) }
        self.init(descriptors, ids: descriptors.identifiers { $0.isServer })
    }

    public var count: Int { ids.count }

    public subscript(node: NodeID) -> ServerDescriptor? {
        let id = MapCore.name(node)
        guard contains(id), case .server(let server)? = descriptors[id], server.nodeID == node else { return nil }
        return server
    }

    /// All, decoded.
    public var all: [ServerDescriptor] { ids.compactMap(server) }

    /// What the server at a place says, without decoding it; places ascend by node ID.
    public func glance(at place: Int) -> ServerGlance? {
        ids.indices.contains(place) ? descriptors.glance(ids[place]) : nil
    }

    public func server(at place: Int) -> ServerDescriptor? { ids.indices.contains(place) ? server(ids[place]) : nil }

    func server(_ id: Bytes16) -> ServerDescriptor? {
        guard case .server(let server)? = descriptors[id] else { return nil }
        return server
    }

    func glance(_ id: Bytes16) -> ServerGlance? { contains(id) ? descriptors.glance(id) : nil }

    private func contains(_ id: Bytes16) -> Bool {
        var low = 0
        var high = ids.count
        while low < high {
            let middle = (low + high) / 2
            if ids[middle] < id { low = middle + 1 } else { high = middle }
        }
        return low < ids.count && ids[low] == id
    }
}
