import Foundation
import Fuzz
import LMDB
import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Agent
@testable import Correspondence
@testable import Envelope

@Suite("Secrets in memory", .serialized)
struct MemoryTests {
    private let scan = MemoryScan()

    private func secret(_ entropy: inout Entropy) -> SecretBytes {
        var secret = SecretBytes(count: 32)
        secret.withUnsafeMutableBytes { entropy.fill($0) }
        return secret
    }

    private func withStore(_ body: (LMDBEnvironment, borrowing SecretBytes) throws -> Void) throws {
        let path = FileManager.default.temporaryDirectory.path + "/hulda-memory-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        var entropy = Entropy.system()
        let master = secret(&entropy)
        try body(
            try LMDBEnvironment(path: path, mapSize: 1 << 24, tables: SealedStore.tables), master)
    }

    @Test("are found by the scan wherever they lie: in an array, in freed memory and on the stack")
    func control() throws {
        var entropy = Entropy.system()
        let key = secret(&entropy)
        #expect(try scan.count(key) == 0)
        let planted = key.withUnsafeBytes { Array($0) }
        #expect(try scan.count(key) == 1)
        let shifted = [1, 2, 3] + planted
        #expect(try scan.count(key) == 2)
        // An array that is zeroed while another shares its buffer: the fault that these tests are for.
        var shared = planted
        shared.withUnsafeMutableBytes { SecretBytes.zero($0) }
        #expect(try scan.count(key) == 2)
        withExtendedLifetime((planted, shifted)) {}
    }

    @Test("of an identity lie in its keys alone, after it was saved, committed, loaded and rotated")
    func identity() throws {
        try withStore { environment, master in
            var entropy = Entropy.system()
            var store = try SealedStore(environment, master: master)
            let identity = Identity(&entropy)
            let user = identity.user.seed()
            let operational = identity.operational.seed()
            var sealing = SecretBytes(count: 32)
            identity.sealing.withUnsafeBytes { key in sealing.withUnsafeMutableBytes { $0.copyMemory(from: key) } }
            func places() throws -> [Int] {
                [try scan.count(user), try scan.count(operational), try scan.count(sealing)]
            }
            #expect(try places() == [1, 1, 1])
            try identity.save(&store)
            #expect(try places() == [1, 1, 1])
            try store.commit(&entropy)
            #expect(try places() == [1, 1, 1])

            let loaded = try #require(try Identity.load(store))
            #expect(try places() == [2, 2, 2])
            #expect(loaded.id == identity.id)
            // The sealing key of before is kept, the operational one is not.
            let rotated = loaded.rotated(.now(), &entropy)
            try rotated.save(&store)
            try store.commit(&entropy)
            #expect(try places() == [3, 2, 3])

            let again = try SealedStore(environment, master: master)
            #expect(try places() == [3, 2, 3])
            let last = try #require(try Identity.load(again))
            #expect(last.serial == 1)
            #expect(try places() == [4, 2, 4])
            withExtendedLifetime((identity, loaded, rotated, last)) {}
        }
    }

    @Test("of a reply block lie in its keys alone, also when they are stored and read back")
    func replyKeys() throws {
        try withStore { environment, master in
            var entropy = Entropy.system()
            var store = try SealedStore(environment, master: master)
            let seed = secret(&entropy)
            // The first hop's seed, which nobody but that hop and the agent can compute.
            let keys = ReplyKeys(seed: entropy.bytes(), hops: seed)
            #expect(try scan.count(seed) == 1)
            var table = try ReplyTable(limit: 10, .now(), &store)
            let expiry = Timestamp.now().adding(seconds: 3600)
            try table.insert(
                entropy.bytes(), .init(keys: keys, purpose: .home(entropy.bytes()), expiry: expiry), &store)
            try store.commit(&entropy)
            #expect(try scan.count(seed) == 1)
            var again = try SealedStore(environment, master: master)
            let read = try ReplyTable(limit: 10, .now(), &again)
            #expect(read.count == 1)
            #expect(try scan.count(seed) == 2)
            withExtendedLifetime((keys, table, read)) {}
        }
    }

    @Test("that unlock an identity, the passphrase and what Argon2 makes of it, do not outlive their use")
    func unlocking() throws {
        var entropy = Entropy.system()
        let master = secret(&entropy)
        let passphrase = secret(&entropy)
        let unlock = Unlock.passphrase(SharedSecret(passphrase.copy()))
        let cost = Argon2id(operations: 1, memoryKiB: 8)
        let file = try IdentityFile.create(master: master, unlock: unlock, cost: cost, entropy: &entropy)
        #expect(try scan.count(master) == 0)
        #expect(try scan.count(passphrase) == 1)
        let salt = try #require(Hex.decode(file.salt).flatMap { Bytes16($0) })
        let stretched = try cost.key(passphrase: passphrase, salt: salt)
        let opened = try file.master(unlock)
        let isRight = ConstantTime.equal(opened, master)
        #expect(isRight)
        #expect(try scan.count(master) == 1)
        #expect(try scan.count(stretched) == 0)
        #expect(try scan.count(passphrase) == 1)
        withExtendedLifetime(unlock) {}
    }
}
