import Foundation
import LMDB
import Logging
import NIOConcurrencyHelpers
import NIOPosix
import Primitives
import Storage
import Testing

@testable import Node

@Suite("The journal of replay tags")
struct ReplayJournalTests {
    private func withJournal(_ body: (ReplayJournal, LMDBEnvironment) async throws -> Void) async throws {
        let path = try folder()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let environment = try LMDBEnvironment(path: path, mapSize: 64 << 20, tables: [ReplayJournal.table])
        let thread = NIOThreadPool(numberOfThreads: 1)
        thread.start()
        try await body(ReplayJournal(environment, thread: thread, logger: Logger(label: "test")), environment)
        try await thread.shutdownGracefully()
    }

    private func count(_ environment: LMDBEnvironment) throws -> Int {
        try environment.read { (transaction: inout LMDBTransaction) throws(StorageError) in
            try transaction.count(ReplayJournal.table)
        }
    }

    private func entries(_ count: Int, epoch: UInt64, _ entropy: inout Entropy) -> [ReplayJournal.Entry] {
        (0..<count).map { _ in .init(epoch: epoch, tag: entropy.bytes()) }
    }

    @Test("deletes the tags of a day that is over bit by bit, and those that come meanwhile do not wait for it")
    func deletion() async throws {
        let seed: UInt64 = 41
        print("seed \(seed)")
        try await withJournal { journal, environment in
            var entropy = Entropy(seed: seed)
            let (old, new) = (4 * ReplayJournal.deletionLimit + 100, 10)
            let yesterday = entries(old, epoch: 5, &entropy)
            let today = entries(new, epoch: 6, &entropy)
            let isWritten = await withCheckedContinuation { continuation in
                journal.commit(yesterday) { continuation.resume(returning: $0) }
            }
            #expect(isWritten)
            let left = await withCheckedContinuation { continuation in
                journal.forget(before: 6)
                journal.commit(today) { _ in continuation.resume(returning: (try? count(environment)) ?? 0) }
            }
            // One transaction of deletions was before it.
            #expect(left == old - ReplayJournal.deletionLimit + new)
            for _ in 0..<600 where try count(environment) > new { try await Task.sleep(for: .milliseconds(20)) }
            #expect(try count(environment) == new)
        }
    }

    @Test("hands back after a restart the tags of the days asked for, and deletes the others")
    func restoring() async throws {
        let seed: UInt64 = 42
        print("seed \(seed)")
        try await withJournal { journal, environment in
            var entropy = Entropy(seed: seed)
            let tags = (4...7 as ClosedRange<UInt64>).map { entries(5000, epoch: $0, &entropy) }
            for some in tags {
                await withCheckedContinuation { continuation in journal.commit(some) { _ in continuation.resume() } }
            }
            var restored: Set<Bytes16> = []
            try journal.restore(from: 6) { restored.insert($0.tag) }
            #expect(restored == Set((tags[2] + tags[3]).map(\.tag)))
            for _ in 0..<600 where try count(environment) > 10_000 { try await Task.sleep(for: .milliseconds(20)) }
            #expect(try count(environment) == 10_000)
        }
    }
}
