import Primitives
import Records
import Wire

/// One line of an epoch's snapshot: who belongs to the network, without what changes from hour to hour
/// (specs/map.md, "Snapshots").
public enum SnapshotLeaf: Hashable, Sendable, Comparable {
    case cluster(VerifyingKey)
    case server(VerifyingKey, cluster: VerifyingKey, linkKey: X25519PublicKey)

    /// The line of a server.
    init(_ server: ServerDescriptor) {
        self = .server(server.serverID, cluster: server.clusterID, linkKey: server.linkKey)
    }

    /// Kind 1 ‖ ClusterID, or kind 2 ‖ ServerID ‖ ClusterID ‖ link key.
    public func encode() -> [UInt8] {
        var writer = Writer(capacity: 97)
        switch self {
        case .cluster(let cluster):
            writer.uint8(1)
            writer.fixed(cluster.bytes)
        case .server(let server, let cluster, let linkKey):
            writer.uint8(2)
            writer.fixed(server.bytes)
            writer.fixed(cluster.bytes)
            writer.fixed(linkKey.bytes)
        }
        return writer.bytes
    }

    /// The leaf's hash in the tree.
    public var hash: Bytes32 { BLAKE2b.h(Domain("hulda/snap-leaf"), encode()) }

    public static func < (left: SnapshotLeaf, right: SnapshotLeaf) -> Bool {
        left.encode().lexicographicallyPrecedes(right.encode())
    }
}

/// The Merkle tree over a snapshot's leaves: the shape of RFC 9162 section 2.1.1 with personalised BLAKE2b, so that no
/// leaf can be taken for a node.
public struct SnapshotTree: Sendable {
    /// Levels of a tree of ``SnapshotRoot/countLimit`` leaves, and so the most hashes in a proof.
    public static let depthLimit = 20

    /// Ascending by their encoding, without repetition.
    public let leaves: [SnapshotLeaf]
    /// Leaf hashes first, the root last; empty for no leaves.
    let levels: [[Bytes32]]

    /// - Parameter leaves: in any order; repetitions count once.
    public init(_ leaves: [SnapshotLeaf]) {
        let sorted = Set(leaves).map { (key: $0.encode(), leaf: $0) }
            .sorted { $0.key.lexicographicallyPrecedes($1.key) }
        self.leaves = sorted.map(\.leaf)
        levels = SnapshotTree.levels(over: sorted.map { BLAKE2b.h(Domain("hulda/snap-leaf"), $0.key) })
    }

    /// The levels above leaf hashes in their order, and these.
    static func levels(over hashes: [Bytes32]) -> [[Bytes32]] {
        var level = hashes
        var levels: [[Bytes32]] = level.isEmpty ? [] : [level]
        while level.count > 1 {
            level = stride(from: 0, to: level.count, by: 2).map { index in
                // A node without a neighbour moves up as it is.
                index + 1 < level.count ? SnapshotTree.node(level[index], level[index + 1]) : level[index]
            }
            levels.append(level)
        }
        return levels
    }

    /// The snapshot of `epoch` as a map has it: servers that announced a mix key of the epoch and of the one before,
    /// and their clusters.
    ///
    /// Both keys are required because the second excludes whoever appeared after the epoch had begun: such a server
    /// is known to some maps and not yet to others.
    public init(epoch: UInt64, servers: [ServerDescriptor]) {
        guard epoch > 0 else {
            self.init([])
            return
        }
        self.init(servers: servers.filter { $0.mixKey(epoch: epoch) != nil && $0.mixKey(epoch: epoch - 1) != nil })
    }

    /// A tree of these servers and their clusters.
    init(servers: [ServerDescriptor]) {
        self.init(servers.flatMap { [SnapshotLeaf.cluster($0.clusterID), SnapshotLeaf($0)] })
    }

    /// `nil` for no leaves.
    public var root: Bytes32? { levels.last?.first }

    /// What proves that a leaf belongs to the tree; `nil` when it does not.
    public func proof(of leaf: SnapshotLeaf) -> SnapshotProof? { SnapshotTree.proof(of: leaf.hash, in: levels) }

    static func proof(of hash: Bytes32, in levels: [[Bytes32]]) -> SnapshotProof? {
        guard var index = levels.first?.firstIndex(of: hash) else { return nil }
        let place = UInt32(truncatingIfNeeded: index)
        var path: [Bytes32] = []
        for level in levels.dropLast() {
            let sibling = index ^ 1
            if sibling < level.count { path.append(level[sibling]) }
            index >>= 1
        }
        return SnapshotProof(index: place, path: path)
    }

    static func node(_ left: Bytes32, _ right: Bytes32) -> Bytes32 {
        var hash = BLAKE2b(outputCount: 32, domain: Domain("hulda/snap-node"))
        hash.update(left)
        hash.update(right)
        return hash.finalize()
    }
}

/// The hashes that lead from one leaf to the root of its snapshot.
public struct SnapshotProof: Hashable, Sendable {
    /// The leaf's place in the sorted snapshot, from 0.
    public let index: UInt32
    /// The neighbours' hashes, from the leaf upwards.
    public let path: [Bytes32]

    public init(index: UInt32, path: [Bytes32]) {
        self.index = index
        self.path = path
    }

    /// The most bytes of one.
    static let sizeLimit = 5 + 32 * SnapshotTree.depthLimit

    public init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        try self.init(&reader)
        try reader.finish()
    }

    init(_ reader: inout Reader) throws(WireError) {
        index = try reader.uint32()
        let count = Int(try reader.uint8())
        guard count <= SnapshotTree.depthLimit else { throw .outOfRange(field: "path") }
        var path: [Bytes32] = []
        for _ in 0..<count { path.append(try reader.fixed()) }
        self.path = path
    }

    /// Index `u32` ‖ number of hashes `u8` ‖ hashes.
    public func encode() -> [UInt8] {
        var writer = Writer(capacity: 5 + 32 * path.count)
        writer.uint32(index)
        writer.uint8(UInt8(truncatingIfNeeded: path.count))
        for hash in path { writer.fixed(hash) }
        return writer.bytes
    }

    /// Whether `leaf` stands at ``index`` of the snapshot with that root and number of leaves (RFC 9162 section
    /// 2.1.3.2). The path must have exactly the length that index and count ask for.
    public func proves(_ leaf: SnapshotLeaf, root: Bytes32, count: UInt32) -> Bool {
        guard index < count, path.count <= SnapshotTree.depthLimit else { return false }
        var place = index
        var last = count - 1
        var hash = leaf.hash
        for neighbour in path {
            guard last > 0 else { return false }
            if place & 1 == 1 || place == last {
                hash = SnapshotTree.node(neighbour, hash)
                while place & 1 == 0, place != 0 {
                    place >>= 1
                    last >>= 1
                }
            } else {
                hash = SnapshotTree.node(hash, neighbour)
            }
            place >>= 1
            last >>= 1
        }
        return last == 0 && hash == root
    }
}
