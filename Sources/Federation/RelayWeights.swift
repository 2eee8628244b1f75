import Primitives
import Records

/// Weights of relays by measured capacity, in twelve bytes each; 1 is the network's median.
public struct RelayWeights: Equatable, Sendable {
    /// The first eight bytes of node IDs, ascending: what clusters state of a relay names it by six.
    private var names: [UInt64] = []
    private var values: [Float] = []

    public init(_ weights: [NodeID: Double] = [:]) {
        var named: [(name: UInt64, value: Float)] = []
        named.reserveCapacity(weights.count)
        for (node, value) in weights { named.append((RelayWeights.name(node), Float(value))) }
        named.sort { ($0.name, $0.value) < ($1.name, $1.value) }
        self.init(ascending: named)
    }

    /// - Parameter weights: in ascending order of node ID.
    init(_ weights: some Collection<(node: NodeID, value: Float)>) {
        self.init(ascending: weights.lazy.map { (RelayWeights.name($0.node), $0.value) })
    }

    private init(ascending weights: some Collection<(name: UInt64, value: Float)>) {
        names.reserveCapacity(weights.count)
        values.reserveCapacity(weights.count)
        for (name, value) in weights where name != names.last {
            names.append(name)
            values.append(value)
        }
    }

    public var count: Int { names.count }
    public var isEmpty: Bool { names.isEmpty }

    public subscript(node: NodeID) -> Double? { self[RelayWeights.name(node)].map { Double($0) } }

    /// By the first 16 bytes of a node ID; `nil` for a relay that was not measured.
    subscript(id: Bytes16) -> Float? { self[RelayWeights.name(id)] }

    private subscript(name: UInt64) -> Float? {
        var low = 0
        var high = names.count
        while low < high {
            let middle = (low + high) / 2
            if names[middle] < name { low = middle + 1 } else { high = middle }
        }
        return low < names.count && names[low] == name ? values[low] : nil
    }

    private static func name(_ id: some FixedBytes) -> UInt64 {
        id.withUnsafeBytes { UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self)) }
    }
}
