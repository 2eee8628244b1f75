import Primitives
import Records
import Storage
import Wire

/// How holders keep twenty copies of a record alive among themselves (specs/directory.md, "Repair").
extension DirectoryCore {
    /// The map and the silent nodes of one moment: from them follows who held a record then.
    struct View: Sendable {
        var nodes: [Placement.Node] = []
        var silent: Set<NodeID> = []
        var placements: [UInt64: Placement] = [:]
        var shared: [UInt64: SharedValue] = [:]
        /// Which map this was, and which shared random values: see ``DirectoryCore/placementVersion``.
        var version: UInt64 = 0
    }

    /// Nodes before and after the own place that are asked whether they live.
    static let neighbourReach = 8
    /// After this time an unanswered neighbour is asked again.
    static let silentRetry: UInt64 = 15_000
    /// Of a ring's living holders the first so many hand a record on: more than one, for some may be liars.
    static let repairers = 4
    /// So many neighbours that fall silent between two rounds of asking are a mass loss: then whole rings may be gone,
    /// and every holder asks all that share a record with it.
    static let massLoss = 3
    /// So long after a mass loss, or a change of a tenth of the map, what was missed is looked for: views differed
    /// meanwhile, and a holder may have believed that another had a copy.
    static let settleWait: UInt64 = 60_000
    /// Of a ring the first so many do that: a single one may lack the record itself.
    static let settlers = 2
    /// Silent nodes are asked again in batches.
    static let retryBatch = 256
    /// Steps along a ring within which a server takes another's copy: half of the nodes may be silent.
    static let repairSlack = 32
    static let silentLimit = 4096
    static let localChange = 64
    /// Passes that are repeated because a new holder's address was not known.
    static let repeatLimit = 5

    /// The map has changed.
    mutating func replaceMap(_ nodes: [Placement.Node], _ now: Timestamp) {
        // The first map after a start shows no change: who held what before is not known.
        if !self.nodes.isEmpty { viewChanges() }
        let listed = Set(nodes.map(\.id))
        let kept = self.nodes.count { listed.contains($0.id) }
        let changed = listed.count + self.nodes.count - 2 * kept
        if !self.nodes.isEmpty, changed * 10 >= self.nodes.count {
            settleDue = now.adding(milliseconds: DirectoryCore.settleWait)
        }
        silent.formIntersection(listed)
        unanswered = unanswered.filter { listed.contains($0.key) }
        self.nodes = nodes
        listedLinks = nil
        placements = [:]
        placementVersion += 1
        neighbours = []
        nextNeighbours = now
    }

    /// A node on the map did not answer: after the second time in a row it is passed over.
    mutating func missed(_ node: NodeID, _ now: Timestamp) {
        guard isNeighbour(node) || repairTargets.contains(node), !silent.contains(node) else { return }
        unanswered[node, default: 0] += 1
        nextNeighbours = min(nextNeighbours, now.adding(milliseconds: DirectoryCore.silentRetry))
        guard unanswered[node, default: 0] >= 2, silent.count < DirectoryCore.silentLimit else { return }
        viewChanges()
        silent.insert(node)
        unanswered[node] = nil
        counters.silentHolders += 1
        if settleDue != nil { settleDue = now.adding(milliseconds: DirectoryCore.settleWait) }
        guard isNeighbour(node) else { return }
        fallenSilent += 1
        if fallenSilent == DirectoryCore.massLoss, auditCursor == nil {
            auditCursor = []
            settleDue = now.adding(milliseconds: DirectoryCore.settleWait)
            counters.massLosses += 1
        }
    }

    /// A node answered.
    mutating func heard(_ node: NodeID) {
        unanswered[node] = nil
        guard silent.contains(node) else { return }
        viewChanges()
        silent.remove(node)
    }

    private func isNeighbour(_ node: NodeID) -> Bool { neighbours.contains(node) }

