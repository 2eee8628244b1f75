import Directory
import DirectoryClient
import Foundation
import LMDB
import Primitives
import Records
import Storage
import Transport
import Wire

/// Fills a node's store with records as the node's own core does: each is signed, sent to it as a put, and checked.
final class Filler {
    /// Puts in one transaction.
    private static let batch = 5000

    private let store: LMDBEnvironment
    private var core: DirectoryCore
    private var entropy = Entropy(seed: 7)
    private let now = Timestamp.now()
    private let publisher: Endpoint
    private(set) var keys: [VerifyingKey] = []
    let epoch: UInt64

    /// - Parameter mebibytes: the store's size.
    init(path: String, mebibytes: Int, records: Int) throws {
        let tables: [Table] = [
            Table("directory/records"), Table("directory/expiry"), Table("directory/floors"),
            Table("directory/quotas"), Table("directory/evidence"), Table("directory/contacts"),
            Table("shared/values"), Table("shared/rounds"), Table("shared/history"), Table("shared/evidence"),
        ]
        store = try LMDBEnvironment(path: path, mapSize: mebibytes << 20, tables: tables, noSync: true)
        var configuration = DirectoryConfiguration(records: records)
        configuration.prefixRecordLimit = records
        configuration.prefixRate = .max
        configuration.unprovenRate = .max
        configuration.checkRate = .max
        let now = now
        epoch = now.epoch
        core = try store.read { (store: inout LMDBTransaction) throws(StorageError) in
            try DirectoryCore(
                serverID: VerifyingKey(Bytes32()), descriptor: [], configuration: configuration, now: now, store: store)
        }
        publisher = Endpoint(
            linkKey: X25519PublicKey(Bytes32()), address: SocketAddress(v4: (10, 1, 0, 1), port: 1))
    }

    func fill(_ count: Int) throws {
        while keys.count < count {
            let records = (0..<min(Filler.batch, count - keys.count)).map { _ in record() }
            var stored = 0
            try store.write { (store: inout LMDBTransaction) throws(StorageError) in
                for record in records {
                    let effects = try core.handle(
                        .request(from: publisher, token: 1, message: DirectoryMessage.put(record: record).encode()),
                        now: now, entropy: &entropy, store: &store)
                    for case .answer(_, let message) in effects {
                        if case .stored = try? DirectoryMessage(decoding: message) { stored += 1 }
                    }
                }
            }
            guard stored == records.count else { throw Failure("the core took \(stored) of \(records.count) records") }
        }
    }

    /// As a holder sees it, who cannot open the body: a key of one epoch, and its signature.
    private func record() -> [UInt8] {
        let key = SigningKey(&entropy)
        var writer = Writer(capacity: 1024)
        writer.uint8(1)
        writer.uint64(epoch)
        writer.uint64(now.seconds)
        writer.fixed(key.publicKey.bytes)
        writer.append(entropy.array(24))
        writer.append(entropy.array(512))
        keys.append(key.publicKey)
        writer.fixed(key.sign(writer.bytes).bytes)
        return writer.bytes
    }
}
