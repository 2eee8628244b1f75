import Primitives
import Records
import Testing
import Wire

@testable import Directory

/// Whom a server asks whether it lives, and when it need not.
@Suite struct NeighbourWatchTests {
    private static let interval = DirectoryConfiguration().neighbourInterval

    private func node(_ network: borrowing DirectoryNetwork, _ index: Int) -> NodeID {
        Node.id(of: network.members[index].serverID)
    }

    @Test("of two neighbours one asks in each round, for it is heard by the other, and nobody falls silent")
    func onePing() throws {
        var network = try DirectoryNetwork.joined(seed: 70, 50)
        try network.run(milliseconds: 150_000)
        // Before settling all others are asked too.
        let later = network.now.adding(milliseconds: DirectoryCore.settleInterval)
        for index in network.members.indices { network.members[index].core.nextSettle = later }
        let before = network.pings
        try network.run(milliseconds: 4 * NeighbourWatchTests.interval)
        // Fifty servers, sixteen neighbours each, four rounds; twice as many if both asked.
        let pairs = 50 * 16 / 2 * 4
        let pings = network.pings - before
        #expect(pings >= pairs * 3 / 4 && pings <= pairs * 5 / 4, "\(pings) for \(pairs)")
        #expect(network.members.allSatisfy { $0.core.silent.isEmpty })
    }

    @Test("who is silent is asked ever more seldom, and who comes back says so itself within a minute")
    func comesBack() throws {
        var network = try DirectoryNetwork.joined(seed: 71, 50)
        try network.run(milliseconds: 60_000)
        let gone = node(network, 7)
        let neighbours = network.members.indices.filter { network.members[$0].core.nearby.contains(gone) }
        #expect(neighbours.count == 16)
        network.members[7].isUp = false
        try network.run(milliseconds: 240_000)
        #expect(neighbours.allSatisfy { network.members[$0].core.silent.contains(gone) })
        try network.restart(7)
        try network.handle(7, .map(network.nodes))
        try network.run(milliseconds: 60_000)
        #expect(neighbours.allSatisfy { !network.members[$0].core.silent.contains(gone) })
    }

    @Test("a silent neighbour is asked after 3.5 minutes, 7, and then each 8; whoever is heard, after 105 seconds")
    func waits() {
        var entropy = Entropy(seed: 72)
        let (node, now) = (entropy.bytes(Bytes32.self), DirectoryNetwork.noon)
        let endpoint = Endpoint(
            linkKey: X25519PublicKey(entropy.bytes()), address: SocketAddress(v4: (10, 1, 1, 1), port: 4000))
        let interval = NeighbourWatchTests.interval
        var watch = NeighbourWatch()
        watch.replace([(node, endpoint)])
        func wait() -> UInt64? {
            (0...600).first { watch.isDue(node, now.adding(seconds: $0)) }
        }
        #expect(wait() == 0)
        watch.asked(node, isSilent: false, interval: interval, now)
        #expect(wait() == 105)
        // Its answer came over a new session, which proves nothing to it: it is asked once more.
        watch.heard(node, interval: interval, now)
        #expect(wait() == 0)
        watch.asked(node, isSilent: false, interval: interval, now)
        watch.heard(node, interval: interval, now)
        #expect(wait() == 105)
        for seconds in [210, 420, 480, 480] as [UInt64] {
            watch.asked(node, isSilent: true, interval: interval, now)
            #expect(wait() == seconds)
        }
        watch.heard(node, interval: interval, now)
        #expect(wait() == 105)
        watch.turnBack(by: 60_000)
        #expect(wait() == 45)
        watch.replace([])
        watch.heard(node, interval: interval, now)
        #expect(watch.node(at: endpoint) == nil && wait() == 0)
    }

    @Test("only from the proven address that the map names is a neighbour's request heard")
    func proven() throws {
        var network = try DirectoryNetwork.joined(seed: 73, 20)
        try network.run(milliseconds: 60_000)
        let other = node(network, 3)
        network.members[3].isUp = false
        try network.run(milliseconds: 240_000)
        #expect(network.members[0].core.silent.contains(other))
        let endpoint = network.members[3].endpoint
        let elsewhere = Endpoint(linkKey: endpoint.linkKey, address: SocketAddress(v4: (10, 3, 0, 2), port: 4000))
        func isHeard(from endpoint: Endpoint, isProven: Bool) throws -> Bool {
            let ping = DirectoryMessage.ping.encode()
            try network.handle(0, .request(from: endpoint, isProven: isProven, token: 1, message: ping))
            return !network.members[0].core.silent.contains(other)
        }
        #expect(try !isHeard(from: endpoint, isProven: false))
        #expect(try !isHeard(from: elsewhere, isProven: true))
        #expect(try isHeard(from: endpoint, isProven: true))
    }
}
