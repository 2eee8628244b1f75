import Primitives
import Records
import Storage
import Wire

/// What a server keeps of shared random values, so that a restart in any phase goes on as if nothing had been.
enum SharedRandomStore {
    /// Epoch 8, high byte first → the value.
    static let valueTable = Table("shared/values")
    /// Epoch 8, high byte first → names of participants; with kind 1 ‖ participant 32 ‖ first 8 bytes of the content
    /// after the epoch → a message, with its witnesses.
    static let roundTable = Table("shared/rounds")
    /// Participant 32 ‖ epoch 8 → the file that proves it.
    static let evidenceTable = Table("shared/evidence")
    static let tables = [valueTable, roundTable, evidenceTable]
    /// Values that are kept beside those of today and tomorrow, for one that follows from them.
    private static let valueLimit: UInt64 = 66

    static func values(
        _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [UInt64: SharedValue] {
        var values: [UInt64: SharedValue] = [:]
        var left = valueLimit + 2
        try store.scan(valueTable, from: []) { key, bytes in
            left -= 1
            let epoch = epoch(key)
            if epoch < SharedRandom.epochLimit, let value = try? SharedValue(decoding: bytes) { values[epoch] = value }
            return left > 0
        }
        return values
    }

    static func put(
        _ value: SharedValue, _ epoch: UInt64, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        try store.put(valueTable, prefix(epoch), value.encode())
    }

    static func list(
        _ epoch: UInt64, _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [Bytes16]? {
        guard let bytes = try store.get(roundTable, prefix(epoch)) else { return nil }
        return stride(from: 0, to: bytes.count, by: 16).compactMap { Bytes16(bytes[$0..<min($0 + 16, bytes.count)]) }
    }

    static func put(
        _ list: [Bytes16], _ epoch: UInt64, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        try store.put(roundTable, prefix(epoch), list.flatMap(\.bytes))
    }

    /// The messages of an epoch's exchange, commitments first. They were checked before they were written.
    static func messages(
        _ epoch: UInt64, _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [SharedRandom.Witnessed] {
        let start = prefix(epoch)
        var messages: [SharedRandom.Witnessed] = []
        try store.scan(roundTable, from: start) { key, bytes in
            guard key.starts(with: start) else { return false }
            if let message = try? SharedRandom.Witnessed(decoding: bytes) { messages.append(message) }
            return true
        }
        return messages
    }

    static func put(
        _ version: SharedRandom.Witnessed, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let message = version.message
        let key =
            prefix(message.epoch) + [message.kind.rawValue] + message.participant.bytes.bytes
            + message.content.bytes.prefix(8)
        try store.put(roundTable, key, version.encode())
    }

    /// - Returns: whether it is kept: it is new, and its cluster has a place.
    static func put(
        _ evidence: SharedRandomEvidence, _ ledger: inout EvidenceLedger,
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Bool {
        let key = evidence.clusterID.bytes.bytes + prefix(evidence.epoch)
        let (isKept, evicted) = ledger.insert(key, of: evidence.clusterID)
        guard isKept else { return false }
        if let evicted { try store.delete(evidenceTable, evicted) }
        try store.put(evidenceTable, key, evidence.encode())
        return true
    }

    /// Whose evidence an earlier run has kept.
    static func ledger(_ store: borrowing some (KeyValueStore & ~Copyable)) throws(StorageError) -> EvidenceLedger {
        var ledger = EvidenceLedger()
        try store.scan(evidenceTable, from: []) { key, _ in
            if let cluster = Bytes32(key.prefix(Bytes32.count)) { ledger.note(key, of: VerifyingKey(cluster)) }
            return ledger.count < EvidenceLedger.limit
        }
        return ledger
    }

    static func evidence(
        _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [SharedRandomEvidence] {
        var kept: [SharedRandomEvidence] = []
        var left = EvidenceLedger.limit
        try store.scan(evidenceTable, from: []) { _, value in
            if let evidence = try? SharedRandomEvidence(decoding: value) { kept.append(evidence) }
            left -= 1
            return left > 0
        }
        return kept
    }

    /// Forgets values of later epochs, and who makes those of the ones after the next.
    static func forget(
        after epoch: UInt64, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for (table, first) in [(valueTable, epoch + 1), (roundTable, epoch + 2)] {
            var early: [[UInt8]] = []
            try store.scan(table, from: prefix(first)) { key, _ in
                // Messages have longer keys.
                if key.count == 8 { early.append(key) }
                return true
            }
            for key in early { try store.delete(table, key) }
        }
    }

    /// Forgets exchanges that are over, and values that are too old for another to follow from them.
    static func forget(
        before epoch: UInt64, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for (table, age) in [(roundTable, 0), (valueTable, valueLimit)] {
            let end = prefix(epoch > age ? epoch - age : 0)
            var old: [[UInt8]] = []
            try store.scan(table, from: []) { key, _ in
                guard key.lexicographicallyPrecedes(end) else { return false }
                old.append(key)
                return true
            }
            for key in old { try store.delete(table, key) }
        }
    }

    private static func prefix(_ epoch: UInt64) -> [UInt8] { withUnsafeBytes(of: epoch.bigEndian) { Array($0) } }

    private static func epoch(_ key: [UInt8]) -> UInt64 { key.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }
}
