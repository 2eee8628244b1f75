import LMDB
import Logging
import NIOConcurrencyHelpers
import NIOPosix
import Primitives
import Storage
import Wire

/// Writes replay tags to disk, so that a killed relay refuses after its restart what it accepted before.
///
/// Tags of envelopes that arrive while one transaction is being synced make up the next: group commit. The relay
/// forwards an envelope only after its tag is on disk.
final class ReplayJournal: Sendable {
    static let table = Table("replay")

    struct Entry: Sendable {
        let epoch: UInt64
        let tag: Bytes16
    }

    private let environment: LMDBEnvironment
    private let thread: NIOThreadPool
    private let logger: Logger
    private let refusal = NIOLockedValueBox(FailureRun())

    /// Why nothing can be written, while that is so.
    var trouble: NodeStatus.Trouble? { refusal.withLockedValue { $0.trouble(.now()) } }

    init(_ environment: LMDBEnvironment, thread: NIOThreadPool, logger: Logger) {
        self.environment = environment
        self.thread = thread
        self.logger = logger
    }

    /// Commits `entries`, then calls `done` on the journal's thread with whether they are on disk.
    func commit(_ entries: [Entry], done: @escaping @Sendable (Bool) -> Void) {
        thread.submit { [environment, logger, refusal] state in
            guard case .active = state else { return }
            do {
                try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
                    for entry in entries {
                        try transaction.put(ReplayJournal.table, ReplayJournal.key(entry), [])
                    }
                }
                _ = refusal.withLockedValue { $0.ended(.now()) }
                done(true)
            } catch {
                // It is tried again each second.
                if refusal.withLockedValue({ $0.failed("\(error)", .now()) }) {
                    logger.error("replay journal: \(error)")
                }
                done(false)
            }
        }
    }

    /// Deletes the tags of epochs before `epoch`, whose keys are destroyed.
    ///
    /// There can be millions of them and envelopes wait for this thread, so each transaction deletes a bounded number,
    /// and the tags that wait are written between two of them. What a stop leaves is deleted after the next start.
    func forget(before epoch: UInt64) {
        thread.submit { [self] state in
            guard case .active = state else { return }
            do throws(StorageError) {
                if try deleteSome(before: epoch) { forget(before: epoch) }
            } catch {
                logger.error("replay journal: \(error)")
            }
        }
    }

    /// Tags deleted in one transaction.
    static let deletionLimit = 4096

    /// - Returns: whether there may be more.
    private func deleteSome(before epoch: UInt64) throws(StorageError) -> Bool {
        var outdated: [[UInt8]] = []
        try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
            try transaction.scan(ReplayJournal.table, from: []) { key, _ in
                // What is no tag was not written by this program and is of no use to it.
                if let entry = ReplayJournal.entry(key), entry.epoch >= epoch { return false }
                outdated.append(key)
                return outdated.count < ReplayJournal.deletionLimit
            }
            for key in outdated { try transaction.delete(ReplayJournal.table, key) }
        }
        return outdated.count == ReplayJournal.deletionLimit
    }

    /// Hands every tag of epochs from `epoch` on to `body`, one by one; older ones, whose keys are gone, are deleted
    /// bit by bit.
    func restore(from epoch: UInt64, _ body: (Entry) -> Void) throws(StorageError) {
        try environment.read { (transaction: inout LMDBTransaction) throws(StorageError) in
            try transaction.scan(ReplayJournal.table, from: ReplayJournal.prefix(epoch)) { key, _ in
                if let entry = ReplayJournal.entry(key) { body(entry) }
                return true
            }
        }
        forget(before: epoch)
    }

    /// Big-endian epoch, so that entries of one epoch lie together, then the tag.
    private static func key(_ entry: Entry) -> [UInt8] { prefix(entry.epoch) + entry.tag.bytes }

    private static func prefix(_ epoch: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: epoch >> UInt64(56 - 8 * $0)) }
    }

    private static func entry(_ key: [UInt8]) -> Entry? {
        guard key.count == 24, let tag = Bytes16(key[8...]) else { return nil }
        return Entry(epoch: key[0..<8].reduce(0) { $0 << 8 | UInt64($1) }, tag: tag)
    }
}
