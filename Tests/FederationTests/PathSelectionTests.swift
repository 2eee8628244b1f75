import Primitives
import Records
import Testing
import Wire

@testable import Federation

@Suite("Path selection")
struct PathSelectionTests {
    private let epoch = MapNetwork.start.epoch

    /// `clusters` clusters of `each` servers; every cluster in its own /16 unless `prefix` says otherwise.
    static func servers(
        clusters: Int, each: Int, roles: ServerRoles = [.relay],
        prefix: (Int) -> (UInt8, UInt8) = { (UInt8(100 + $0 / 250), UInt8($0 % 250)) }
    ) throws -> [ServerDescriptor] {
        var all: [ServerDescriptor] = []
        for number in 0..<clusters {
            let cluster = TestCluster(number)
            for index in 0..<each {
                all.append(try cluster.server(1000 * number + index, roles: roles, prefix: prefix(number)))
            }
        }
        return all
    }

    private func index(_ servers: [ServerDescriptor], weights: [NodeID: Double] = [:]) -> PathIndex {
        PathIndex(MapView(servers: servers, weights: weights), epoch: epoch)
    }

    /// Pearson's statistic of counts against the shares expected.
    private func chiSquare(_ counts: [Int], _ shares: [Double]) -> Double {
        let total = Double(counts.reduce(0, +))
        return zip(counts, shares).reduce(0) { sum, cell in
            let expected = total * cell.1
            return sum + (Double(cell.0) - expected) * (Double(cell.0) - expected) / expected
        }
    }

    @Test("takes distinct relays, never two of one cluster and never an end")
    func distinct() throws {
        let servers = try Self.servers(clusters: 8, each: 4)
        let index = index(servers)
        let ends = [servers[0].nodeID, servers[31].nodeID]
        var entropy = Entropy(seed: 90)
        for _ in 0..<500 {
            let path = try index.path(length: 3, ends: ends, entropy: &entropy)
            #expect(path.count == 3)
            #expect(Set(path.map(\.clusterID)).count == 3)
            #expect(Set(path.map(\.nodeID)).isDisjoint(with: ends))
            // Of eight clusters six are free of the ends.
            #expect(Set(path.map(\.clusterID)).isDisjoint(with: [servers[0].clusterID, servers[31].clusterID]))
        }
    }

    @Test("gives every cluster the same chance, however many servers it runs, at every place of the path")
    func fairness() throws {
        var all = try Self.servers(clusters: 9, each: 1)
        let large = TestCluster(9)
        for index in 0..<50 { all.append(try large.server(9000 + index, prefix: (127, 200))) }
        let index = index(all)
        var entropy = Entropy(seed: 91)
        var counts = [[VerifyingKey: Int]](repeating: [:], count: 3)
        for _ in 0..<6000 {
            let path = try index.path(length: 3, ends: [], entropy: &entropy)
            for (place, server) in path.enumerated() { counts[place][server.clusterID, default: 0] += 1 }
        }
        for place in counts {
            #expect(place.count == 10)
            // 27.9 is exceeded once in a thousand times with nine degrees of freedom.
            #expect(chiSquare(Array(place.values), [Double](repeating: 0.1, count: 10)) < 27.9)
        }
    }

    @Test("draws clusters in proportion to their weights, which are bounded above and below")
    func weights() throws {
        let servers = try Self.servers(clusters: 10, each: 1)
        // One claims a thousandfold, one nothing; one was not measured.
        var weights = Dictionary(uniqueKeysWithValues: servers.map { ($0.nodeID, 1.0) })
        weights[servers[0].nodeID] = 1000
        weights[servers[1].nodeID] = 0
        weights[servers[2].nodeID] = nil
        let index = index(servers, weights: weights)
        var entropy = Entropy(seed: 97)
        var counts: [NodeID: Int] = [:]
        for _ in 0..<6000 {
            let path = try index.path(length: 1, ends: [], entropy: &entropy)
            counts[path[0].nodeID, default: 0] += 1
        }
        let expected = [4.0, 0.25, 0.5] + [Double](repeating: 1, count: 7)
        let sum = expected.reduce(0, +)
        let observed = servers.map { counts[$0.nodeID] ?? 0 }
        #expect(chiSquare(observed, expected.map { $0 / sum }) < 27.9)
    }

    @Test("takes one relay of each layer, by weight within it, once every layer has relays of eight clusters")
    func layers() throws {
        let servers = try Self.servers(clusters: 90, each: 1)
        let index = index(servers)
        #expect(index.isLayered)
        var entropy = Entropy(seed: 98)
        var counts = [[NodeID: Int]](repeating: [:], count: 3)
        for _ in 0..<9000 {
            let path = try index.path(length: 3, ends: [], entropy: &entropy)
            for (place, server) in path.enumerated() {
                #expect(index.layer(of: server.serverID) == place)
                counts[place][server.nodeID, default: 0] += 1
            }
        }
        for (layer, place) in counts.enumerated() {
            let members = servers.filter { index.layer(of: $0.serverID) == layer }
            #expect(members.count == place.count && members.count > 20)
            let shares = [Double](repeating: 1 / Double(members.count), count: members.count)
            // Mean n − 1 and deviation √2n; four deviations.
            let degrees = Double(members.count - 1)
            #expect(chiSquare(Array(place.values), shares) < degrees + 4 * (2 * degrees).squareRoot())
        }
        let few = self.index(Array(servers.prefix(20)))
        #expect(!few.isLayered && few.layer(of: servers[0].serverID) == nil)
    }

