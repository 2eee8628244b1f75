import Records
import Wire

/// How holders notice that others of a record are gone (specs/directory.md, "Repair").
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

    /// Living nodes before and after the own place that are asked whether they live: a ring's holders lie that far apart.
    static let neighbourReach = 8
    /// Of each side so many are asked at most, silent ones with them: where half are away, a ring is twice as long.
    static let neighbourLimit = 32
    /// In a round of asking the neighbours are looked at so often: each is asked when its own time has come.
    static let neighbourLooks: UInt64 = 4
    /// After this time an unanswered neighbour is asked again.
    static let silentRetry: UInt64 = 15_000
    /// So long after a change the pass begins: what is found out in the same round of asking needs no pass of its own.
    static let passWait: UInt64 = 20_000
    /// Of a ring's living holders the first so many hand a record on: more than one, for some may be liars.
    static let repairers = 4
    /// So many neighbours that fall silent within a round of asking are a mass loss: then whole rings may be gone,
    /// and every holder asks all that share a record with it.
    static let massLoss = 3
    /// So long after a mass loss, or a change of a tenth of the map, what was missed is looked for: views differed
    /// meanwhile, and a holder may have believed that another had a copy.
    static let settleWait: UInt64 = 60_000
    /// So often that is done without a cause: what is missed in small things adds up.
    static let settleInterval: UInt64 = 1_800_000
    /// Of a ring the first so many do that: a single one may lack the record itself.
    static let settlers = 2
    /// On a map of so many servers each asks all before it settles.
    static let smallMap = 256
    /// Silent ones that are no neighbours are asked again in batches.
    static let retryBatch = 256
    /// So many are asked in a round before settling: calls are left for searches.
    static let askBatch = 32
    /// Steps along a ring within which a server takes another's copy: half of the nodes may be silent.
    static let repairSlack = 32
    static let silentLimit = 4096
    static let localChange = 64
    /// Passes that are repeated because a new holder's address was not known.
    static let repeatLimit = 5

    /// The map has changed.
    mutating func replaceMap(_ nodes: [Placement.Node], _ now: Timestamp) {
        // The first map after a start shows no change: who held what before is not known.
        if !self.nodes.isEmpty { viewChanges(now) }
        let listed = Set(nodes.map(\.id))
        let kept = self.nodes.count { listed.contains($0.id) }
        let changed = listed.count + self.nodes.count - 2 * kept
        if !self.nodes.isEmpty, changed * 10 >= self.nodes.count {
            settleSoon(now)
        }
        silent.formIntersection(listed)
        unanswered = unanswered.filter { listed.contains($0.key) }
        self.nodes = nodes
        listedNodes = nil
        listedLinks = nil
        placements = [:]
        placementVersion += 1
        nextNeighbours = now
    }

    /// A node on the map did not answer: after the second time in a row it is passed over.
    mutating func missed(_ node: NodeID, _ now: Timestamp) {
        guard isWatched(node), !silent.contains(node) else { return }
        unanswered[node, default: 0] += 1
        nextNeighbours = min(nextNeighbours, now.adding(milliseconds: DirectoryCore.silentRetry))
        guard unanswered[node, default: 0] >= 2, silent.count < DirectoryCore.silentLimit else { return }
        viewChanges(now)
        silent.insert(node)
        unanswered[node] = nil
        counters.silentHolders += 1
        if settleDue != nil {
            settleSoon(now)
            // Others hold now what it held, and may be gone too.
            auditDue = auditDue ?? now.adding(milliseconds: DirectoryCore.passWait)
        }
        // Who was silent when this server started is no loss of now.
        guard answering.remove(node) != nil else { return }
        fallenSilent = fallenSilent.suffix(DirectoryCore.massLoss - 1) + [now]
        let isMassLoss =
            fallenSilent.count == DirectoryCore.massLoss
            && now.milliseconds(since: fallenSilent[0]) < configuration.neighbourInterval
        if isMassLoss, auditCursor == nil {
            fallenSilent = []
            auditCursor = []
            settleSoon(now)
            counters.massLosses += 1
        }
    }

    /// Records are settled once all is quiet, at the latest when they would be anyhow: who comes and goes all the time
    /// puts it off no longer.
    mutating func settleSoon(_ now: Timestamp) {
        settleDue = now.adding(milliseconds: DirectoryCore.settleWait)
        settleLatest = settleLatest ?? now.adding(milliseconds: DirectoryCore.settleInterval)
    }

    /// A node answered.
    mutating func heard(_ node: NodeID, _ now: Timestamp) {
        unanswered[node] = nil
        if nearby.contains(node) {
            answering.insert(node)
            nearby.heard(node, interval: configuration.neighbourInterval, now)
        }
        guard silent.contains(node) else { return }
        viewChanges(now)
        silent.remove(node)
    }

    /// Whether a node's silence matters here: a neighbour's, or that of somebody who was handed a record lately.
    private func isWatched(_ node: NodeID) -> Bool {
        unanswered[node] != nil || nearby.contains(node) || repairTargets.contains(node)
            || earlierTargets.contains(node)
    }

    /// Somebody is handed a record, or asked about one: his silence matters for a while.
    mutating func watchHolder(_ node: NodeID) {
        if repairTargets.count < DirectoryCore.silentLimit { repairTargets.insert(node) }
    }

    /// Called before a change: the records will be looked through, against the view of this moment.
    mutating func viewChanges(_ now: Timestamp) {
        let view = View(
            nodes: nodes, silent: silent, placements: placements, shared: random.values, version: placementVersion)
        if repairCursor == nil {
            repairCursor = []
            repairBase = view
            nextPass = now.adding(milliseconds: DirectoryCore.passWait)
        } else if isPassing, nextRepairBase == nil {
            nextRepairBase = view
        }
    }

    /// Asks the neighbours on the circle whether they live, as far as they were not heard of late.
    mutating func watchNeighbours(_ now: Timestamp, _ effects: inout [DirectoryEffect]) {
        guard now >= nextNeighbours, !nodes.isEmpty else { return }
        let interval = configuration.neighbourInterval
        if now >= neighboursTurned.adding(milliseconds: interval) {
            neighboursTurned = now
            if auditCursor == nil {
                earlierTargets = repairTargets
                repairTargets = []
            }
        }
        nextNeighbours = now.adding(milliseconds: interval / DirectoryCore.neighbourLooks)
        let near = placement(now.epoch).neighbours(
            of: own, DirectoryCore.neighbourReach, silent: silent, limit: DirectoryCore.neighbourLimit)
        nearby.replace(near.compactMap { node in endpoint(of: node).map { (node.id, $0) } })
        answering.formIntersection(nearby.ids)
        // Whoever is not a neighbour any more was handed something.
        let others = unanswered.keys.filter { !nearby.contains($0) }.sorted().prefix(DirectoryCore.retryBatch)
        for (node, endpoint) in nearby.neighbours where nearby.isDue(node, now) || unanswered[node] != nil {
            nearby.asked(node, isSilent: silent.contains(node), interval: interval, now)
            call(.liveness(node), endpoint, .ping, now, &effects)
        }
        for node in others {
            let listed = placement(now.epoch).node(node)
            guard let endpoint = listed.flatMap({ endpoint(of: $0) }) ?? table.contact(node)?.endpoint else { continue }
            call(.liveness(node), endpoint, .ping, now, &effects)
        }
    }

    /// A request came from an address that is proven: a neighbour's says that it lives.
    mutating func heard(from endpoint: Endpoint, _ now: Timestamp) {
        guard let node = nearby.node(at: endpoint) else { return }
        heard(node, now)
    }
}
