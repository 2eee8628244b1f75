import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Federation

@Suite("A map whose clock is a day ahead and goes back")
struct ClockTests {
    private static let hour: UInt64 = 3600
    private let gossip = RootGossipTests()

    /// A node's new descriptor, by the right clock, with mix keys of today and tomorrow.
    private func renew(_ network: inout MapNetwork, _ node: Int, least: UInt64) throws {
        let signer = TestSigner(node, cluster: node)
        let clock = network.clock(node)
        var entropy = Entropy(seed: 3_000_000 + UInt64(node))
        let linkKey: Bytes32 = entropy.bytes()
        let keys = (clock.epoch - 1...clock.epoch + 1).map { epoch in
            var entropy = Entropy(seed: epoch << 8 | UInt64(node))
            return MixKeyEntry(epoch: epoch, key: X25519PublicKey(entropy.bytes()))
        }
        let address = SocketAddress(v4: (10, UInt8(truncatingIfNeeded: node), 0, 1), port: 7411)
        let id = Node.id(of: signer.certificate.serverID)
        let descriptor = try ServerDescriptor(
            certificate: signer.certificate,
            sequence: network.cores[node].nextSequence(ofServer: id, from: least), expiry: clock.seconds + 2 * 86_400,
            linkKey: X25519PublicKey(linkKey), tcp: address, udp: address, roles: .relay, mixKeys: keys, software: "",
            key: signer.key)
        try network.publish(node, descriptor.encode())
    }

    /// Four maps that have agreed on the snapshot of a day, two hours into it.
    private func world(seed: UInt64) throws -> MapNetwork {
        print("maps with wrong clocks: seed \(seed)")
        var network = try gossip.world(4, seed: seed)
        try gossip.at(&network, 700)
        try gossip.at(&network, 1300)
        try gossip.at(&network, 2 * ClockTests.hour)
        for node in 0..<4 { try renew(&network, node, least: 10) }
        try network.run(milliseconds: 10_000)
        return network
    }

    private func holders(_ network: borrowing MapNetwork, _ sequence: UInt64, of node: Int) -> [Int] {
        let id = Node.id(of: TestSigner(node, cluster: node).certificate.serverID)
        return (0..<4).filter { network.cores[$0].server(id)?.sequence == sequence }
    }

    @Test("keeps everything in ten minutes of it, and compares, learns and publishes at once when it is right again")
    func tenMinutes() throws {
        var network = try world(seed: 330)
        let epoch = RootGossipTests.epoch
        let before = network.map(1)
        let roots = network.cores[1].roots(epoch).count
        #expect(before.count == 4 && roots == 4)
        network.ahead[1] = 86_400
        try renew(&network, 1, least: 1000)
        try network.run(milliseconds: 600_000)
        #expect(network.map(1).keys.sorted() == before.keys.sorted())
        #expect(network.cores[1].roots(epoch).count == roots)
        network.ahead = [:]
        try network.run(milliseconds: 6_000)
        #expect(network.cores[1].counters.clockTurns == 1)
        let wait = try #require(network.cores[1].nextWake).milliseconds(since: network.now)
        #expect(wait <= 6000)
        // Its word of today is newer than that of tomorrow, and others' reach it.
        try renew(&network, 1, least: 500)
        try renew(&network, 2, least: 2000)
        try network.run(milliseconds: 20_000)
        #expect(holders(network, 1001, of: 1) == [0, 1, 2, 3])
        #expect(holders(network, 2000, of: 2) == [0, 1, 2, 3])
        #expect(network.cores[1].roots(epoch).count == roots)
        #expect(network.cores[1].roots(epoch + 1).isEmpty)
        let isRefused = network.cores[1].isViewRefused(at: network.now)
        #expect(!isRefused)
        // Restarted it knows of no day that has not begun either.
        try network.restart(1, roots: [TestCluster(0).id])
        #expect(network.cores[1].roots(epoch + 1).isEmpty)
    }

    @Test("signs nothing twice: of a day for which it has signed too early it keeps silent, and nobody is accused")
    func signatures() throws {
        var network = try world(seed: 331)
        let epoch = RootGossipTests.epoch
        network.ahead[1] = 86_400
        try network.run(milliseconds: 60_000)
        #expect(network.cores[1].snapshotCounters.signed == 2)
        #expect(network.cores[1].roots(epoch + 1).count == 1)
        network.ahead = [:]
        try network.run(milliseconds: 10_000)
        #expect(network.cores[1].roots(epoch + 1).isEmpty)
        for hours in stride(from: UInt64(4), through: 23, by: 1) {
            try gossip.at(&network, hours * ClockTests.hour, run: 6_000)
        }
        for node in 0..<4 { try renew(&network, node, least: 3000) }
        try gossip.at(&network, 86_400 + 590)
        try gossip.at(&network, 86_400 + 620, run: 100_000)
        for node in 0..<4 {
            #expect(
                network.cores[node].roots(epoch + 1).map(\.clusterID).sorted()
                    == [0, 2, 3].map { TestCluster($0).id }.sorted())
            #expect(network.cores[node].snapshotCounters.contradicting == 0)
        }
        #expect(network.cores[1].snapshotCounters.signed == 2)
        #expect(network.cores[1].ownSnapshot(epoch + 1) != nil)
    }

    @Test("forgets what is over when it was more than a leap, and takes all of it again when it was not")
    func hours() throws {
        var network = try world(seed: 332)
        network.ahead[1] = 3 * 86_400
        try network.run(milliseconds: 5_000)
        #expect(network.map(1).count == 4)
        network.ahead[1] = 3 * 86_400 + 1000
        try network.run(milliseconds: 6_000)
        #expect(network.map(1).isEmpty)
        network.ahead = [:]
        try network.run(milliseconds: 30_000)
        #expect(network.map(1) == network.map(0))
        #expect(network.cores[1].roots(RootGossipTests.epoch).count == 4)
        let usable = network.cores[1].usableTable(at: network.now).count
        #expect(usable == 4)
    }
}
