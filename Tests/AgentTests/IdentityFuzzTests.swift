import Foundation
import Fuzz
import LMDB
import Primitives
import Storage
import Testing

@testable import Agent

@Suite("What an agent reads, under noise")
struct IdentityFuzzTests {
    private func folder() throws -> String {
        let path = FileManager.default.temporaryDirectory.path + "/hulda-agent-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }

    @Test("an identity file gives the master key that it was made for, or a reason; never another key")
    func identityFile() throws {
        let path = try folder()
        defer { try? FileManager.default.removeItem(atPath: path) }
        var garbage = Garbage("identity file", seed: 371)
        var raw = garbage.entropy.array(32)
        let copy = raw
        let master = SecretBytes(taking: &raw)
        let key = path + "/key"
        try Data(garbage.entropy.array(32)).write(to: URL(fileURLWithPath: key))
        chmod(key, 0o600)
        let file = try IdentityFile.create(
            master: master, unlock: .keyFile(path: key), cost: .interactive, entropy: &garbage.entropy)
        let text = String(decoding: try JSONEncoder().encode(file), as: UTF8.self)
        var opened = 0
        var refused = 0
        for _ in 0..<3000 {
            let damaged = garbage.text(like: [text])
            guard let read = try? JSONDecoder().decode(IdentityFile.self, from: Data(damaged.utf8)) else { continue }
            do throws(AgentFailure) {
                let found = try read.master(.keyFile(path: key))
                #expect(found.withUnsafeBytes { $0.elementsEqual(copy) })
                opened += 1
            } catch { refused += 1 }
        }
        #expect(opened > 0 && refused > 0)
    }

    @Test("a passphrase is stretched within bounds, whatever cost the file names")
    func costs() throws {
        var entropy = Entropy(seed: 372)
        var raw = entropy.array(32)
        let master = SecretBytes(taking: &raw)
        var file = try IdentityFile.create(
            master: master, unlock: .passphrase(SharedSecret(utf8: "right")),
            cost: Argon2id(operations: 1, memoryKiB: 8),
            entropy: &entropy)
        for (operations, memory) in [(0, 8), (1, 0), (.max, 8), (1, .max), (65, 8), (1, (1 << 20) + 1)]
            as [(UInt32, UInt32)]
        {
            file.operations = operations
            file.memoryKiB = memory
            #expect(throws: AgentFailure.self, "\(operations), \(memory)") {
                _ = try file.master(.passphrase(SharedSecret(utf8: "right"))).count
            }
        }
    }

    @Test("a store with a damaged entry is reported as damaged and keeps the rest")
    func sealedStore() throws {
        let path = try folder()
        defer { try? FileManager.default.removeItem(atPath: path) }
        var garbage = Garbage("sealed store", seed: 373)
        var raw = garbage.entropy.array(32)
        let master = SecretBytes(taking: &raw)
        let environment = try LMDBEnvironment(
            path: path, mapSize: 16 << 20, tables: SealedStore.tables)
        let table = Table("inbox")
        var store = try SealedStore(environment, master: master)
        for number in 0..<8 as Range<UInt8> { try store.put(table, [number], [number, number]) }
        try store.commit(&garbage.entropy)
        var entries: [(key: [UInt8], value: [UInt8])] = []
        try environment.read { (transaction: inout LMDBTransaction) throws(StorageError) in
            try transaction.scan(SealedStore.table, from: []) { key, value in
                entries.append((key, value))
                return true
            }
        }
        // One more has the numbers of entries.
        #expect(entries.count == 9)
        #expect(try SealedStore(environment, master: master).count(table) == 8)
        let values = entries.map(\.value)
        for round in 0..<100 {
            let (key, value) = entries[round % 9]
            // Another entry's value does not fit this key either.
            let damaged = round % 5 == 0 ? values[(round + 1) % 9] : garbage.bytes(like: [value])
            guard damaged != value else { continue }
            try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
                try transaction.put(SealedStore.table, key, damaged)
            }
            do {
                _ = try SealedStore(environment, master: master)
                Issue.record("a damaged entry was taken")
            } catch {
                guard case .corrupt = error else { throw error }
            }
            try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
                try transaction.put(SealedStore.table, key, value)
            }
        }
        #expect(try SealedStore(environment, master: master).get(table, [3]) == [3, 3])
    }
}
