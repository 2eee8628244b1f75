import Records
import Storage
import Wire

/// What puts cost under load (specs/directory.md, "Puzzles").
extension DirectoryCore {
    /// The work that a put has to show before it is looked at; `nil` when it has, or need not.
    mutating func demand(
        _ record: DirectoryRecord, _ item: FairQueue.Item, isNew: Bool, _ now: Timestamp,
        _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Int? {
        guard configuration.demandsPuzzles, !isListed(item.from) else { return nil }
        gate.count(now)
        let fullness = isNew ? try fullness(item.from, store) : 0
        let level = gate.level(free: configuration.freePuts, fullness: fullness)
        guard level > 0 else { return nil }
        var puzzle = PutPuzzle(record, holder: own)
        let strength = item.solution.map { puzzle.strength(of: $0) }
        guard gate.admits(strength, level: level, now) else { return level }
        counters.puzzlesAccepted += 1
        return nil
    }

    /// Whether somebody is a server of the map, by the key that it has proven; repair must not wait for puzzles. Without
    /// a map all servers are.
    private mutating func isListed(_ sender: Endpoint?) -> Bool {
        guard let sender else { return false }
        guard !nodes.isEmpty else { return true }
        let links = listedLinks ?? Set(nodes.compactMap { $0.endpoint?.linkKey })
        listedLinks = links
        return links.contains(sender.linkKey)
    }

    /// The part that is used of what all together, and those of this sender's kind, may store.
    private func fullness(
        _ sender: Endpoint?, _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Double {
        func part(_ group: RecordStore.Group, of limit: Int) throws(StorageError) -> Double {
            Double(try RecordStore.usage(group, store).records) / Double(max(1, limit))
        }
        let all = try part(.all, of: configuration.recordLimit)
        guard sender == nil else { return all }
        return max(all, try part(.agents, of: configuration.sealedRecordLimit))
    }
}
