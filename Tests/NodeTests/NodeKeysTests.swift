import Foundation
import Primitives
import Records
import Testing
import Wire

@testable import Node

@Suite("A node's keys")
struct NodeKeysTests {
    private let start = Timestamp(seconds: 1_800_000_000)

    @Test("outlive a restart, and the certificate is renewed while the node runs, a month before it ends")
    func renewal() throws {
        let path = try folder()
        defer { try? FileManager.default.removeItem(atPath: path) }
        var entropy = Entropy(seed: 354)
        let keys = try NodeKeys(directory: path, now: start, entropy: &entropy)
        let first = keys.certificate
        #expect(try keys.renew(now: start.adding(seconds: 59 * 86_400)) == nil)
        #expect(keys.certificate == first)
        let later = start.adding(seconds: 61 * 86_400)
        #expect(try keys.renew(now: later) == nil)
        #expect(keys.certificate.expiry == later.seconds + 90 * 86_400)
        try keys.certificate.verify(at: later)

        let again = try NodeKeys(directory: path, now: later, entropy: &entropy)
        #expect(again.certificate == keys.certificate)
        #expect(again.server.publicKey == keys.server.publicKey && again.link.publicKey == keys.link.publicKey)
    }

    @Test("without the cluster's key serve until the certificate ends, say how long that is, and not beyond")
    func offline() throws {
        let path = try folder()
        defer { try? FileManager.default.removeItem(atPath: path) }
        var entropy = Entropy(seed: 355)
        _ = try NodeKeys(directory: path, now: start, entropy: &entropy)
        try FileManager.default.removeItem(atPath: path + "/cluster.key")
        let keys = try NodeKeys(directory: path, now: start, entropy: &entropy)
        #expect(keys.cluster == nil)
        #expect(try keys.renew(now: start) == nil)
        #expect(try keys.renew(now: start.adding(seconds: 80 * 86_400)) == 10)
        #expect(try keys.renew(now: start.adding(seconds: 100 * 86_400)) == 0)
        #expect(throws: NodeError.self) {
            var entropy = Entropy(seed: 356)
            _ = try NodeKeys(directory: path, now: start.adding(seconds: 91 * 86_400), entropy: &entropy)
        }
        #expect(!FileManager.default.fileExists(atPath: path + "/cluster.key"))
    }
}