    /// Called before a change: the records will be looked through, against the view of this moment.
    mutating func viewChanges() {
        let view = View(
            nodes: nodes, silent: silent, placements: placements, shared: random.values, version: placementVersion)
        if repairCursor == nil {
            repairCursor = []
            repairBase = view
        } else if nextRepairBase == nil {
            nextRepairBase = view
        }
    }

    /// Asks the neighbours on the circle whether they live.
    mutating func watchNeighbours(_ now: Timestamp, _ effects: inout [DirectoryEffect]) {
        guard now >= nextNeighbours, !nodes.isEmpty else { return }
        let isRetry = !unanswered.isEmpty && now < neighboursAsked.adding(milliseconds: configuration.neighbourInterval)
        if !isRetry {
            neighbours = placement(now.epoch).neighbours(of: own, DirectoryCore.neighbourReach).map(\.id)
            neighboursAsked = now
            fallenSilent = 0
            if repairCursor == nil, auditCursor == nil, settleDue == nil, unanswered.isEmpty { repairTargets = [] }
        }
        nextNeighbours = neighboursAsked.adding(milliseconds: configuration.neighbourInterval)
        let missing = Array(unanswered.keys.sorted().prefix(DirectoryCore.retryBatch))
        if isRetry { nextNeighbours = min(nextNeighbours, now.adding(milliseconds: DirectoryCore.silentRetry)) }
        for node in isRetry ? missing : neighbours {
            guard let endpoint = endpoint(of: node, now.epoch) else { continue }
            call(.liveness(node), endpoint, .ping, now, &effects)
        }
    }

