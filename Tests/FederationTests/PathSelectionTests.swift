import Primitives
import Records
import Testing
import Wire

@testable import Federation

@Suite("Path selection")
struct PathSelectionTests {
    private let epoch = MapNetwork.start.epoch

    /// `clusters` clusters of `each` servers; every cluster in its own /16 unless `prefix` says otherwise.
    private func servers(
        clusters: Int, each: Int, roles: ServerRoles = [.relay], prefix: (Int) -> (UInt8, UInt8) = { (127, UInt8($0)) }
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

    @Test("takes distinct relays, never two of one cluster and never an excluded one")
    func distinct() throws {
        let servers = try servers(clusters: 8, each: 4)
        let excluded = Set([servers[0].nodeID, servers[31].nodeID])
        var entropy = Entropy(seed: 90)
        for _ in 0..<500 {
            let path = try PathSelection.path(
                servers: servers, length: 3, excluding: excluded, epoch: epoch, entropy: &entropy)
            #expect(path.count == 3)
            #expect(Set(path.map(\.clusterID)).count == 3)
            #expect(Set(path.map(\.nodeID)).isDisjoint(with: excluded))
            // Of eight clusters six are free of the ends.
            #expect(Set(path.map(\.clusterID)).isDisjoint(with: [servers[0].clusterID, servers[31].clusterID]))
        }
    }

    @Test("gives every cluster the same chance, however many servers it runs, at every place of the path")
    func fairness() throws {
        var all = try servers(clusters: 9, each: 1)
        let large = TestCluster(9)
        for index in 0..<50 { all.append(try large.server(9000 + index, prefix: (127, 200))) }
        var entropy = Entropy(seed: 91)
        var counts = [[VerifyingKey: Int]](repeating: [:], count: 3)
        for _ in 0..<6000 {
            let path = try PathSelection.path(
                servers: all, length: 3, excluding: [], epoch: epoch, entropy: &entropy)
            for (place, server) in path.enumerated() { counts[place][server.clusterID, default: 0] += 1 }
        }
        for place in counts {
            #expect(place.count == 10)
            // Binomial with mean 600 and deviation 23.
            for count in place.values { #expect((480...720).contains(count)) }
        }
    }

    @Test("prefers different networks while the map has them, and does without when it has not")
    func prefixes() throws {
        // Six clusters share one /16, two have their own.
        let mixed = try servers(clusters: 8, each: 2) { $0 < 6 ? (127, 1) : (127, UInt8(100 + $0)) }
        var entropy = Entropy(seed: 92)
        var diverse = 0
        for _ in 0..<300 {
            let path = try PathSelection.path(
                servers: mixed, length: 3, excluding: [], epoch: epoch, entropy: &entropy)
            if Set(path.map(\.tcp.prefix)).count == 3 { diverse += 1 }
        }
        #expect(diverse == 300)
        let alike = try servers(clusters: 5, each: 2) { _ in (127, 1) }
        let path = try PathSelection.path(servers: alike, length: 3, excluding: [], epoch: epoch, entropy: &entropy)
        #expect(path.count == 3)
    }

    @Test("avoids the networks of the ends while it can")
    func endPrefixes() throws {
        let servers = try servers(clusters: 6, each: 1) { $0 < 3 ? (127, 1) : (127, UInt8(100 + $0)) }
        var entropy = Entropy(seed: 93)
        for _ in 0..<100 {
            let path = try PathSelection.path(
                servers: servers, length: 3, excluding: [servers[0].nodeID], epoch: epoch, entropy: &entropy)
            #expect(path.allSatisfy { $0.tcp.prefix != [127, 1] })
        }
    }

    @Test("uses the clusters of the ends when there are no others")
    func fewClusters() throws {
        let servers = try servers(clusters: 3, each: 2)
        var entropy = Entropy(seed: 94)
        let path = try PathSelection.path(
            servers: servers, length: 3, excluding: [servers[0].nodeID, servers[2].nodeID], epoch: epoch,
            entropy: &entropy)
        #expect(Set(path.map(\.clusterID)).count == 3)
    }

    @Test("passes over servers that mix nothing or have no key of the epoch, and says what is missing")
    func unusable() throws {
        var entropy = Entropy(seed: 95)
        let homes = try servers(clusters: 5, each: 1, roles: [.home, .gateway])
        #expect(throws: PathError.tooFewClusters(needed: 3, available: 0)) {
            try PathSelection.path(servers: homes, length: 3, excluding: [], epoch: epoch, entropy: &entropy)
        }
        let relays = try servers(clusters: 2, each: 9)
        #expect(throws: PathError.tooFewClusters(needed: 3, available: 2)) {
            try PathSelection.path(servers: relays, length: 3, excluding: [], epoch: epoch, entropy: &entropy)
        }
        #expect(throws: PathError.tooFewClusters(needed: 1, available: 0)) {
            try PathSelection.path(servers: relays, length: 1, excluding: [], epoch: epoch + 1, entropy: &entropy)
        }
        #expect(throws: PathError.tooFewClusters(needed: -1, available: 2)) {
            try PathSelection.path(servers: relays, length: -1, excluding: [], epoch: epoch, entropy: &entropy)
        }
        #expect(
            try PathSelection.path(servers: [], length: 0, excluding: [], epoch: epoch, entropy: &entropy).isEmpty)
    }

    @Test("is the same from the same seed")
    func determinism() throws {
        let servers = try servers(clusters: 7, each: 3)
        var left = Entropy(seed: 96)
        var right = Entropy(seed: 96)
        for _ in 0..<50 {
            let one = try PathSelection.path(
                servers: servers, length: 3, excluding: [], epoch: epoch, entropy: &left)
            let two = try PathSelection.path(
                servers: servers, length: 3, excluding: [], epoch: epoch, entropy: &right)
            #expect(one == two)
        }
    }
}

