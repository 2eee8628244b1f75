import Primitives
import Records
import Storage
import Wire

/// On which snapshots the clusters agree, and what that leaves of the map for use.
struct MapAgreement: Sendable {
    /// The statements on which more than half of a sample agreed, of the last two epochs.
    var roots: [UInt64: SnapshotComparison.Statement] = [:]
    /// The servers of the last own map that was the agreed one, by the first 16 bytes of their node IDs.
    var members: (epoch: UInt64, nodes: Set<Bytes16>)?
    /// The comparison of the last epoch's snapshots, where none came to an end while that lasted.
    var earlier: SnapshotComparison?
    /// The epoch in which few clusters share the own map.
    var refused: UInt64?
    var nextLook: Timestamp
    var nextQuestions: Timestamp
    /// Questions put about an epoch.
    var asked: [UInt64: Int] = [:]

    init(now: Timestamp) {
        nextLook = now
        nextQuestions = now
    }
}

/// What agents and nodes may use of a map (specs/map.md, "Cross-check").
extension MapCore {
    static let agreedTable = Table("agreed")
    /// Milliseconds between two comparisons of a map that was not there when the epoch began with what is agreed.
    private static let lookInterval: UInt64 = 60_000
    /// A map that was gathered within the epoch is refused when its leaves and the agreed ones differ in number by more
    /// than this part: a server may have left since the epoch began, and many are hidden by somebody.
    private static let tolerance = 10
    /// Milliseconds in which a map comes together after a start.
    private static let fetchTime: UInt64 = 5000

    /// Whether few clusters share this map in the epoch of `now`: it is not used then.
    public func isViewRefused(at now: Timestamp) -> Bool { agreement.refused == now.epoch }

    /// The root of an epoch's snapshot on which the clusters agree.
    public func agreedRoot(_ epoch: UInt64) -> Bytes32? { agreement.roots[epoch]?.root }

    /// The servers that paths may use: all current ones; of a refused map those of the last map that was agreed, and
    /// those of the trust roots when none was.
    public func usableTable(at now: Timestamp) -> ServerTable {
        let current = currentTable(at: now)
        guard isViewRefused(at: now) else { return current }
        let known = current.filter { agreement.members?.nodes.contains($0) ?? false }
        guard known.count == 0 else { return known }
        return current.filter { held.header($0).map { admission.roots.contains($0.clusterID) } ?? false }
    }

    /// The same, decoded.
    public func usableServers(at now: Timestamp) -> [ServerDescriptor] { usableTable(at: now).all }

    /// The usable servers of some clusters, by cluster.
    func usableNodes(of clusters: Set<VerifyingKey>, at now: Timestamp) -> [VerifyingKey: [NodeID]] {
        let table = usableTable(at: now)
        var nodes: [VerifyingKey: [NodeID]] = [:]
        for place in 0..<table.count {
            guard let glance = table.glance(at: place), clusters.contains(glance.clusterID) else { continue }
            nodes[glance.clusterID, default: []].append(glance.nodeID)
        }
        return nodes
    }

    /// What paths are drawn from.
    public func view(at now: Timestamp) -> MapView {
        var seeds: [UInt64: Bytes32] = [:]
        for epoch in now.epoch...now.epoch + 1 { seeds[epoch] = seed(epoch) }
        let table = usableTable(at: now)
        let tenure = newcomers.tenure
        let late = tenure.arrivals.keys.compactMap { id in
            table.glance(id).map { ($0.nodeID, tenure.countsFrom(id)) }
        }
        return MapView(
            table: table, seeds: seeds, weights: capacity.weights?.values ?? RelayWeights(),
            families: MapView.families(of: eachCluster),
            closedToAgents: MapView.closedToAgents(of: eachCluster),
            newcomers: Dictionary(late, uniquingKeysWith: max))
    }

    /// What an epoch's layers and measurers follow from, as far as it is known.
    func seed(_ epoch: UInt64) -> Bytes32 {
        MixLayers.seed(
            epoch: epoch, root: epoch > 0 ? agreedRoot(epoch - 1) : nil, value: snapshots.values[epoch])
    }

    // MARK: Time

    /// Follows the comparisons: keeps what was agreed, and gives up a map that few share.
    mutating func wakeView(
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        try compareEarlier(now, &entropy, &effects, &store)
        inquire(now, &entropy, &effects)
        guard let comparison = snapshots.comparison, comparison.epoch == now.epoch else { return }
        switch comparison.verdict {
        case .agreed(let statement):
            try agree(on: statement, in: now.epoch, &effects, &store)
            if comparison.own != nil {
                try keepMembers(now, &effects, &store)
            } else {
                try look(at: statement, now, &effects, &store)
            }
        case .refused: refuse(now, &effects)
        case .contested, .undecided: break
        }
    }

    private mutating func agree(
        on statement: SnapshotComparison.Statement, in epoch: UInt64, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard agreement.roots[epoch] != statement else { return }
        agreement.roots[epoch] = statement
        effects.append(.viewChanged)
        try saveAgreement(epoch, &store)
    }

