import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Federation

@Suite("Maps that compare by coded symbols")
struct ExchangeTests {
    /// As a large map behaves, however small it is.
    private var large: MapConfiguration {
        var configuration = MapConfiguration()
        configuration.smallMap = 0
        configuration.slowestInterval = 5000
        return configuration
    }

    /// Two nodes that trust one cluster and hold the same servers of it; the first renews `renewed` and adds `new`.
    private func pair(
        _ seed: UInt64, servers: Int, renewed: Int, new: Int, configuration: MapConfiguration? = nil
    ) throws -> MapNetwork {
        var network = MapNetwork(seed: seed)
        let cluster = TestCluster(0)
        for _ in 0..<2 {
            let node = try network.addNode(roots: [cluster.id], configuration: configuration ?? large)
            for number in 0..<servers { try network.publish(node, cluster.server(number).encode()) }
        }
        for number in 0..<renewed { try network.publish(0, cluster.server(number, sequence: 2).encode()) }
        for number in servers..<servers + new { try network.publish(0, cluster.server(number).encode()) }
        return network
    }

    @Test("learn what is new for less than a third more than its own size, each thing once")
    func cost() throws {
        var network = try pair(210, servers: 150, renewed: 0, new: 100)
        let size = try (150..<250).reduce(0) { try $0 + TestCluster(0).server($1).encode().count }
        try network.connect(0, 1)
        try network.run(milliseconds: 8000)
        #expect(network.map(1) == network.map(0))
        let sent = network.cores.reduce(0) { $0 + $1.counters.sentBytes }
        #expect(10 * sent < 13 * UInt64(size))
        #expect(network.cores[1].counters.duplicates == 0)
    }

    @Test("an agent hears when its map is whole: the first time, of what came since, and of nothing new")
    func whole() throws {
        var network = try pair(219, servers: 200, renewed: 0, new: 0, configuration: MapConfiguration())
        var configuration = MapConfiguration()
        configuration.isAgent = true
        let agent = try network.addNode(roots: [TestCluster(0).id], configuration: configuration)
        let link = try network.connect(agent, 0)
        try network.run(milliseconds: 2500)
        #expect(network.compared.map(\.node) == [agent] && network.map(agent) == network.map(0))
        // The other node holds the same: there is nothing to come, and that is said at once.
        try network.connect(agent, 1)
        try network.run(milliseconds: 500)
        #expect(network.compared.map(\.link) == [link, link + 1])
        // What is new comes without being asked for; the next comparison says that this is all.
        let count = network.compared.count
        try network.publish(0, TestCluster(0).server(400).encode())
        try network.run(milliseconds: 8000)
        #expect(network.compared.count > count && network.map(agent) == network.map(0))
        #expect(network.compared.allSatisfy { $0.node == agent })
    }

    @Test("an agent that takes only some of a map, by whom it trusts, is whole all the same")
    func foreign() throws {
        var network = MapNetwork(seed: 220)
        let own = TestCluster(1)
        let other = TestCluster(2)
        let node = try network.addNode(roots: [own.id, other.id])
        for number in 0..<4 { try network.publish(node, own.server(number).encode()) }
        for number in 4..<8 { try network.publish(node, other.server(number).encode()) }
        var configuration = MapConfiguration()
        configuration.isAgent = true
        let agent = try network.addNode(roots: [own.id], configuration: configuration)
        try network.connect(agent, node)
        try network.run(milliseconds: 1000)
        #expect(network.compared.count == 1 && network.map(agent).count == 4)
    }

    @Test("are told of a renewal without what they have of it already, and whole where they have not")
    func renewals() throws {
        var network = try pair(211, servers: 60, renewed: 40, new: 0)
        try network.connect(0, 1)
        try network.run(milliseconds: 8000)
        #expect(network.map(1) == network.map(0))
        #expect(network.cores[1].counters.incomplete == 0)
        let sent = network.cores[0].counters.sentBytes
        let size = try (0..<40).reduce(0) { try $0 + TestCluster(0).server($1).encode().count }
        #expect(sent < UInt64(size))
        // A third node has none of them, so a renewal alone does not do.
        let third = try network.addNode(roots: [TestCluster(0).id], configuration: large)
        try network.connect(third, 0)
        try network.run(milliseconds: 20_000)
        #expect(network.map(third) == network.map(0))
        #expect(network.cores[third].counters.incomplete == 40)
    }

