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

    @Test(
        "of mixing are renewed by the timer each day, and old ones destroyed after the grace, not while the clock is on trial"
    )
    func mixKeys() async throws {
        try await withNode("renewed", at: "127.189.0.3:7411", renew)
    }

    private func renew(_ node: NodeRuntime) throws {
        let path = node.configuration.dataDirectory
        let addresses = try NodeAddresses(node.configuration)
        func files() throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: path).filter { $0.hasPrefix("mix-") }.sorted()
        }
        func keys(_ epochs: UInt64...) -> [String] { epochs.map { "mix-\($0).key" } }
        let today = try #require(node.ledger.ring.epochs.last) - 1
        let before = try files()
        #expect(before.suffix(2) == keys(today, today + 1))

        // Tomorrow, by a clock that has leapt: nothing is destroyed before it has held for a while.
        let leap = Timestamp(seconds: (today + 1) * Timestamp.secondsPerEpoch + 60)
        #expect(node.renewKeys(addresses, now: leap))
        #expect(try files() == before)
        let soon = leap.adding(milliseconds: ClockWatch.trial)
        #expect(node.renewKeys(addresses, now: soon))
        #expect(node.ledger.ring.epochs == [today, today + 1, today + 2])
        #expect(try files() == keys(today, today + 1, today + 2))

        // The hour of grace is over.
        let later = leap.adding(seconds: 3600)
        #expect(node.renewKeys(addresses, now: later))
        #expect(node.ledger.ring.epochs == [today + 1, today + 2])
        #expect(try files() == keys(today + 1, today + 2))
        #expect(node.ledger.counters["core.keys.kept"] == nil)

        // One that cannot be destroyed is counted and left for the next time.
        let stuck = "\(path)/mix-\(today).key"
        try FileManager.default.createDirectory(atPath: stuck, withIntermediateDirectories: false)
        for count in 1...2 {
            #expect(node.renewKeys(addresses, now: later.adding(seconds: UInt64(60 * count))))
            #expect(node.ledger.counters["core.keys.kept"] == UInt64(count))
        }
        try FileManager.default.removeItem(atPath: stuck)
        try Data(repeating: 7, count: 32).write(to: URL(fileURLWithPath: stuck))
        #expect(node.renewKeys(addresses, now: later.adding(seconds: 180)))
        #expect(try files() == keys(today + 1, today + 2))
        #expect(node.ledger.counters["core.keys.kept"] == 2)
    }
}
