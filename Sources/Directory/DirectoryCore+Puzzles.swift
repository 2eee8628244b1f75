import Primitives
import Records
import Storage
import Wire

/// What puts cost under load (specs/directory.md, "Puzzles").
extension DirectoryCore {
    /// What is answered to a put that has to show work before it is looked at; `nil` when it has, or need not.
    mutating func demand(
        _ record: DirectoryRecord, _ item: FairQueue.Item, isNew: Bool, _ now: Timestamp, _ entropy: inout Entropy,
        _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> DirectoryMessage? {
        // A server that knows no solved puts, since the federation is upgraded, demands none.
        guard configuration.demandsPuzzles, configuration.highestRequest >= DirectoryMessage.solvedPutKind,
            !isListed(item.from)
        else { return nil }
        gate.count(now)
        let fullness = isNew ? try fullness(item.from, store) : 0
        let level = gate.level(free: configuration.freePuts, fullness: fullness)
        guard level > 0 else { return nil }
        guard gate.admits(strength(of: item.effort, for: record, now), level: level, now) else {
            counters.puzzlesDemanded += 1
            guard case .challenged = item.effort else { return .puzzle(level: level) }
            return .challenge(level: level, challenges.challenge(now, &entropy))
        }
        if case .unchallenged = item.effort {
            guard budget.trust(configuration, now) else {
                counters.overRate += 1
                return .refused(.busy)
            }
            counters.puzzlesUnchallenged += 1
        }
        counters.puzzlesAccepted += 1
        return nil
    }

    /// The zero bits that a put's solution makes; `nil` without one that counts.
    private mutating func strength(of effort: PutEffort, for record: DirectoryRecord, _ now: Timestamp) -> Int? {
        switch effort {
        case .none, .challenged(nil): return nil
        case .unchallenged(let solution):
            var puzzle = PutPuzzle(record, holder: own, challenge: nil)
            return puzzle.strength(of: solution)
        case .challenged(let proof?):
            guard challenges.accepts(proof.challenge, now) else {
                counters.puzzlesOutdated += 1
                return nil
            }
            var puzzle = PutPuzzle(record, holder: own, challenge: proof.challenge)
            return puzzle.strength(of: proof.solution)
        }
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