    @Test("compare bucket by bucket when the difference is beyond the bound of cells")
    func walk() throws {
        var configuration = large
        configuration.symbolLimit = 2 * ExchangeMessage.symbolsPerMessage
        configuration.serversPerCluster = 2000
        var network = try pair(212, servers: 10, renewed: 0, new: 800, configuration: configuration)
        try network.connect(0, 1)
        try network.run(milliseconds: 30_000)
        #expect(network.map(1) == network.map(0))
        #expect(network.cores.contains { $0.counters.walks > 0 })
    }

    @Test("ask for more cells until they suffice, twice as many each time")
    func more() throws {
        var configuration = large
        configuration.serversPerCluster = 2000
        var network = try pair(213, servers: 10, renewed: 0, new: 500, configuration: configuration)
        try network.connect(0, 1)
        try network.run(milliseconds: 8000)
        #expect(network.map(1) == network.map(0))
        #expect(network.cores.allSatisfy { $0.counters.walks == 0 })
        #expect(network.cores.contains { $0.counters.undecoded > 0 })
    }

    @Test("are not sent again what they have no use for")
    func refusal() throws {
        var network = MapNetwork(seed: 214)
        // The second does not trust the stranger whom the first trusts, and cannot use his servers.
        try network.addNode(roots: [TestCluster(0).id, TestCluster(1).id], configuration: large)
        try network.addNode(roots: [TestCluster(0).id], configuration: large)
        for number in 0..<30 { try network.publish(0, TestCluster(1).server(number).encode()) }
        try network.connect(0, 1)
        try network.run(milliseconds: 60_000)
        #expect(network.cores[1].serverTotal == 0)
        #expect(network.cores[1].counters.pending == 30)
        #expect(network.cores[1].counters.duplicates == 0)
        #expect(network.cores[0].counters.exchanges + network.cores[1].counters.exchanges > 8)
    }