    /// The own map is the agreed one: its servers are what is left if another is refused later.
    private mutating func keepMembers(
        _ now: Timestamp, _ effects: inout [MapEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        if agreement.refused == now.epoch {
            agreement.refused = nil
            effects.append(.viewChanged)
        }
        guard agreement.members?.epoch != now.epoch else { return }
        agreement.members = (now.epoch, Set(currentTable(at: now).ids))
        try saveAgreement(now.epoch, &store)
    }

    private mutating func refuse(_ now: Timestamp, _ effects: inout [MapEffect]) {
        guard agreement.refused != now.epoch else { return }
        agreement.refused = now.epoch
        effects.append(.viewChanged)
    }

    /// Compares a map that was gathered within the epoch with what is agreed.
    private mutating func look(
        at statement: SnapshotComparison.Statement, _ now: Timestamp, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard now >= agreement.nextLook, agreement.members?.epoch != now.epoch else { return }
        agreement.nextLook = now.adding(milliseconds: MapCore.lookInterval)
        let tree = lateSnapshot(at: now)
        if tree.root == statement.root { return try keepMembers(now, &effects, &store) }
        let agreed = Int(statement.count)
        // More proves nothing while it is not known who of them came today.
        let difference =
            newcomers.tenure.isComplete(at: now)
            ? abs(tree.leaves.count - agreed) : max(0, agreed - tree.leaves.count)
        if difference * MapCore.tolerance > agreed {
            refuse(now, &effects)
        } else if agreement.refused == now.epoch {
            agreement.refused = nil
            effects.append(.viewChanged)
        }
    }

    /// The epoch's snapshot as far as a map can tell that did not take it: servers that renewed their descriptors since
    /// name the key of the epoch before no longer, so who was there when the epoch began follows from when each came.
    func lateSnapshot(at now: Timestamp) -> SnapshotTree {
        SnapshotTree(
            servers: currentServers(at: now).filter {
                $0.mixKey(epoch: now.epoch) != nil && countsFrom($0.nodeID) < now.epoch + Tenure.probation
            })
    }

    /// Whoever was not there in the last epoch, or did not hear enough, asks afterwards what was agreed then: the layers
    /// of this epoch follow from it.
    private mutating func compareEarlier(
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let last = SnapshotRoot.oldestEpoch(at: now)
        if agreement.earlier?.epoch != last { agreement.earlier = nil }
        guard agreement.roots[last] == nil, last < now.epoch else {
            agreement.earlier = nil
            return
        }
        if agreement.earlier == nil {
            // The sample is drawn from the whole map, which a new agent has yet to fetch.
            guard now >= snapshots.started.adding(milliseconds: MapCore.fetchTime) else { return }
            let clusters = voters(last, at: now)
            guard !clusters.isEmpty else { return }
            var comparison = SnapshotComparison(epoch: last, own: nil, clusters: clusters, entropy: &entropy)
            for root in snapshots.book.roots(last) { _ = comparison.add(root) }
            agreement.earlier = comparison
        }
        guard case .agreed(let statement)? = agreement.earlier?.verdict else { return }
        agreement.earlier = nil
        try agree(on: statement, in: last, &effects, &store)
    }

    // MARK: Store

    /// Statement 36 ‖ the node IDs' first 16 bytes, if the own map was the agreed one.
    private mutating func saveAgreement(
        _ epoch: UInt64, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let statement = agreement.roots[epoch] else { return }
        var writer = Writer(capacity: 36)
        writer.fixed(statement.root)
        writer.uint32(statement.count)
        if let members = agreement.members, members.epoch == epoch {
            for node in members.nodes.sorted() { writer.fixed(node) }
        }
        try store.put(MapCore.agreedTable, MapCore.key(epoch), writer.bytes)
        agreement.roots = agreement.roots.filter { $0.key + 1 >= epoch }
        // The last map that was agreed is kept however old it is.
        let newest = agreement.members?.epoch ?? epoch
        var old: [[UInt8]] = []
        try store.scan(MapCore.agreedTable, from: []) { key, _ in
            let number = MapCore.epoch(key)
            if number != newest, number < epoch, number + 1 < epoch { old.append(key) }
            return true
        }
        for key in old { try store.delete(MapCore.agreedTable, key) }
    }

    /// The epoch with which a key begins.
    static func epoch(_ key: [UInt8]) -> UInt64 { key.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }

    private static func key(_ epoch: UInt64) -> [UInt8] {
        withUnsafeBytes(of: epoch.bigEndian) { Array($0) }
    }

    mutating func restoreAgreement(
        _ now: Timestamp, _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        var rows: [(epoch: UInt64, value: [UInt8])] = []
        try store.scan(MapCore.agreedTable, from: []) { key, value in
            rows.append((MapCore.epoch(key), value))
            return rows.count < 64
        }
        for (epoch, value) in rows where epoch < SnapshotRoot.epochLimit {
            var reader = Reader(value)
            guard let root = try? reader.fixed(Bytes32.self), let count = try? reader.uint32() else { continue }
            if epoch >= SnapshotRoot.oldestEpoch(at: now) {
                agreement.roots[epoch] = SnapshotComparison.Statement(root: root, count: count)
            }
            var nodes: Set<Bytes16> = []
            while let node = try? reader.fixed(Bytes16.self) { nodes.insert(node) }
            if !nodes.isEmpty { agreement.members = (epoch, nodes) }
        }
    }
}
