import Primitives
import Records
import Storage
import Wire

/// How holders keep twenty copies of a record alive among themselves (specs/directory.md, "Repair").
extension DirectoryCore {
    /// How one epoch's records are looked at in a pass: the circle of now, and who was passed over then and now.
    private final class PassView {
        let placement: Placement
        let silence: Placement.Silence
        /// The circle at the beginning of the pass; `nil` while it is the same.
        let base: Placement?
        let baseSilence: Placement.Silence
        /// On the same circle the places of those that fell silent or answered again, if there are few: unless one of them
        /// was looked at, the holders of a record are the same.
        let changed: [Int]?
        let own: Int?

        init(
            placement: Placement, silence: Placement.Silence, base: Placement?, baseSilence: Placement.Silence,
            changed: [Int]?, own: Int?
        ) {
            self.placement = placement
            self.silence = silence
            self.base = base
            self.baseSilence = baseSilence
            self.changed = changed
            self.own = own
        }

        /// The place at the beginning of the pass.
        func before(_ place: Int) -> Int? {
            base.map { $0.place(of: placement.ordered[place].node.id) } ?? place
        }
    }

    private mutating func passView(_ epoch: UInt64) -> PassView {
        let placement = placement(epoch)
        let isSame = repairBase.version == placementVersion
        let base = isSame ? placement : basePlacement(epoch)
        let changed = silent.symmetricDifference(repairBase.silent)
        // When many have changed it takes longer to look for them than to compare the holders.
        let isLocal = isSame && changed.count <= DirectoryCore.localChange
        return PassView(
            placement: placement, silence: silence(epoch), base: isSame ? nil : base,
            baseSilence: Placement.Silence(repairBase.silent, on: base),
            changed: isLocal ? changed.compactMap { placement.place(of: $0) } : nil, own: placement.place(of: own))
    }

    /// Hands copies of records to nodes that have become their holders.
    mutating func repair(
        _ now: Timestamp, _ effects: inout [DirectoryEffect], _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let cursor = repairCursor, now >= nextPass else { return }
        isPassing = true
        let next = try look(from: cursor, now, store) { core, key, value, view in
            core.handOn(key, value, view, now, &effects)
        }
        if next == nil { endPass(now) } else { repairCursor = next }
    }

    /// Looks at records, as many as in one round.
    /// - Parameter body: what is done about one; it returns the calls made, or `nil` when there is no room and the next
    ///   round has to begin at this record. A record's copies go out in one round.
    /// - Returns: where the next round begins; `nil` when all were looked at.
    private mutating func look(
        from cursor: [UInt8], _ now: Timestamp, _ store: borrowing some (KeyValueStore & ~Copyable),
        _ body: (_ core: inout DirectoryCore, VerifyingKey, [UInt8], PassView) -> Int?
    ) throws(StorageError) -> [UInt8]? {
        var views: [UInt64: PassView] = [:]
        var looked = 0
        var budget = configuration.repairCalls
        var next: [UInt8]?
        try store.scan(RecordStore.table, from: cursor) { key, value in
            guard looked < configuration.repairBatch, budget > 0 else {
                next = key
                return false
            }
            looked += 1
            guard let dates = DirectoryRecord.dates(of: value), dates.expiry > now.seconds, let key = Bytes32(key)
            else {
                return true
            }
            let view = views[dates.epoch] ?? passView(dates.epoch)
            views[dates.epoch] = view
            guard let made = body(&self, VerifyingKey(key), value, view) else {
                next = key.bytes
                return false
            }
            budget -= made
            return true
        }
        return next
    }

    /// - Returns: the calls made.
    private mutating func handOn(
        _ key: VerifyingKey, _ value: [UInt8], _ view: PassView, _ now: Timestamp,
        _ effects: inout [DirectoryEffect]
    ) -> Int {
        let starts = view.placement.starts(of: key)
        let after = view.placement.walk(starts, without: view.silence)
        if let changed = view.changed, !after.passes(changed) { return 0 }
        let before = (view.base ?? view.placement).walk(view.base?.starts(of: key) ?? starts, without: view.baseSilence)
        /// Whether it has the record already.
        func holds(_ place: Int) -> Bool {
            guard let place = view.before(place) else { return false }
            return before.contains(place)
        }
        var made = 0
        for ring in 0..<Placement.rings {
            // Those of the ring itself see best who is gone there; if none of them lives, the others do it.
            let near = DirectoryCore.firstPlaces(after, ring..<ring + 1, DirectoryCore.repairers, where: holds)
            let repairers =
                near.isEmpty
                ? DirectoryCore.firstPlaces(after, 0..<Placement.rings, DirectoryCore.repairers, where: holds) : near
            guard repairers.isEmpty || view.own.map(repairers.contains) ?? false else { continue }
            // The first does it, the others see to it afterwards, for he may be a liar.
            let isFirst = repairers.isEmpty || repairers.first == view.own
            for number in 0..<after.counts[ring] {
                let place = after.place(ring: ring, number)
                guard place != view.own, !holds(place) else { continue }
                let holder = view.placement.ordered[place].node
                if !isFirst, endpoint(of: holder) != nil, offers.add(key, for: holder.id, isSoon: false, now) {
                    continue
                }
                made += 1
                handOn(value, to: holder, now, &effects)
            }
        }
        return made
    }