@Suite("A bootstrap list")
struct BootstrapListTests {
    private func link(_ port: UInt16) -> PeerLink {
        PeerLink(
            clusterID: TestCluster(Int(port)).id, linkKey: X25519PublicKey(Bytes32()),
            address: SocketAddress(v4: (127, 0, 0, 1), port: port))
    }

    @Test("is one link a line, with comments, empty lines and any kind of line break")
    func format() throws {
        let text =
            "# peers\r\n\r\n  \(link(1).text)  \n\t\n\(link(2).text) # the second\n#\(link(3).text)\n"
            + link(4).text
        let list = try BootstrapList(text: text)
        #expect(list.links == [link(1), link(2), link(4)])
        #expect(try BootstrapList(text: list.text) == list)
        #expect(Admission(bootstrap: list).roots == Set([1, 2, 4].map { TestCluster($0).id }))
        for empty in ["", "\n", "# nothing", "   "] { #expect(try BootstrapList(text: empty).links.isEmpty) }
    }

    @Test("names the line of the first error")
    func errors() throws {
        let cases: [(String, BootstrapList.Failure)] = [
            ("\n# x\nhulda-per:abc", .line(3, .noScheme)),
            ("\(link(1).text)\n\(link(2).text) \(link(3).text)", .line(2, .invalidHost)),
            ("\(link(1).text)\r\n\(link(2).text.dropLast(2)):0\r\n", .line(2, .invalidPort)),
            ("hulda-peer:", .line(1, .noAddress)),
        ]
        for (text, failure) in cases {
            #expect(throws: failure, "\(text)") { try BootstrapList(text: text) }
        }
        #expect(BootstrapList.Failure.line(3, .noScheme).description.contains("line 3"))
    }

    @Test("has at most 1024 links")
    func limit() throws {
        let line = link(1).text + "\n"
        #expect(try BootstrapList(text: String(repeating: line, count: 1024)).links.count == 1024)
        #expect(throws: BootstrapList.Failure.tooMany) { try BootstrapList(text: String(repeating: line, count: 1025)) }
    }
}
