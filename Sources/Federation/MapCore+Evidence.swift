import Records
import Storage

/// Keeping what proves that somebody contradicted himself: one piece for each kind and key, while there is room.
extension MapCore {
    static let evidenceTable = Table("evidence")
    static let evidenceLimit = 1024

    /// Keeps what was found, of admitted clusters, and tells the driver of what is new.
    mutating func keepEvidence(
        _ effects: inout [MapEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let evidence = snapshots.found else { return }
        snapshots.found = nil
        // Whoever is not admitted can make keys at will, and would fill the table.
        guard admission.admits(evidence.clusterID) else { return }
        let key = [evidence.kind.rawValue] + evidence.subject.bytes.bytes
        let isNew = try store.get(MapCore.evidenceTable, key) == nil
        guard isNew, try store.count(MapCore.evidenceTable) < MapCore.evidenceLimit else {
            snapshots.counters.evidenceDropped += 1
            return
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
            return kept.count < evidenceLimit
        }
        return kept
    }
}