    /// The first so many holders in some rings of whom something is true.
    private static func firstPlaces(
        _ walk: Placement.Walk, _ rings: Range<Int>, _ limit: Int, where isTrue: (Int) -> Bool
    ) -> [Int] {
        var out: [Int] = []
        for ring in rings {
            for number in 0..<walk.counts[ring] where out.count < limit {
                let place = walk.place(ring: ring, number)
                if isTrue(place) { out.append(place) }
            }
        }
        return out
    }

    /// Makes sure that others hold what they should, whatever was handed on: half a minute's difference between two views,
    /// or a holder that has lost its disk, and a copy is missing that nobody misses.
    mutating func settle(
        _ now: Timestamp, _ effects: inout [DirectoryEffect], _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        if settleCursor == nil, auditCursor == nil {
            if settleDue == nil, now >= nextSettle, !nodes.isEmpty {
                nextSettle = now.adding(milliseconds: DirectoryCore.settleInterval)
                around = othersToAsk(now)
                if around.isEmpty { settleDue = now } else { settleSoon(now) }
            }
            let asked = around.prefix(DirectoryCore.askBatch)
            around = around.dropFirst(DirectoryCore.askBatch)
            for node in asked { ask(node, now, &effects) }
            guard let due = settleDue else { return }
            guard (now >= due && repairCursor == nil) || now >= settleLatest ?? due else { return }
            settleDue = nil
            settleLatest = nil
            nextSettle = now.adding(milliseconds: DirectoryCore.settleInterval)
            settleCursor = []
        }
        guard let cursor = settleCursor else { return }
        settleCursor = try look(from: cursor, now, store) { core, key, value, view in
            core.settle(key, value, view, now, &effects)
        }
    }

    /// Whether a server at a place on the circle is among the first holders of a ring.
    static func isSettler(_ own: Int?, of ring: Int, _ walk: Placement.Walk) -> Bool {
        (0..<min(settlers, walk.counts[ring])).contains { walk.place(ring: ring, $0) == own }
    }

    /// The first holders of a ring make sure that all of this ring and the next have the record.
    /// - Returns: the calls made; `nil` when so many comparisons wait that this has to.
    private mutating func settle(
        _ key: VerifyingKey, _ value: [UInt8], _ view: PassView, _ now: Timestamp, _ effects: inout [DirectoryEffect]
    ) -> Int? {
        guard offers.isHalfFree else { return nil }
        let walk = view.placement.walk(view.placement.starts(of: key), without: view.silence)
        guard let own = view.own,
            let mine = (0..<Placement.rings).first(where: { DirectoryCore.isSettler(own, of: $0, walk) })
        else { return 0 }
        var made = 0
        for ring in [mine, (mine + 1) % Placement.rings] {
            for number in 0..<walk.counts[ring] where walk.place(ring: ring, number) != own {
                let holder = view.placement.ordered[walk.place(ring: ring, number)].node
                if endpoint(of: holder) != nil, offers.add(key, for: holder.id, isSoon: true, now) { continue }
                handOn(value, to: holder, now, &effects)
                made += 1
            }
        }
        return made
    }

    private mutating func handOn(
        _ record: [UInt8], to holder: Placement.Node, _ now: Timestamp, _ effects: inout [DirectoryEffect]
    ) {
        guard let endpoint = endpoint(of: holder) else {
            // A search finds where it answers; the record is handed on in the next pass.
            if table.count > 0, let id = start(.nodes, target: holder.id, now, &effects) { seek(id, now, &effects) }
            isRepairIncomplete = true
            return
        }
        counters.repairs += 1
        watchHolder(holder.id)
        put(record, to: holder.id, endpoint, now, &effects)
    }

    /// Asks new holders whether the first repairers have brought them what they should have.
    mutating func compare(
        _ now: Timestamp, _ effects: inout [DirectoryEffect], _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for _ in 0..<configuration.compareCalls {
            guard let batch = offers.next(now) else { return }
            let listed = placement(now.epoch).node(batch.node)
            let known = listed.flatMap { endpoint(of: $0) } ?? table.contact(batch.node)?.endpoint
            guard let endpoint = known, !silent.contains(batch.node) else { continue }
            var keys: [VerifyingKey] = []
            var marks: [RecordMark] = []
            for key in batch.keys {
                guard let record = try store.get(RecordStore.table, key.bytes.bytes),
                    let dates = DirectoryRecord.dates(of: record), dates.expiry > now.seconds,
                    let mark = RecordMark(key: key, sequence: dates.sequence)
                else { continue }
                keys.append(key)
                marks.append(mark)
            }
            guard !marks.isEmpty else { continue }
            counters.compared += UInt64(marks.count)
            watchHolder(batch.node)
            call(.compare(batch.node, keys), endpoint, .compare(marks), now, &effects)
        }
    }

