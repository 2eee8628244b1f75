import Primitives

/// Many cores in one process.
extension DirectoryCore {
    /// Gives a core its first map together with placements that were computed once for all cores of a process: what
    /// ``DirectoryEvent/map(_:)`` does for one core costs a hash of every node.
    /// - Parameter placements: by epoch, of the same nodes.
    public mutating func share(_ nodes: [Placement.Node], placements: [UInt64: Placement]) {
        self.nodes = nodes
        self.placements = placements
    }
}

extension DirectoryCore {
    /// Where searches without a map look for a record: `H("hulda/dir-kad", A')`.
    public static func kademliaTarget(of key: VerifyingKey) -> Bytes32 { kademliaKey(key) }
}
