import Primitives
import Records
import Wire

/// Which servers hold a record in one epoch (specs/directory.md, "Placement").
///
/// The shared random value of the epoch places nodes on a circle of 256-bit positions; a record has one index in each of
/// four rings, and the five nodes that follow it clockwise hold it. Nobody can choose a node's place ahead of the epoch.
public struct Placement: Sendable {
    /// A directory server as far as placement needs it.
    public struct Node: Hashable, Sendable {
        public var id: NodeID
        public var cluster: VerifyingKey
        /// The part of the address that one operator's servers share.
        public var prefix: [UInt8]
        /// Where it answers, if the map says so: then repair needs no search for it.
        public var endpoint: Endpoint?
        /// The first epoch in which it may hold records; 0 for a node that always may (specs/directory.md, "Brakes").
        public var countsFrom: UInt64

        public init(
            id: NodeID, cluster: VerifyingKey, prefix: [UInt8], endpoint: Endpoint? = nil, countsFrom: UInt64 = 0
        ) {
            self.id = id
            self.cluster = cluster
            self.prefix = prefix
            self.endpoint = endpoint
            self.countsFrom = countsFrom
        }
    }

    public static let rings = 4
    public static let holdersPerRing = 5
    /// Nodes beside the exact ones that accept a record too, because views of the map differ.
    public static let slack = 8
    /// Steps along a ring in search of another cluster and prefix.
    static let walkLimit = 64

    /// What never changes, behind one reference: placements are handed about for each record.
    private final class Circle: Sendable {
        let ordered: [(position: Bytes32, node: Node)]
        let groups: [(cluster: UInt64, prefix: UInt64)]
        let byID: [Int32]
        let shared: Bytes32

        init(_ ordered: [(position: Bytes32, node: Node)], shared: Bytes32) {
            self.ordered = ordered
            self.shared = shared
            groups = ordered.map { ($0.node.cluster.bytes.leadingWord, Placement.number(of: $0.node.prefix)) }
            byID = ordered.indices.sorted { ordered[$0].node.id.precedes(ordered[$1].node.id) }.map {
                Int32(truncatingIfNeeded: $0)
            }
        }
    }

    private let circle: Circle
    /// Where the rings of keys begin, in a process of many servers; `nil` in a server.
    var memory: StartMemory?

    var ordered: [(position: Bytes32, node: Node)] { circle.ordered }
    /// Of each in ``ordered``, what stands for its cluster and its prefix where they are only compared.
    var groups: [(cluster: UInt64, prefix: UInt64)] { circle.groups }
    /// Places in ``ordered`` in the order of node IDs, in which those close to each other by XOR are neighbours.
    private var byID: [Int32] { circle.byID }
    var shared: Bytes32 { circle.shared }

    /// - Parameter shared: the epoch's shared random value; `nil` for the stand-in that everybody can compute.
    public init(nodes: [Node], epoch: UInt64, shared: Bytes32? = nil) {
        let shared = shared ?? Placement.sharedRandom(epoch: epoch)
        let ordered = Placement.counted(nodes, epoch: epoch, shared: shared).map {
            (position: Placement.position(of: $0.id, shared: shared), node: $0)
        }
        circle = Circle(ordered.sorted { $0.position.precedes($1.position) }, shared: shared)
    }

    static func position(of node: NodeID, shared: Bytes32) -> Bytes32 {
        var hash = BLAKE2b(outputCount: 32, domain: Domain("hulda/dir-pos"))
        hash.update(node)
        hash.update(shared)
        return hash.finalize()
    }

    /// Where a node lies on the circle of an epoch, and where the index of a record does, for those who look for places.
    /// - Parameter shared: the epoch's shared random value; `nil` for the stand-in.
    public static func place(of node: NodeID, epoch: UInt64, shared: Bytes32? = nil) -> Bytes32 {
        position(of: node, shared: shared ?? sharedRandom(epoch: epoch))
    }