    /// What another holder has asked about and this server lacks.
    func lacking(
        _ marks: [RecordMark], _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [Bool] {
        var lacking: [Bool] = []
        for mark in marks {
            let prefix = mark.prefix.bytes
            var isHeld = false
            try store.scan(RecordStore.table, from: prefix) { key, value in
                let sequence = DirectoryRecord.dates(of: value)?.sequence ?? 0
                isHeld = key.starts(with: prefix) && sequence >= mark.sequence
                return false
            }
            lacking.append(!isHeld)
        }
        return lacking
    }

    /// Brings records to a holder that has said that it lacks them.
    mutating func handOn(
        _ keys: [VerifyingKey], to holder: NodeID, _ endpoint: Endpoint, _ now: Timestamp,
        _ effects: inout [DirectoryEffect], _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for key in keys {
            guard let record = try store.get(RecordStore.table, key.bytes.bytes) else { continue }
            counters.repairs += 1
            put(record, to: holder, endpoint, now, &effects)
        }
    }

    /// After a mass loss: asks all that share a record with this server whether they live, each once in a round.
    mutating func audit(
        _ now: Timestamp, _ effects: inout [DirectoryEffect], _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        if let due = auditDue, now >= due {
            auditDue = nil
            auditCursor = auditCursor ?? []
        }
        guard let cursor = auditCursor else { return }
        auditCursor = try look(from: cursor, now, store) { core, key, _, view in
            let walk = view.placement.walk(view.placement.starts(of: key), without: view.silence)
            var made = 0
            for ring in 0..<Placement.rings {
                for number in 0..<walk.counts[ring] where walk.place(ring: ring, number) != view.own {
                    made += core.ask(view.placement.ordered[walk.place(ring: ring, number)].node, now, &effects)
                }
            }
            return made
        }
    }

    /// Who is asked before settling whether he lives, beside neighbours: for servers of one ring would take a dead one of
    /// another for a holder, and one that is back for silent. On a small map these are all, on others so many of the
    /// silent ones in turn.
    private mutating func othersToAsk(_ now: Timestamp) -> ArraySlice<Placement.Node> {
        guard nodes.count > DirectoryCore.smallMap else {
            return nodes.filter { $0.id != own && !nearby.contains($0.id) }[...]
        }
        let others = silent.filter { !nearby.contains($0) }.sorted()
        let next = others.firstIndex { $0 > lastAsked ?? own } ?? 0
        let turn = (others[next...] + others[..<next]).prefix(DirectoryCore.retryBatch)
        lastAsked = turn.last
        let placement = placement(now.epoch)
        return turn.compactMap(placement.node)[...]
    }

    /// Asks another holder once whether it lives.
    /// - Returns: the calls made.
    @discardableResult
    private mutating func ask(
        _ holder: Placement.Node, _ now: Timestamp, _ effects: inout [DirectoryEffect]
    ) -> Int {
        guard repairTargets.count < DirectoryCore.silentLimit, repairTargets.insert(holder.id).inserted,
            let endpoint = endpoint(of: holder)
        else { return 0 }
        call(.liveness(holder.id), endpoint, .ping, now, &effects)
        return 1
    }

    /// All records were looked through.
    private mutating func endPass(_ now: Timestamp) {
        isPassing = false
        if isRepairIncomplete, repeatedPasses < DirectoryCore.repeatLimit {
            repeatedPasses += 1
            repairCursor = []
            nextPass = now.adding(milliseconds: Iteration.deadline)
        } else {
            repeatedPasses = 0
            repairCursor = nextRepairBase == nil ? nil : []
            repairBase = nextRepairBase ?? View()
            nextPass = now.adding(milliseconds: DirectoryCore.passWait)
            foundEndpoints = [:]
            nextRepairBase = nil
        }
        isRepairIncomplete = false
    }

    func endpoint(of node: Placement.Node) -> Endpoint? {
        node.endpoint ?? table.contact(node.id)?.endpoint ?? foundEndpoints[node.id]
    }

    private mutating func basePlacement(_ epoch: UInt64) -> Placement {
        if let known = repairBase.placements[epoch] { return known }
        let placement = Placement(nodes: repairBase.nodes, epoch: epoch, shared: repairBase.shared[epoch]?.bytes)
        repairBase.placements[epoch] = placement
        return placement
    }
}
