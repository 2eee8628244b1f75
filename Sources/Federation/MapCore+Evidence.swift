import Records
import Storage

/// Keeping what proves that somebody contradicted himself: one piece for each kind and key, while there is room.
extension MapCore {
    static let evidenceTable = Table("evidence")

    /// Keeps what was found, of admitted clusters, and tells the driver of what is new.
    mutating func keepEvidence(
        _ effects: inout [MapEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let evidence = snapshots.found else { return }
        snapshots.found = nil
        // Whoever is not admitted can make keys at will, and would fill the table.
        guard admission.admits(evidence.clusterID) else { return }
        let key = MapCore.key(evidence)
        let (isKept, evicted) = snapshots.ledger.insert(key, of: evidence.clusterID)
        guard isKept else {
            snapshots.counters.evidenceDropped += 1
            return
        }
        if let evicted {
            snapshots.counters.evidenceEvicted += 1
            try store.delete(MapCore.evidenceTable, evicted)
        }
        try store.put(MapCore.evidenceTable, key, evidence.encode())
        snapshots.counters.evidence += 1
        effects.append(.evidence(evidence))
    }

    /// Everything kept, of earlier runs too.
    public static func evidence(
        _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [EquivocationEvidence] {
        var kept: [EquivocationEvidence] = []
        try store.scan(evidenceTable, from: []) { _, value in
            if let evidence = try? EquivocationEvidence(decoding: value) { kept.append(evidence) }
            return kept.count < EvidenceLedger.limit
        }
        return kept
    }

    /// Kind ‖ key of whoever contradicts himself.
    private static func key(_ evidence: EquivocationEvidence) -> [UInt8] {
        [evidence.kind.rawValue] + evidence.subject.bytes.bytes
    }

    /// What an earlier run has kept takes its places, though they be more than one cluster has now.
    mutating func restoreEvidence(
        _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for evidence in try MapCore.evidence(store) {
            snapshots.ledger.note(MapCore.key(evidence), of: evidence.clusterID)
        }
    }
}
