import Primitives
import Records

/// Weights of relays by measured capacity, in a fraction of a dictionary's memory; 1 is the network's median.
public struct RelayWeights: Equatable, Sendable {
    /// Ascending.
    private var ids: [Bytes16] = []
    private var values: [Float] = []

    public init(_ weights: [NodeID: Double] = [:]) {
        for (id, weight) in weights.map({ (MapCore.name($0.key), $0.value) }).sorted(by: { $0.0 < $1.0 }) {
            ids.append(id)
            values.append(Float(weight))
        }
    }

    public var count: Int { ids.count }

    public subscript(node: NodeID) -> Double? { self[MapCore.name(node)].map { Double($0) } }

    /// By the first 16 bytes of a node ID; `nil` for a relay that was not measured.
    subscript(id: Bytes16) -> Float? {
        var low = 0
        var high = ids.count
        while low < high {
            let middle = (low + high) / 2
            if ids[middle] < id { low = middle + 1 } else { high = middle }
        }
        return low < ids.count && ids[low] == id ? values[low] : nil
    }
}