    @Test("of old and new versions in one network become equal, both ways, also while they are upgraded in turn")
    func mixed() throws {
        var network = MapNetwork(seed: 215)
        let ids = (0..<8).map { TestCluster($0).id }
        for node in 0..<8 {
            network.pinned = node % 2 == 0 ? MapVersion.first : MapVersion.second
            try network.addNode(roots: [ids[0]])
            let endorsed = [1, 2, 6, 7].map { ids[(node + $0) % 8] }
            try network.publish(node, TestCluster(node).descriptor(endorsing: endorsed).encode())
            try network.publish(node, TestCluster(node).server(node).encode())
        }
        for node in 1..<8 { try network.connect(node, node - 1) }
        try network.run(milliseconds: 60_000)
        for node in 0..<8 { #expect(network.map(node).count == 8) }
        network.pinned = MapVersion.second
        for node in stride(from: 0, to: 8, by: 2) {
            try network.restart(node, roots: [ids[0]])
            let server = try TestCluster(7 - node).server(7 - node, sequence: UInt64(2 + node))
            try network.publish(7 - node, server.encode())
            try network.run(milliseconds: 20_000)
            for other in 0..<8 { #expect(network.map(other)[server.nodeID] == server.sequence) }
        }
        #expect(network.cores.allSatisfy { $0.peers.values.allSatisfy { $0.version == MapVersion.second } })
        #expect(network.cores.allSatisfy { $0.counters.malformed == 0 && $0.counters.forged == 0 })
    }

    @Test("speak the highest version that both sides have, and nothing where there is none")
    func versions() {
        #expect(MapVersion.common(1, 2, own: 2) == 2)
        #expect(MapVersion.common(1, 9, own: 2) == 2)
        #expect(MapVersion.common(1, 1, own: 2) == 1)
        #expect(MapVersion.common(2, 3, own: 1) == nil)
        #expect(MapVersion.common(3, 9, own: 2) == nil)
    }

    @Test("keep the same servers of a cluster that has too many, in whatever order they come")
    func crowded() throws {
        var configuration = large
        configuration.serversPerCluster = 5
        var network = MapNetwork(seed: 216)
        let cluster = TestCluster(0)
        for node in 0..<2 {
            try network.addNode(roots: [cluster.id], configuration: configuration)
            try network.connect(2 * node, try network.addNode(roots: [cluster.id], configuration: configuration))
        }
        for number in 0..<12 {
            for (place, link) in [(0, UInt64(0)), (2, UInt64(1))] {
                let server = try cluster.server(place == 0 ? number : 11 - number)
                try network.handle(.message(link: link, MapMessage.descriptor(server.encode()).encode()), place)
            }
        }
        #expect(network.map(0) == network.map(2))
        let ids = try (0..<12).map { try cluster.server($0).nodeID }.sorted()
        #expect(network.map(0).keys.sorted() == Array(ids[..<5]))
    }
}

@Suite("Version 2 from a hostile peer")
struct HostileExchangeTests {
    private func core(
        _ store: inout MemoryStore, _ entropy: inout Entropy, greeted: Bool = true, isAgent: Bool = false
    ) throws -> MapCore {
        let cluster = TestCluster(0)
        var configuration = MapConfiguration()
        configuration.smallMap = 0
        var core = try MapCore(
            configuration: configuration, admission: Admission(roots: [cluster.id]), now: MapNetwork.start,
            store: store)
        for number in 0..<20 {
            _ = try core.publish(cluster.server(number).encode(), now: MapNetwork.start, store: &store)
        }
        _ = try core.handle(
            .linkUp(link: 1, peer: isAgent ? nil : Bytes32()), now: MapNetwork.start, entropy: &entropy,
            store: &store)
        guard greeted else { return core }
        let hello = ExchangeMessage.hello(lowest: 1, highest: 2, salt: entropy.bytes()).encode()
        _ = try core.handle(
            .message(link: 1, hello), now: MapNetwork.start, entropy: &entropy, store: &store)
        return core
    }

    @Test("survives noise, mutated and truncated messages of every kind, and answers none beyond a frame")
    func fuzz() throws {
        let seed: UInt64 = 220
        print("exchange messages: seed \(seed)")
        var entropy = Entropy(seed: seed)
        var store = MemoryStore()
        var core = try core(&store, &entropy)
        var now = MapNetwork.start
        let server = try TestCluster(0).server(1, sequence: 2)
        let renewal = try #require(Renewal(server, id: MapDescriptor.server(server).id))
        var packer = ParcelPacker()
        packer.add(.renewal(renewal.encode()))
        packer.add(.descriptor(server.encode()))
        packer.add([1, 2, 3]) { .ask($0) }
        packer.add(.whole([renewal.id]))
        packer.add([MapDigest(id: renewal.id, sequence: 4)]) { .offer($0) }
        let cells = (0..<50).map { _ in CodedSymbol(sum: entropy.uint64(), check: 7) }
        let genuine: [[UInt8]] = [
            ExchangeMessage.hello(lowest: 1, highest: 2, salt: entropy.bytes()).encode(),
            ExchangeMessage.sketch(first: 0, held: 20, whole: 0, cells).encode(),
            ExchangeMessage.more(first: 0, count: 215).encode(),
            ExchangeMessage.parcel(packer.parcels[0]).encode(), ExchangeMessage.walk.encode(),
        ]
        for round in 0..<6000 {
            var bytes = genuine[entropy.below(genuine.count)]
            if round % 4 == 0 { bytes = [UInt8(6 + entropy.below(12))] + entropy.array(entropy.below(2700)) }
            entropy.damage(&bytes)
            for case .send(_, let body) in try core.handle(
                .message(link: 1, bytes), now: now, entropy: &entropy, store: &store)
            {
                #expect(body.count <= Limits.envelopeSize)
            }
            if round % 50 == 0 {
                now = now.adding(seconds: 6)
                _ = try core.handle(.wake, now: now, entropy: &entropy, store: &store)
            }
        }
        #expect(core.serverTotal == 20)
        #expect(core.counters.malformed > 300)
        #expect(core.counters.unknown > 300)
        for message in genuine {
            #expect(try ExchangeMessage(decoding: message).encode() == message)
        }
    }

    @Test("gets a bounded number of bytes for cells without end, and for questions without end")
    func endless() throws {
        var entropy = Entropy(seed: 221)
        var store = MemoryStore()
        var core = try core(&store, &entropy)
        let before = core.counters.sentFrames
        var first = 0
        for _ in 0..<2000 {
            let cells = (0..<ExchangeMessage.symbolsPerMessage).map { _ in
                CodedSymbol(sum: entropy.uint64(), check: UInt32(truncatingIfNeeded: entropy.uint64()))
            }
            if first + cells.count > ExchangeMessage.symbolLimit { first = 0 }
            let message = ExchangeMessage.sketch(first: first, held: 20, whole: 1, cells).encode()
            _ = try core.handle(.message(link: 1, message), now: MapNetwork.start, entropy: &entropy, store: &store)
            #expect((core.peers[1]?.incoming?.symbols.count ?? 0) <= ExchangeMessage.symbolLimit)
            first += cells.count
        }
        let more = ExchangeMessage.more(first: 0, count: ExchangeMessage.symbolLimit).encode()
        for _ in 0..<100 {
            _ = try core.handle(.message(link: 1, more), now: MapNetwork.start, entropy: &entropy, store: &store)
            _ = try core.handle(
                .message(link: 1, ExchangeMessage.walk.encode()), now: MapNetwork.start, entropy: &entropy,
                store: &store)
        }
        // At most 32 passes of 32 messages of cells, and what little the strange cells bring about.
        #expect(core.counters.sentFrames - before <= 32 * 32 + 80)
        #expect(core.counters.flooded > 1800)
    }

    @Test("is counted for cells of two states, kinds of later versions, versions in common with none, and no greeting")
    func counters() throws {
        var entropy = Entropy(seed: 222)
        var store = MemoryStore()
        var core = try core(&store, &entropy)
        func hear(_ bytes: [UInt8]) throws -> [MapEffect] {
            try core.handle(.message(link: 1, bytes), now: MapNetwork.start, entropy: &entropy, store: &store)
        }
        let cells = [CodedSymbol](repeating: CodedSymbol(sum: 1, check: 2), count: 3)
        #expect(try hear(ExchangeMessage.sketch(first: 3, held: 1, whole: 1, cells).encode()).isEmpty)
        #expect(core.counters.stale == 1)
        #expect(try hear([14, 1, 2, 3]).isEmpty)
        #expect(core.counters.malformed == 0 && core.counters.unknown == 1)
        var later = try TestCluster(0).descriptor(sequence: 9).encode()
        later[0] = 9
        #expect(try hear(MapMessage.descriptor(later).encode()).isEmpty)
        #expect(core.counters.later == 1)
        // Those of known kinds are known by their signatures, whatever their versions.
        for known in [
            try TestCluster(0).descriptor(sequence: 9).encode(), try TestCluster(0).server(3, sequence: 9).encode(),
        ] {
            later = known
            later[1] = 2
            #expect(try hear(MapMessage.descriptor(later).encode()).isEmpty)
        }
        #expect(core.counters.later == 1 && core.counters.forged == 2)
        var second = try self.core(&store, &entropy, greeted: false)
        func tell(_ bytes: [UInt8]) throws -> [MapEffect] {
            try second.handle(.message(link: 1, bytes), now: MapNetwork.start, entropy: &entropy, store: &store)
        }
        #expect(try tell(ExchangeMessage.walk.encode()).isEmpty)
        #expect(second.counters.unknown == 1)
        #expect(try tell(ExchangeMessage.hello(lowest: 3, highest: 9, salt: Bytes16()).encode()).isEmpty)
        #expect(second.counters.incompatible == 1)
        // A greeting of a later version may go on after what we know of it.
        let longer = ExchangeMessage.hello(lowest: 1, highest: 9, salt: Bytes16()).encode() + [1, 2, 3]
        #expect(try ExchangeMessage(decoding: longer) == .hello(lowest: 1, highest: 9, salt: Bytes16()))
    }

    @Test("is sent nothing where it speaks no version in common, also in a small map, and others are")
    func incompatible() throws {
        var entropy = Entropy(seed: 224)
        var store = MemoryStore()
        let now = MapNetwork.start
        var core = try MapCore(admission: Admission(roots: [TestCluster(0).id]), now: now, store: store)
        for link in UInt64(1)...2 {
            _ = try core.handle(.linkUp(link: link, peer: Bytes32()), now: now, entropy: &entropy, store: &store)
            let version: UInt8 = link == 1 ? 9 : 2
            let hello = ExchangeMessage.hello(lowest: version, highest: version, salt: entropy.bytes()).encode()
            _ = try core.handle(.message(link: link, hello), now: now, entropy: &entropy, store: &store)
            core.capacity.links[link]?.news = [1, 2, 3]
        }
        let published = try core.publish(TestCluster(0).server(1).encode(), now: now, store: &store)
        let woken = try core.handle(
            .wake, now: now.adding(seconds: 10), entropy: &entropy, store: &store)
        let told = (published + woken).compactMap { if case .send(let link, _) = $0 { link } else { nil } }
        #expect(Set(told) == [2])
    }

    @Test("has each counter among the sums that the operator sees")
    func sums() throws {
        let core = try MapCore(admission: Admission(roots: []), now: MapNetwork.start, store: MemoryStore())
        let counters = Mirror(reflecting: core.counters).children.count
        let roots = Mirror(reflecting: core.snapshotCounters).children.count
        // And the decisions, which admission counts.
        #expect(core.sums.count == counters + roots + 1)
    }

    @Test("that is an agent brings nothing into the map, and one sketch serves all agents")
    func agents() throws {
        var entropy = Entropy(seed: 223)
        var store = MemoryStore()
        var core = try core(&store, &entropy, isAgent: true)
        let server = try TestCluster(0).server(30)
        var packer = ParcelPacker()
        packer.add(.descriptor(server.encode()))
        let parcel = ExchangeMessage.parcel(packer.parcels[0]).encode()
        _ = try core.handle(.message(link: 1, parcel), now: MapNetwork.start, entropy: &entropy, store: &store)
        #expect(core.counters.fromAgents == 1)
        #expect(core.serverTotal == 20)
        for link in UInt64(2)...4 {
            // An agent's part counts as zero whatever it sends.
            let salt = link == 2 ? Bytes16() : entropy.bytes()
            let hello = ExchangeMessage.hello(lowest: 1, highest: 2, salt: salt).encode()
            _ = try core.handle(
                .linkUp(link: link, peer: nil), now: MapNetwork.start, entropy: &entropy, store: &store)
            _ = try core.handle(
                .message(link: link, hello), now: MapNetwork.start, entropy: &entropy, store: &store)
        }
        #expect(Set((UInt64(2)...4).compactMap { core.peers[$0]?.key }).count == 1)
    }
}

@Suite("Who speaks in an epoch")
struct SpeakerListTests {
    @Test("is everybody while clusters are few, and else 512 whom the epoch's value draws anew")
    func draw() {
        var entropy = Entropy(seed: 230)
        let clusters = (0..<2000).map { _ in VerifyingKey(entropy.bytes()) }
        let few = SpeakerList(epoch: 5, value: Bytes32(), clusters: clusters[..<512])
        #expect(few.speaking == Set(clusters[..<512]))
        let one = SpeakerList(epoch: 5, value: entropy.bytes(), clusters: clusters)
        let other = SpeakerList(epoch: 5, value: entropy.bytes(), clusters: clusters)
        #expect(one.speaking.count == 512 && one.taken.count == 1024)
        #expect(one.speaking.isSubset(of: one.taken))
        // Two independent draws of 512 of 2000 share 131 on average.
        #expect((80...190).contains(one.speaking.intersection(other.speaking).count))
        // Whose maps differ a little take the same speakers all the same.
        let near = SpeakerList(epoch: 5, value: Bytes32(), clusters: clusters[..<1900])
        let whole = SpeakerList(epoch: 5, value: Bytes32(), clusters: clusters)
        #expect(whole.speaking.intersection(clusters[..<1900]).isSubset(of: near.taken))
    }
}
