import Primitives
import Records
import Storage
import Wire

/// Names of accounts: first come, first served (specs/home.md, "Names").
extension HomeCore {
    /// Seconds for which a name stays with an account that does not ask for its record any more.
    static let nameLifetime: UInt64 = 90 * 86_400
    /// Seconds for which a name that was given up is nobody's.
    static let nameRest: UInt64 = 30 * 86_400
    /// Names in all; those that rest count.
    static let nameLimit = 200_000

    /// Signs the record of a name; `nil` refuses all names. Without a pointer the record says that the name was given up.
    public typealias NameSigner =
        @Sendable (
            _ label: Bytes32, _ pointer: [UInt8], _ epoch: UInt64, _ published: UInt64
        ) -> DirectoryRecord?

    mutating func name(
        _ request: HomeRequest.Naming, _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> HomeAnswer {
        guard var row = try row(request.account, store) else {
            counters.unknownAccount += 1
            return .refused(.unknownAccount)
        }
        guard row.key.isValid(request.signature, for: request.message(home: node)) else {
            counters.wrongSignature += 1
            return .refused(.wrongSignature)
        }
        guard row.take(request.counter) else {
            counters.replayed += 1
            return .refused(.replayed)
        }
        try save(row, request.account, &store)
        let known = try store.get(HomeTables.names, request.label.bytes).flatMap { try? NameRow(decoding: $0) }
        if request.isRelease, known?.account != request.account {
            // It is not the account's, so nothing that speaks of it is signed for the account.
            return .released(label: request.label, record: [])
        }
        guard configuration.namesPerAccount > 0 || request.isRelease, nameSigner != nil else {
            return .refused(.noMoreNames)
        }
        let published = known?.nextPublished(isRelease: request.isRelease, now) ?? now.seconds
        guard let record = sign(request, published, now) else { return .refused(.wrongEpoch) }
        if request.isRelease {
            try release(request.label, request.account, now, published, &store)
            return .released(label: request.label, record: record.encode())
        }
        if let refusal = try claim(request.label, request.account, known, now, published, &store) {
            counters.namesRefused += 1
            return .refused(refusal)
        }
        counters.namesSigned += 1
        return .named(label: request.label, record: record.encode())
    }

    /// - Returns: why the account cannot have the name; `nil` when it has it now.
    private func claim(
        _ label: Bytes32, _ account: Bytes16, _ known: NameRow?, _ now: Timestamp, _ published: UInt64,
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> HomeAnswer.Refusal? {
        if let known, known.account != account, known.freeAt > now.seconds { return .nameTaken }
        // Who gave it up and changes his mind takes it as anybody takes one that is free.
        if known?.account != account || known?.isReleased == true {
            guard acceptsWrites else { return .serverFull }
            let total = try store.count(HomeTables.names)
            guard try labels(of: account, store).count < configuration.namesPerAccount,
                known != nil || total < HomeCore.nameLimit
            else { return .noMoreNames }
            if let known { try store.delete(HomeTables.labels, known.account.bytes + label.bytes) }
            try store.put(HomeTables.labels, account.bytes + label.bytes, [])
        }
        var row = NameRow(account: account, freeAt: now.adding(seconds: HomeCore.nameLifetime).seconds)
        row.published = published
        try store.put(HomeTables.names, label.bytes, row.encode())
        return nil
    }

    private func sign(_ request: HomeRequest.Naming, _ published: UInt64, _ now: Timestamp) -> DirectoryRecord? {
        let end = (now.epoch + 1) * Timestamp.secondsPerEpoch
        let isNext = request.epoch == now.epoch + 1 && end - now.seconds <= DirectoryRecord.lead
        guard request.epoch == now.epoch || isNext else { return nil }
        return nameSigner?(request.label, request.pointer, request.epoch, published)
    }

    /// Nobody but its owner gets the name for a while: others may still write to him by it.
    private func release(
        _ label: Bytes32, _ account: Bytes16, _ now: Timestamp, _ published: UInt64,
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        try store.delete(HomeTables.labels, account.bytes + label.bytes)
        var row = NameRow(account: account, freeAt: now.adding(seconds: HomeCore.nameRest).seconds)
        row.isReleased = true
        row.published = published
        try store.put(HomeTables.names, label.bytes, row.encode())
    }

    func releaseNames(
        of account: Bytes16, _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for label in try labels(of: account, store) {
            let known = try store.get(HomeTables.names, label.bytes).flatMap { try? NameRow(decoding: $0) }
            try release(label, account, now, known?.published ?? 0, &store)
        }
    }

    private func labels(
        of account: Bytes16, _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [Bytes32] {
        var found: [Bytes32] = []
        try store.scan(HomeTables.labels, from: account.bytes) { key, _ in
            guard key.starts(with: account.bytes), let label = Bytes32(key.dropFirst(16)) else { return false }
            found.append(label)
            return true
        }
        return found
    }

    /// Forgets names that are free, and damaged entries.
    /// - Returns: how many.
    func sweepNames(
        _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Int {
        var free: [(label: [UInt8], account: Bytes16)] = []
        try store.scan(HomeTables.names, from: []) { key, value in
            let row = try? NameRow(decoding: value)
            if row?.freeAt ?? 0 <= now.seconds { free.append((key, row?.account ?? Bytes16())) }
            return free.count < HomeCore.sweepLimit
        }
        for (label, account) in free {
            try store.delete(HomeTables.names, label)
            try store.delete(HomeTables.labels, account.bytes + label)
        }
        return free.count
    }
}