    /// Hands copies of records to nodes that have become their holders.
    mutating func repair(
        _ now: Timestamp, _ effects: inout [DirectoryEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        if let due = settleDue, now >= due, repairCursor == nil, auditCursor == nil {
            settleDue = nil
            isSettling = true
            repairCursor = []
        }
        guard let cursor = repairCursor, now >= nextPass else { return }
        var batch: [(key: [UInt8], value: [UInt8])] = []
        try store.scan(RecordStore.table, from: cursor) { key, value in
            batch.append((key, value))
            return batch.count < configuration.repairBatch
        }
        var budget = configuration.repairCalls
        let changed = silent.symmetricDifference(repairBase.silent)
        // When many have changed it takes longer to look for them than to compare the holders.
        let isLocal = repairBase.version == placementVersion && changed.count <= DirectoryCore.localChange
        var places: [UInt64: [Int]] = [:]
        for (key, value) in batch {
            guard let record = try? DirectoryRecord(decoding: value), record.expiry > now.seconds else { continue }
            if isLocal, places[record.epoch] == nil {
                let placement = placement(record.epoch)
                places[record.epoch] = changed.compactMap { placement.place(of: $0) }
            }
            // A record's copies go out in one round, so that the next round begins at the next record.
            guard budget > 0 else {
                repairCursor = key
                return
            }
            budget -= handOn(record, value, changed: places[record.epoch], now, &effects)
        }
        if batch.count < configuration.repairBatch {
            endPass(now)
        } else if let last = batch.last {
            repairCursor = last.key + [0]
        }
    }

    /// - Parameter changed: on the same map, places of those that fell silent or answered again: unless one of them was
    ///   looked at, the holders are the same. `nil` if that does not tell.
    /// - Returns: the calls made.
    private mutating func handOn(
        _ record: DirectoryRecord, _ value: [UInt8], changed: [Int]?, _ now: Timestamp,
        _ effects: inout [DirectoryEffect]
    ) -> Int {
        let key = record.blindedKey
        let walk = placement(record.epoch).walk(key, without: silent)
        let after = walk.rings
        if isSettling { return settle(record, value, after, now, &effects) }
        if let changed, !walk.passes(changed) { return 0 }
        let before = Set(basePlacement(record.epoch).holders(of: key, without: repairBase.silent))
        let living = after.joined().filter { before.contains($0) }.prefix(DirectoryCore.repairers)
        var made = 0
        for ring in after {
            // Those of the ring itself see best who is gone there; if none of them lives, the others do it.
            let repairers = ring.filter { before.contains($0) }.prefix(DirectoryCore.repairers)
            let isMine = repairers.isEmpty ? living.isEmpty || living.contains(own) : repairers.contains(own)
            guard isMine else { continue }
            for holder in ring where holder != own && !before.contains(holder) {
                made += 1
                handOn(value, to: holder, record.epoch, now, &effects)
            }
        }
        return made
    }

    /// The first holders of a ring make sure that all of this ring and the next have the record.
    private mutating func settle(
        _ record: DirectoryRecord, _ value: [UInt8], _ rings: [[NodeID]], _ now: Timestamp,
        _ effects: inout [DirectoryEffect]
    ) -> Int {
        guard let mine = rings.firstIndex(where: { $0.prefix(DirectoryCore.settlers).contains(own) }) else { return 0 }
        let targets = (rings[mine] + rings[(mine + 1) % rings.count]).filter { $0 != own }
        for holder in targets { handOn(value, to: holder, record.epoch, now, &effects) }
        return targets.count
    }

    private mutating func handOn(
        _ record: [UInt8], to holder: NodeID, _ epoch: UInt64, _ now: Timestamp, _ effects: inout [DirectoryEffect]
    ) {
        guard let endpoint = endpoint(of: holder, epoch) else {
            // A search finds where it answers; the record is handed on in the next pass.
            if table.count > 0, let id = start(.nodes, target: holder, now, &effects) { seek(id, now, &effects) }
            isRepairIncomplete = true
            return
        }
        counters.repairs += 1
        if repairTargets.count < DirectoryCore.silentLimit { repairTargets.insert(holder) }
        call(.put(holder), endpoint, .put(record: record), now, &effects)
    }

    /// After a mass loss: asks all that share a record with this server whether they live, each once.
    mutating func audit(
        _ now: Timestamp, _ effects: inout [DirectoryEffect], _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let cursor = auditCursor else { return }
        var batch: [(key: [UInt8], value: [UInt8])] = []
        try store.scan(RecordStore.table, from: cursor) { key, value in
            batch.append((key, value))
            return batch.count < configuration.repairBatch
        }
        var budget = configuration.repairCalls
        for (key, value) in batch {
            guard let record = try? DirectoryRecord(decoding: value), record.expiry > now.seconds else { continue }
            guard budget > 0 else {
                auditCursor = key
                return
            }
            for holder in placement(record.epoch).holders(of: record.blindedKey, without: silent)
            where holder != own && repairTargets.count < DirectoryCore.silentLimit {
                guard repairTargets.insert(holder).inserted, let endpoint = endpoint(of: holder, record.epoch) else {
                    continue
                }
                budget -= 1
                call(.liveness(holder), endpoint, .ping, now, &effects)
            }
        }
        auditCursor = batch.count < configuration.repairBatch ? nil : batch.last.map { $0.key + [0] }
    }

    /// All records were looked through.
    private mutating func endPass(_ now: Timestamp) {
        if isRepairIncomplete, repeatedPasses < DirectoryCore.repeatLimit {
            repeatedPasses += 1
            repairCursor = []
            nextPass = now.adding(milliseconds: Iteration.deadline)
        } else {
            repeatedPasses = 0
            repairCursor = nextRepairBase == nil ? nil : []
            repairBase = nextRepairBase ?? View()
            foundEndpoints = [:]
            nextRepairBase = nil
            isSettling = false
        }
        isRepairIncomplete = false
    }

    private mutating func endpoint(of node: NodeID, _ epoch: UInt64) -> Endpoint? {
        placement(epoch).node(node)?.endpoint ?? table.contact(node)?.endpoint ?? foundEndpoints[node]
    }

    private mutating func basePlacement(_ epoch: UInt64) -> Placement {
        if let known = repairBase.placements[epoch] { return known }
        let placement = Placement(nodes: repairBase.nodes, epoch: epoch, shared: repairBase.shared[epoch]?.bytes)
        repairBase.placements[epoch] = placement
        return placement
    }
}
