import Foundation
import LMDB
import NIOCore
import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Federation
@testable import Node

@Suite("A node whose store is full")
struct FullStoreTests {
    private static let filler = Table("shared/evidence")

    /// Whether it becomes so within a few seconds more than it takes to publish again.
    private func becomes(_ isSo: () async throws -> Bool) async throws -> Bool {
        for _ in 0..<180 {
            if try await isSo() { return true }
            try await Task.sleep(for: .milliseconds(100))
        }
        return false
    }

    private func status(_ node: NodeRuntime) async throws -> NodeStatus {
        let loop = node.group.next()
        let answer = try await loop.flatSubmit { node.answer(Array("status".utf8), on: loop) }.get()
        return try JSONDecoder().decode(NodeStatus.self, from: Data(answer))
    }

    /// What the disk has of the node's own descriptor.
    private func stored(_ node: NodeRuntime) throws -> ServerDescriptor? {
        let id = Bytes16(node.keys.nodeID.bytes.prefix(16)) ?? Bytes16()
        var bytes: [UInt8]?
        try node.cores.environment.read { (transaction: inout LMDBTransaction) throws(StorageError) in
            bytes = try transaction.get(MapCore.table, id.bytes)
        }
        return try bytes.map { try ServerDescriptor(decoding: $0) }
    }

    /// Fills the store, so that not even a descriptor fits.
    /// - Returns: what is to be deleted.
    private func fill(_ environment: LMDBEnvironment) throws -> [[UInt8]] {
        var keys: [[UInt8]] = []
        for size in [64 << 10, 1 << 10, 64] {
            while true {
                let key =
                    [UInt8](repeating: 0xff, count: 8) + [UInt8(keys.count >> 8 & 0xff), UInt8(keys.count & 0xff)]
                do throws(StorageError) {
                    try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
                        try transaction.put(FullStoreTests.filler, key, [UInt8](repeating: 0, count: size))
                    }
                    keys.append(key)
                } catch {
                    guard error == .full else { throw error }
                    break
                }
            }
        }
        return keys
    }

    @Test("keeps its last descriptor, says what is wrong, and has the new one on disk soon after there is room again")
    func announcement() async throws {
        let path = try folder()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let node = try await startNode("full", in: path, at: "127.189.0.9:7411") { $0.storeMiB = 4 }
        do { try await check(node) } catch {
            await node.stop()
            throw error
        }
        await node.stop()
    }

    private func check(_ node: NodeRuntime) async throws {
        let isStored = try await becomes { try stored(node) != nil }
        let isSettled = try await becomes { try await status(node).store.unpublished == 0 }
        #expect(isStored && isSettled)
        let first = try #require(try stored(node))
        let filler = try fill(node.cores.environment)
        let failures = node.ledger.counters["core.storage.failed"] ?? 0

        try node.announce(try NodeAddresses(node.configuration))
        let isRefused = try await becomes { try await status(node).store.trouble != nil }
        #expect(isRefused)
        let full = try await status(node)
        #expect(full.store.unpublished == 1)
        #expect(full.counters["core.storage.failed", default: 0] > failures)
        #expect(try stored(node) == first)

        try node.cores.environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
            for key in filler { try transaction.delete(FullStoreTests.filler, key) }
        }
        let isRenewed = try await becomes { try stored(node)?.sequence ?? 0 > first.sequence }
        let isAllStored = try await becomes { try await status(node).store.unpublished == 0 }
        #expect(isRenewed && isAllStored)
        let whole = try await status(node)
        #expect(whole.store.trouble == nil)
    }

    @Test("and whose next mix key cannot be written uses its ring on, and announces the key once it can")
    func mixKeys() async throws {
        try await withNode("keyless", at: "127.189.0.10:7411", renew)
    }

    private func renew(_ node: NodeRuntime) async throws {
        let path = node.configuration.dataDirectory
        let addresses = try NodeAddresses(node.configuration)
        let ring = node.ledger.ring.epochs
        let today = try #require(ring.last) - 1
        // A folder where the key of the day after tomorrow is to be.
        let stuck = "\(path)/mix-\(today + 2).key"
        try FileManager.default.createDirectory(atPath: stuck, withIntermediateDirectories: false)
        let midnight = Timestamp(seconds: (today + 1) * Timestamp.secondsPerEpoch)
        // Two hours at most from one look at the clock to the next: else it would be on trial.
        var now = Timestamp.now()
        while now < midnight {
            now = min(midnight, now.adding(seconds: 7200))
            #expect(node.renewKeys(addresses, now: now) == (now < midnight))
        }
        for minute in 1...3 {
            #expect(!node.renewKeys(addresses, now: midnight.adding(seconds: UInt64(60 * minute))))
        }
        #expect(node.ledger.ring.epochs == ring)
        #expect(node.ledger.counters["core.keys.refused"] ?? 0 >= 3)
        let refused = try await status(node)
        #expect(refused.store.keysTrouble != nil)
        try FileManager.default.removeItem(atPath: stuck)
        #expect(node.renewKeys(addresses, now: midnight.adding(seconds: 300)))
        #expect(node.ledger.ring.epochs == [today, today + 1, today + 2])
        let renewed = try await status(node)
        #expect(renewed.store.keysTrouble == nil)
    }
}
