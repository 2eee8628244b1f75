import Foundation
import Fuzz
import LMDB
import Logging
import NIOPosix
import Primitives
import Records
import Relay
import Storage
import Testing
import Wire

@testable import Node

/// A new folder in the temporary directory; its user removes it.
func folder() throws -> String {
    let path = FileManager.default.temporaryDirectory.path + "/hulda-node-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    return path
}

@Suite("What a node reads, under noise")
struct NodeFuzzTests {

    @Test("an operator's question is read as one that says the same, or refused")
    func requests() {
        var garbage = Garbage("node requests", seed: 351)
        let id = NetworkID(key: SigningKey(&garbage.entropy).publicKey).text
        let valid = [
            "status", "reload", "peers", "map", "map cluster-1", "map " + String(repeating: "x", count: 64),
            "resolve \(id)",
            "prove cluster-1",
        ]
        for text in valid { #expect(NodeRequest(text: text)?.text == text) }
        #expect(NodeRequest(text: "map " + String(repeating: "x", count: 65)) == nil)
        #expect(NodeRequest(text: "prove " + String(repeating: "x", count: 65)) == nil)
        #expect(NodeRequest(text: "prove") == nil)
        #expect(NodeRequest(text: "resolve") == nil && NodeRequest(text: "resolve \(id.dropLast())") == nil)
        for _ in 0..<5000 {
            guard let request = NodeRequest(text: garbage.text(like: valid)) else { continue }
            #expect(NodeRequest(text: request.text) == request)
        }
    }

    @Test("a replay journal with foreign entries gives back the tags that are whole, and forgets the rest")
    func journal() async throws {
        let path = try folder()
        defer { try? FileManager.default.removeItem(atPath: path) }
        var garbage = Garbage("replay journal", seed: 352)
        let environment = try LMDBEnvironment(
            path: path, mapSize: 16 << 20, tables: [ReplayJournal.table])
        let epoch: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 9]
        let whole = (0..<20).map { _ in epoch + garbage.entropy.array(16) }
        var foreign: [[UInt8]] = []
        for _ in 0..<200 {
            let key = garbage.bytes(like: whole)
            if key.count != 24, (1...500).contains(key.count) { foreign.append(key) }
        }
        try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
            for key in whole + foreign { try transaction.put(ReplayJournal.table, key, []) }
        }
        let thread = NIOThreadPool(numberOfThreads: 1)
        let journal = ReplayJournal(environment, thread: thread, logger: Logger(label: "test"))
        thread.start()
        func restored(from epoch: UInt64) throws -> Set<Bytes16> {
            var tags: Set<Bytes16> = []
            try journal.restore(from: epoch) { tags.insert($0.tag) }
            return tags
        }
        #expect(try restored(from: 9) == Set(whole.compactMap { Bytes16($0[8...]) }))
        #expect(try restored(from: 10).isEmpty)
        for _ in 0..<600 where try !restored(from: 0).isEmpty { try await Task.sleep(for: .milliseconds(20)) }
        #expect(try restored(from: 0).isEmpty)
        try await thread.shutdownGracefully()
    }

    @Test("mix keys outlive a restart; a file of another size is an error, not a new key; old ones are destroyed")
    func mixKeys() throws {
        let path = try folder()
        defer { try? FileManager.default.removeItem(atPath: path) }
        var entropy = Entropy(seed: 353)
        let store = MixKeyStore(directory: path)
        let noon = Timestamp(seconds: 20_000 * 86_400 + 43_200)
        let first = try store.load(now: noon, entropy: &entropy).publicKeys
        #expect(first.map(\.epoch) == [20_000, 20_001])
        #expect(try store.load(now: noon, entropy: &entropy).publicKeys.map(\.key) == first.map(\.key))
        let next = try store.load(now: noon.adding(seconds: 86_400), entropy: &entropy).publicKeys
        #expect(next.first?.key == first.last?.key)
        #expect(store.destroyOld(now: noon.adding(seconds: 86_400)).isEmpty)
        #expect(!FileManager.default.fileExists(atPath: path + "/mix-20000.key"))
        for name in ["mix-20001.key", "mix-.key", "mix-abc.key", "mix-99999999999999999999.key"] {
            try Data([1, 2, 3]).write(to: URL(fileURLWithPath: path + "/" + name))
        }
        do {
            _ = try store.load(now: noon.adding(seconds: 86_400), entropy: &entropy)
            Issue.record("a damaged key was taken")
        } catch { #expect("\(error)".contains("mix-20001.key")) }
    }
}