    public static func place(of key: VerifyingKey, ring: Int) -> Bytes32 { index(of: key, ring: ring) }

    func place(of id: NodeID) -> Int? {
        var low = 0
        var high = byID.count
        while low < high {
            let middle = (low + high) / 2
            if ordered[Int(byID[middle])].node.id.precedes(id) { low = middle + 1 } else { high = middle }
        }
        guard low < byID.count else { return nil }
        let place = Int(byID[low])
        return ordered[place].node.id == id ? place : nil
    }

    /// What the map says of a node.
    func node(_ id: NodeID) -> Node? { place(of: id).map { ordered[$0].node } }

    public var nodeCount: Int { ordered.count }

    func node(inOrderOfID place: Int) -> Node { ordered[Int(byID[place])].node }

    /// The value that places nodes in `epoch`: for now the hash of its number (specs/directory.md, "Shared random value").
    static func sharedRandom(epoch: UInt64) -> Bytes32 {
        BLAKE2b.h(Domain("hulda/srv"), withUnsafeBytes(of: epoch.littleEndian) { Array($0) })
    }

    static func index(of key: VerifyingKey, ring: Int) -> Bytes32 {
        BLAKE2b.h(Domain("hulda/dir"), key.bytes, UInt64(ring))
    }

    /// The place right after a node's own, from which its neighbours follow.
    func placeAfter(_ id: NodeID) -> Bytes32 {
        var place = Placement.position(of: id, shared: shared)
        place.withUnsafeMutableBytes { raw in
            for index in raw.indices.reversed() {
                raw[index] &+= 1
                if raw[index] != 0 { break }
            }
        }
        return place
    }

    /// The part of the circle from `index` to the `count`th node that follows.
    func arc(from index: Bytes32, toNode count: Int) -> Double {
        guard count > 0, count <= ordered.count else { return 1 }
        let end = ordered[(start(index) + count - 1) % ordered.count].position.leadingWord
        return Double(end &- index.leadingWord) / 0x1p64
    }

    /// The nodes before and after a node up to the `count`th of each side that is not silent, and at most `limit` of
    /// each: with them it shares its records.
    func neighbours(of id: NodeID, _ count: Int, silent: Set<NodeID> = [], limit: Int = .max) -> [Node] {
        guard let place = place(of: id) else { return [] }
        let size = ordered.count
        let reach = min(limit, (size - 1) / 2 + (size - 1) % 2)
        var out: [Node] = []
        var (after, before) = (0, 0)
        for step in 0..<reach where after < count || before < count {
            let next = ordered[(place + 1 + step) % size].node
            let last = ordered[(place + size - 1 - step) % size].node
            if after < count {
                out.append(next)
                if !silent.contains(next.id) { after += 1 }
            }
            // In the middle of an even circle both are one.
            if before < count, last.id != next.id || out.last?.id != next.id {
                out.append(last)
                if !silent.contains(last.id) { before += 1 }
            }
        }
        return out
    }

    /// Whether `node` is a holder of `key`, or close enough to be one in another's view of the map.
    public func isResponsible(_ node: NodeID, for key: VerifyingKey) -> Bool {
        isResponsible(node, for: key, slack: Placement.slack)
    }

    func isResponsible(_ node: NodeID, for key: VerifyingKey, slack: Int) -> Bool {
        guard !ordered.isEmpty else { return true }
        guard let place = place(of: node) else { return false }
        let reach = min(ordered.count, Placement.holdersPerRing + slack)
        let starts = starts(of: key)
        for ring in 0..<Placement.rings where starts.steps(to: place, ring: ring, of: ordered.count) < reach {
            return true
        }
        return walk(starts).contains(place)
    }

    /// The first place at or after `index`, clockwise.
    func start(_ index: Bytes32) -> Int {
        var low = 0
        var high = ordered.count
        while low < high {
            let middle = (low + high) / 2
            if ordered[middle].position.precedes(index) { low = middle + 1 } else { high = middle }
        }
        return low % ordered.count
    }
}
