import Fuzz
import Primitives
import Storage
import Testing
import Wire

@testable import Directory

@Suite("A directory's rows and rare messages under noise")
struct RowFuzzTests {
    @Test("messages about the shared random value are read as what they encode to, or refused")
    func sharedRandom() {
        var garbage = Garbage("shared random", seed: 321)
        let cluster = RandomCircle.Cluster(&garbage.entropy)
        let valid: [SharedRandom.Message] = [
            cluster.commit(garbage.entropy.bytes()),
            .reveal(participant: cluster.id, epoch: 7, secret: garbage.entropy.bytes()),
            cluster.vote(garbage.entropy.bytes()),
        ]
        let encoded = valid.map { $0.encode() }
        var accepted = 0
        for _ in 0..<10_000 {
            let bytes = garbage.bytes(like: encoded)
            guard let read = try? SharedRandom.Message(decoding: bytes) else { continue }
            accepted += 1
            #expect(read.encode() == bytes)
        }
        #expect(accepted > 0)
    }

    @Test("messages with witnesses are read as what they encode to, or refused")
    func witnessed() {
        var garbage = Garbage("witnessed messages", seed: 323)
        let clusters = (0..<4).map { _ in RandomCircle.Cluster(&garbage.entropy) }
        var versions = [
            SharedRandom.Witnessed(clusters[0].commit(garbage.entropy.bytes())),
            SharedRandom.Witnessed(.reveal(participant: clusters[0].id, epoch: 7, secret: garbage.entropy.bytes())),
        ]
        var encoded: [[UInt8]] = []
        for signer in clusters.map(\.signer) {
            for index in versions.indices {
                versions[index].sign(by: signer)
                encoded.append(versions[index].encode())
            }
        }
        #expect(versions.allSatisfy { $0.signatures == 4 && $0.isWitnessed })
        var accepted = 0
        for _ in 0..<10_000 {
            let bytes = garbage.bytes(like: encoded)
            guard let read = try? SharedRandom.Witnessed(decoding: bytes) else { continue }
            accepted += 1
            #expect(read.encode() == bytes && read.signatures <= 11)
        }
        #expect(accepted > 0)
    }

    @Test("a server whose store is damaged starts, answers, and stores new records")
    func rows() throws {
        var garbage = Garbage("directory rows", seed: 322)
        var server = try LoneServer(seed: 322)
        for number in 0..<6 {
            let record = try server.record()
            _ = try server.ask(.put(record: record.encode()), from: LoneServer.stranger(number))
            _ = try server.wake()
        }
        let whole = server.store
        #expect(try whole.count(RecordStore.table) == 6)
        let tables = [
            RecordStore.table, RecordStore.expiries, RecordStore.quotas, DirectoryCore.contactTable,
            SharedRandomStore.valueTable, SharedRandomStore.roundTable, ClusterHistory.table,
        ]
        let noon = server.now
        for round in 0..<200 {
            server.store = try garbage.damage(whole, tables)
            server.now = noon
            server.core = try DirectoryCore(
                serverID: server.key.publicKey, descriptor: [], now: server.now, store: server.store)
            let record = try server.record()
            _ = try server.ask(.put(record: record.encode()), from: LoneServer.stranger(round))
            _ = try server.wake()
            _ = try server.ask(.get(key: record.blindedKey, epoch: record.epoch))
            // Sweeps meet the damaged entries too.
            for hours in [1, 30, 60] as [UInt64] {
                server.now = noon.adding(seconds: hours * 3600)
                _ = try server.wake()
            }
        }
    }
}
