import Foundation
import Home
import LMDB
import Primitives
import Storage
import Testing
import Wire

@testable import Node

/// Messages for somebody else, which take the space of a home's store.
private struct OtherInbox: ~Copyable {
    private var home = HomeCore(node: Bytes32())
    private var entropy = Entropy(seed: 130)
    private let environment: LMDBEnvironment

    /// - Parameter folder: the data directory of a node that does not run.
    init(_ folder: String, storeMiB: Int) throws {
        environment = try LMDBEnvironment(
            path: folder + "/store", mapSize: storeMiB << 20, tables: CoreOwner.tables)
    }

    /// Lets messages come until so many bytes are left before the home refuses any.
    mutating func fill(leaving room: Int) throws {
        let owner = SigningKey(&entropy)
        try ask(HomeRequest.register(home: Bytes32(), token: "", key: owner))
        let account = Account.id(of: owner.publicKey)
        let limit = environment.mapSize / 10 * 9 - room
        try #require(environment.usedBytes < limit, "the store has no room for the test")
        while environment.usedBytes < limit {
            let blob = entropy.array(HomeRequest.Delivery.blobLimit)
            try ask(.deliver(.init(account: account, messageID: entropy.bytes(), blob: blob)))
        }
    }

    private mutating func ask(_ request: HomeRequest) throws {
        try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
            _ = try home.handle(
                .request(body: request.encode(), replyBlocks: []), now: .now(), store: &transaction)
        }
    }
}

@Suite struct FullHomeTests {
    @Test("a home whose store is full refuses and says so, and loses and doubles nothing", .timeLimit(.minutes(8)))
    func fullHome() throws {
        let overlay = try Overlay(clusters: 5, network: 130)
        _ = try Program.run(["testbed", "down", "--dir", overlay.folder.path])
        let text = try String(contentsOfFile: overlay.configuration(2), encoding: .utf8)
        let lines = text.split(separator: "\n").map { $0.hasPrefix("store_mib") ? "store_mib = 1" : String($0) }
        try lines.joined(separator: "\n").write(toFile: overlay.configuration(2), atomically: true, encoding: .utf8)
        var inbox = try OtherInbox(overlay.folder.path + "/cluster-2", storeMiB: 1)
        try inbox.fill(leaving: 200 << 10)
        _ = consume inbox
        try overlay.restart()

        let alice = try User(overlay, address: "127.130.1.1")
        let bob = try User(overlay, address: "127.130.2.1")
        try alice.run("register", "--home", "cluster-1")
        try bob.run("register", "--home", "cluster-2")
        try #require(try overlay.status(2).home.accounts.count == 2)
        // More than there is room for, so that some must be refused.
        let messages = (0..<5).map { String(format: "%02d", $0) + String(repeating: "ab", count: 10_000) }
        for message in messages {
            try alice.run("send", bob.id, "-", "--timeout", "0", input: message, expect: 75)
        }
        var refused = 0
        for _ in 0..<6 where refused == 0 {
            _ = try Program.run(["inbox", "--flush", "--timeout", "8"], environment: alice.environment)
            refused = try overlay.status(2).counters["home.full", default: 0]
        }
        #expect(refused > 0)
        #expect(try overlay.status(2).counters["core.storage.failed", default: 0] == 0)

        var received: [User.Message] = []
        for _ in 0..<12 where received.count < messages.count {
            _ = try Program.run(["inbox", "--wait", "1", "--timeout", "10"], environment: bob.environment)
            _ = try Program.run(["inbox", "--flush", "--timeout", "8"], environment: alice.environment)
            received = try bob.inbox("--stored")
        }
        #expect(received.map(\.text).sorted() == messages)
    }
}