    @Test("moves relays to other layers with the epoch's seed, a third to each")
    func seeds() throws {
        let servers = try Self.servers(clusters: 300, each: 1)
        let root = Bytes32()
        let one = MixLayers.seed(epoch: epoch, root: root, value: nil)
        var entropy = Entropy(seed: 99)
        // The same root with the shared value: who tried roots before it was known has gained nothing.
        let other = MixLayers.seed(epoch: epoch, root: root, value: entropy.bytes())
        #expect(one == MixLayers.seed(epoch: epoch, root: nil, value: nil))
        var moves = [Int](repeating: 0, count: 9)
        for server in servers {
            moves[
                3 * MixLayers.layer(of: server.serverID, seed: one) + MixLayers.layer(of: server.serverID, seed: other)] +=
                1
        }
        #expect(chiSquare(moves, [Double](repeating: 1.0 / 9, count: 9)) < 26.1)
        let view = MapView(servers: servers, seeds: [epoch: other])
        #expect(
            view.seed(epoch) == other && view.seed(epoch + 1) == MixLayers.seed(epoch: epoch + 1, root: nil, value: nil)
        )
    }

    @Test("prefers different networks while the map has them, and does without when it has not")
    func prefixes() throws {
        // Six clusters share one /16, two have their own.
        let mixed = index(try Self.servers(clusters: 8, each: 2) { $0 < 6 ? (127, 1) : (127, UInt8(100 + $0)) })
        var entropy = Entropy(seed: 92)
        var diverse = 0
        for _ in 0..<300 {
            let path = try mixed.path(length: 3, ends: [], entropy: &entropy)
            if Set(path.map(\.tcp.prefix)).count == 3 { diverse += 1 }
        }
        #expect(diverse == 300)
        let alike = index(try Self.servers(clusters: 5, each: 2) { _ in (127, 1) })
        #expect(try alike.path(length: 3, ends: [], entropy: &entropy).count == 3)
    }

    @Test("avoids the networks of the ends while it can")
    func endPrefixes() throws {
        let servers = try Self.servers(clusters: 6, each: 1) { $0 < 3 ? (127, 1) : (127, UInt8(100 + $0)) }
        let index = index(servers)
        var entropy = Entropy(seed: 93)
        for _ in 0..<100 {
            let path = try index.path(length: 3, ends: [servers[0].nodeID], entropy: &entropy)
            #expect(path.allSatisfy { $0.tcp.prefix != [127, 1] })
        }
    }

    @Test("takes one cluster of an operator family, and none of an end's, while there are others")
    func families() throws {
        let servers = try Self.servers(clusters: 9, each: 1)
        // 0, 1 and 2 belong together, and so do 3 and 4.
        let contacts = ["Ann <ann@example>", "ann <ANN@example> ", "Ann <ann@example>", "bob", "bob", "", "", "c", "d"]
        let clusters = try contacts.enumerated().map { number, contact in
            try ClusterDescriptor(
                name: "c\(number)", sequence: 1, expiry: MapNetwork.start.seconds + 86_400, endorsements: [],
                contact: contact, software: "test", policy: [], key: TestCluster(number).key)
        }
        let families = MapView.families(of: clusters)
        #expect(families.count == 5)
        #expect(Set(clusters[0...2].map { families[$0.clusterID] }).count == 1)
        let index = PathIndex(MapView(servers: servers, families: families), epoch: epoch)
        var entropy = Entropy(seed: 100)
        for _ in 0..<300 {
            let path = try index.path(length: 3, ends: [servers[3].nodeID], entropy: &entropy)
            #expect(path.count { families[$0.clusterID] == families[servers[0].clusterID] } <= 1)
            #expect(!path.contains { $0.clusterID == servers[4].clusterID })
        }
        // Where everybody is of one family there are paths all the same.
        let only = PathIndex(MapView(servers: Array(servers[0...2]), families: families), epoch: epoch)
        #expect(try only.path(length: 3, ends: [], entropy: &entropy).count == 3)
    }

    @Test("is told which clusters keep their gateways to themselves")
    func closedGateways() throws {
        let policies: [ClusterPolicy] = [[], [.openRegistration], [.openGateway], [.openGateway, .openRegistration]]
        var clusters: [ClusterDescriptor] = []
        for (number, policy) in policies.enumerated() {
            clusters.append(
                try ClusterDescriptor(
                    name: "c", sequence: 1, expiry: MapNetwork.start.seconds + 86_400, endorsements: [], contact: "",
                    software: "test", policy: policy, key: TestCluster(number).key))
        }
        #expect(MapView.closedToAgents(of: clusters) == Set(clusters[0...1].map(\.clusterID)))
    }

    @Test("passes over suspects while others are left")
    func suspects() throws {
        let servers = try Self.servers(clusters: 6, each: 1)
        let index = index(servers)
        var entropy = Entropy(seed: 101)
        let suspects = Set(servers[0...1].map(\.nodeID))
        for _ in 0..<100 {
            let path = try index.path(length: 3, ends: [], avoiding: suspects, entropy: &entropy)
            #expect(suspects.isDisjoint(with: path.map(\.nodeID)))
        }
        let most = Set(servers[0...3].map(\.nodeID))
        let path = try index.path(length: 3, ends: [], avoiding: most, entropy: &entropy)
        #expect(most.intersection(path.map(\.nodeID)).count == 1)
    }

    @Test("leads through a relay that is named, at the place of its layer")
    func through() throws {
        let servers = try Self.servers(clusters: 90, each: 1)
        let index = index(servers)
        var entropy = Entropy(seed: 102)
        for server in servers.prefix(30) {
            let path = try index.path(length: 3, ends: [servers[80].nodeID], through: server.nodeID, entropy: &entropy)
            let place = try #require(index.layer(of: server.serverID))
            #expect(path[place].nodeID == server.nodeID)
            #expect(Set(path.map(\.clusterID)).count == 3 && Set(path.map(\.tcp.prefix)).count == 3)
        }
        #expect(throws: PathError.self) {
            try index.path(length: 3, ends: [], through: Bytes32(), entropy: &entropy)
        }
        let small = self.index(Array(servers.prefix(4)))
        for _ in 0..<20 {
            let path = try small.path(
                length: 3, ends: [servers[3].nodeID], through: servers[0].nodeID, entropy: &entropy)
            #expect(Set(path.map(\.nodeID)) == Set(servers[0...2].map(\.nodeID)))
        }
    }

    @Test("puts a further relay between a relay and who measures it, and one of another layer beside every relay")
    func measuring() throws {
        let servers = try Self.servers(clusters: 90, each: 1)
        let index = index(servers)
        var entropy = Entropy(seed: 103)
        let measurer = servers[80].nodeID
        for server in servers.prefix(40) {
            let loop = try index.loop(measuring: server.nodeID, from: measurer, entropy: &entropy)
            let place = try #require(loop.firstIndex { $0.nodeID == server.nodeID })
            #expect(place > 0 && place < loop.count - 1 && loop.count <= 4)
            #expect(!loop.contains { $0.nodeID == measurer })
            #expect(Set(loop.map(\.clusterID)).count == loop.count)
        }
        let few = self.index(Array(servers.prefix(4)))
        #expect(try few.loop(measuring: servers[0].nodeID, from: servers[3].nodeID, entropy: &entropy).count == 3)
    }

    @Test("uses the clusters of the ends when there are no others")
    func fewClusters() throws {
        let servers = try Self.servers(clusters: 3, each: 2)
        var entropy = Entropy(seed: 94)
        let path = try index(servers).path(
            length: 3, ends: [servers[0].nodeID, servers[2].nodeID], entropy: &entropy)
        #expect(Set(path.map(\.clusterID)).count == 3)
    }

    @Test("passes over servers that mix nothing or have no key of the epoch, and says what is missing")
    func unusable() throws {
        var entropy = Entropy(seed: 95)
        let homes = index(try Self.servers(clusters: 5, each: 1, roles: [.home, .gateway]))
        #expect(throws: PathError.tooFewClusters(needed: 3, available: 0)) {
            try homes.path(length: 3, ends: [], entropy: &entropy)
        }
        let relays = try Self.servers(clusters: 2, each: 9)
        #expect(throws: PathError.tooFewClusters(needed: 3, available: 2)) {
            try index(relays).path(length: 3, ends: [], entropy: &entropy)
        }
        let tomorrow = PathIndex(MapView(servers: relays), epoch: epoch + 1)
        #expect(throws: PathError.tooFewClusters(needed: 1, available: 0)) {
            try tomorrow.path(length: 1, ends: [], entropy: &entropy)
        }
        #expect(throws: PathError.tooFewClusters(needed: -1, available: 2)) {
            try index(relays).path(length: -1, ends: [], entropy: &entropy)
        }
        #expect(try index([]).path(length: 0, ends: [], entropy: &entropy).isEmpty)
    }

    @Test("is the same from the same seed")
    func determinism() throws {
        let servers = try Self.servers(clusters: 40, each: 3)
        var left = Entropy(seed: 96)
        var right = Entropy(seed: 96)
        for _ in 0..<50 {
            let one = try index(servers).path(length: 3, ends: [], entropy: &left)
            let two = try index(servers.reversed()).path(length: 3, ends: [], entropy: &right)
            #expect(one == two)
        }
    }
}
