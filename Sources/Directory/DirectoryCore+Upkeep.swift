import Primitives
import Records
import Storage
import Wire

/// What a directory server does by itself, with time.
extension DirectoryCore {
    mutating func wake(
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [DirectoryEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        nextWake = now.adding(milliseconds: configuration.roundInterval)
        if !stored.isEmpty {
            let endpoints = stored.map(\.endpoint)
            bootstrap += endpoints.prefix(DirectoryCore.rejoinLimit)
            stored = []
            for endpoint in endpoints { call(.ping, endpoint, .ping, &effects) }
        }
        for id in iterations.keys.sorted() { try advance(id, now, &effects, &store) }
        if now >= nextSweep {
            nextSweep = now.adding(milliseconds: DirectoryCore.sweepInterval)
            counters.expired += UInt64(try RecordStore.sweep(now, limit: 1000, &store))
        }
        if now >= nextRefresh {
            nextRefresh = now.adding(milliseconds: configuration.refreshInterval)
            let target = table.target(inBucket: entropy.below(24), &entropy)
            if let id = start(.nodes, target: target, now, &effects) { try advance(id, now, &effects, &store) }
        }
        if table.count < RoutingTable.k, now >= nextJoin {
            joinWait = min(joinWait * 2, configuration.refreshInterval)
            nextJoin = now.adding(milliseconds: joinWait)
            if table.count == 0 {
                for endpoint in bootstrap { call(.ping, endpoint, .ping, &effects) }
            } else {
                startJoin(now, &entropy, &effects)
                let target = table.target(inBucket: entropy.below(4), &entropy)
                if let id = start(.nodes, target: target, now, &effects) { try advance(id, now, &effects, &store) }
            }
        }
        if let silent = table.stalest(configuration.livenessInterval, now: now) {
            call(.liveness(silent.nodeID), silent.endpoint, .ping, &effects)
        }
        try repair(now, &effects, &store)
    }

    /// Hands copies of records to nodes that have come onto the map and are now among the holders.
    private mutating func repair(
        _ now: Timestamp, _ effects: inout [DirectoryEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let cursor = repairCursor else { return }
        var batch: [(key: [UInt8], value: [UInt8])] = []
        try store.scan(RecordStore.table, from: cursor) { key, value in
            batch.append((key, value))
            return batch.count < configuration.repairBatch
        }
        var budget = configuration.repairCalls
        for (key, value) in batch {
            guard let record = try? DirectoryRecord(decoding: value) else { continue }
            let holders = placement(record.epoch).holders(of: record.blindedKey)
            guard holders.contains(own) else { continue }
            // A record's copies go out in one round, so that the next round begins at the next record.
            guard budget > 0 else {
                repairCursor = key
                return
            }
            for holder in holders where newNodes.contains(holder) {
                guard let contact = table.contact(holder) else { continue }
                budget -= 1
                counters.repairs += 1
                call(.put(holder), contact.endpoint, .put(record: value), &effects)
            }
        }
        if batch.count < configuration.repairBatch {
            repairCursor = nil
            newNodes = []
        } else if let last = batch.last {
            repairCursor = last.key + [0]
        }
    }
}
