import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Federation

@Suite("Measured capacity")
struct CapacityTests {
    private static func relays(_ count: Int, _ entropy: inout Entropy) -> [CapacityBook.Relay] {
        (0..<count).map { _ in
            CapacityBook.Relay(node: entropy.bytes(), cluster: VerifyingKey(entropy.bytes()))
        }
    }

    /// What every cluster says of the relays that it measures.
    private func reports(
        _ book: CapacityBook, _ relays: [CapacityBook.Relay], _ says: (VerifyingKey, CapacityBook.Relay) -> UInt8
    ) -> [VerifyingKey: [UInt64: UInt8]] {
        var reports: [VerifyingKey: [UInt64: UInt8]] = [:]
        for relay in relays {
            for measurer in book.measurers(of: relay) {
                reports[measurer, default: [:]][CapacityStatement.name(relay.node)] = says(measurer, relay)
            }
        }
        return reports
    }

    @Test("is measured by nine clusters that follow from the seed, never the relay's own or one of its family")
    func assignment() throws {
        var entropy = Entropy(seed: 130)
        let relays = Self.relays(200, &entropy)
        let family = Dictionary(uniqueKeysWithValues: relays.prefix(20).map { ($0.cluster, UInt64(1)) })
        let book = CapacityBook(relays: relays, families: family, seed: entropy.bytes())
        let other = CapacityBook(relays: relays, families: family, seed: entropy.bytes())
        var load: [VerifyingKey: Int] = [:]
        var kept = 0
        for (number, relay) in relays.enumerated() {
            let measurers = book.measurers(of: relay)
            #expect(Set(measurers).count == CapacityBook.measurers)
            #expect(!measurers.contains(relay.cluster))
            if number < 20 { #expect(measurers.allSatisfy { family[$0] == nil }) }
            for measurer in measurers { load[measurer, default: 0] += 1 }
            kept += Set(measurers).intersection(other.measurers(of: relay)).count
        }
        for relay in relays.prefix(20) {
            let targets = book.targets(of: relay.cluster)
            #expect(targets.count == min(load[relay.cluster] ?? 0, CapacityStatement.entryLimit))
        }
        // Of 1800 places 81 would stay the same by chance.
        #expect(kept < 150)
    }

    @Test("is moved neither by a relay's own word nor, beyond the honest reports, by four of its nine measurers")
    func collusion() throws {
        var entropy = Entropy(seed: 131)
        let relays = Self.relays(100, &entropy)
        let book = CapacityBook(relays: relays, seed: entropy.bytes())
        let honest = reports(book, relays) { _, _ in UInt8(2 + entropy.below(3)) }
        let weights = book.weights { honest[$0] }
        #expect(weights.count == 100)
        for relay in relays.prefix(40) {
            let name = CapacityStatement.name(relay.node)
            // Its own cluster, and everybody whom nobody asked, praise it.
            var praised = honest
            let measurers = book.measurers(of: relay)
            for other in relays where !measurers.contains(other.cluster) {
                praised[other.cluster, default: [:]][name] = 6
            }
            #expect(book.weights { praised[$0] }[relay.node] == weights[relay.node])
            // Four of nine measurers lie, each way.
            for (lie, isPraise) in [(UInt8(6), true), (0, false)] {
                var lied = honest
                for liar in measurers.prefix(4) { lied[liar]?[name] = lie }
                let said = measurers.dropFirst(4).compactMap { honest[$0]?[name] }
                let bound = try #require(isPraise ? said.max() : said.min())
                var even = honest
                for measurer in measurers { even[measurer]?[name] = bound }
                let moved = try #require(book.weights { lied[$0] }[relay.node])
                let limit = try #require(book.weights { even[$0] }[relay.node])
                #expect(isPraise ? moved <= limit : moved >= limit)
            }
        }
    }

    @Test("bounds what a third of all clusters gains that lie together: below half of all paths")
    func thirdColludes() throws {
        var entropy = Entropy(seed: 132)
        let relays = Self.relays(600, &entropy)
        let liars = Set(relays.prefix(200).map(\.cluster))
        let book = CapacityBook(relays: relays, seed: entropy.bytes())
        let lies = reports(book, relays) { measurer, relay in
            guard liars.contains(measurer) else { return 4 }
            return liars.contains(relay.cluster) ? 6 : 0
        }
        let weights = book.weights { lies[$0] }
        let all = relays.reduce(0) { $0 + (weights[$1.node] ?? 0) }
        let theirs = relays.prefix(200).reduce(0) { $0 + (weights[$1.node] ?? 0) }
        print("a third of the clusters, lying together: \(theirs / all) of the weight")
        #expect(theirs / all > 1.0 / 3 && theirs / all < 0.5)
        #expect(relays.allSatisfy { weights[$0.node].map(PathIndex.weightBounds.contains) ?? false })
    }

    @Test("is measured of nearly all relays where clusters have ten servers each, and all of it is stated")
    func clusters() throws {
        var entropy = Entropy(seed: 135)
        let clusters: [VerifyingKey] = (0..<50).map { _ in VerifyingKey(entropy.bytes()) }
        let relays = clusters.flatMap { cluster in
            (0..<10).map { _ in CapacityBook.Relay(node: entropy.bytes(), cluster: cluster) }
        }
        let book = CapacityBook(relays: relays, seed: entropy.bytes())
        let key = SigningKey(&entropy)
        var said: [VerifyingKey: [UInt64: UInt8]] = [:]
        var most = 0
        for cluster in clusters {
            let targets = book.targets(of: cluster)
            most = max(most, targets.count)
            let results = Dictionary(uniqueKeysWithValues: targets.map { ($0, UInt8(3)) })
            let statement = CapacityStatement(epoch: 20_000, results: results, server: key.publicKey) { key.sign($0) }
            let read = try CapacityStatement(decoding: statement.encode())
            // Relays whose names are alike in 13 bits are left out.
            #expect(read.entries.count >= targets.count - 20 && read.isSigned && read == statement)
            said[cluster] = Dictionary(uniqueKeysWithValues: read.entries.map { ($0.relay, $0.step) })
        }
        #expect(most > 150)
        let weights = book.weights { said[$0] }
        print("relays with a weight: \(weights.count) of \(relays.count), the most in a statement \(most)")
        #expect(weights.count >= 495)
    }

    @Test("makes no weight of fewer than five reports, and none that is zero")
    func few() throws {
        var entropy = Entropy(seed: 133)
        let relays = Self.relays(30, &entropy)
        let book = CapacityBook(relays: relays, seed: entropy.bytes())
        let measurers = book.measurers(of: relays[0])
        let name = CapacityStatement.name(relays[0].node)
        for count in 0...9 {
            let heard = Set(measurers.prefix(count))
            let weights = book.weights { heard.contains($0) ? [name: 0] : nil }
            #expect(weights[relays[0].node] == (count < 5 ? nil : 1))
        }
        let dead = reports(book, relays) { _, relay in relay.node == relays[0].node ? 0 : 5 }
        #expect(book.weights { dead[$0] }[relays[0].node] == 0.25)
        #expect(CapacityBook(relays: [], seed: Bytes32()).weights { _ in nil }.isEmpty)
    }

    @Test("is stated in signed statements, of which every damage is noticed")
    func statements() throws {
        var entropy = Entropy(seed: 134)
        let key = SigningKey(&entropy)
        var results: [NodeID: UInt8] = [:]
        for number in 0..<300 {
            let prefix = UInt16(number << 3)
            let id = [UInt8(prefix >> 8), UInt8(prefix & 255)] + entropy.array(30)
            results[try #require(Bytes32(id))] = UInt8(entropy.below(7))
        }
        let large = CapacityStatement(epoch: 20_000, results: results, server: key.publicKey) { key.sign($0) }
        #expect(large.encode().count == 102 + 2 * 255 && large.entries.count == 255)
        #expect(try CapacityStatement(decoding: large.encode()) == large && large.isSigned)
        for flip in bitFlips(large.encode()) {
            if let read = try? CapacityStatement(decoding: flip) { #expect(!read.isSigned) }
        }
        #expect(CapacityMessage.pack([large.encode()])[0].encode().count <= Limits.envelopeSize)
        results = Dictionary(uniqueKeysWithValues: results.prefix(32).map { ($0.key, $0.value) })
        let statement = CapacityStatement(epoch: 20_000, results: results, server: key.publicKey) { key.sign($0) }
        let bytes = statement.encode()
        #expect(bytes.count == 102 + 7 * 32 && statement.entries.count == 32)
        #expect(statement.isSigned)
        #expect(try CapacityStatement(decoding: bytes) == statement)
        for count in bytes.indices {
            #expect(throws: WireError.self) { try CapacityStatement(decoding: Array(bytes[..<count])) }
        }
        for flip in bitFlips(bytes) {
            if let read = try? CapacityStatement(decoding: flip) { #expect(!read.isSigned) }
        }
        let messages = CapacityMessage.pack([[UInt8]](repeating: bytes, count: 20))
        #expect(messages.count == 3)
        for message in messages + [.have([1, 2, 3]), .want([4])] {
            let encoded = message.encode()
            #expect(encoded.count <= Limits.envelopeSize)
            #expect(try CapacityMessage(decoding: encoded) == message)
            for count in encoded.indices {
                #expect(throws: WireError.self) { try CapacityMessage(decoding: Array(encoded[..<count])) }
            }
        }
    }

    @Test("is handed out once an epoch, spreads to nodes and agents once, survives a restart, and weighs the next day")
    func spreading() throws {
        let worlds = RootGossipTests()
        var network = try worlds.world(8, seed: 135)
        var configuration = MapConfiguration()
        configuration.isAgent = true
        let agent = try network.addNode(roots: [TestCluster(0).id], configuration: configuration)
        try network.connect(agent, 4)
        try network.run(milliseconds: 9_000)
        let last = RootGossipTests.epoch - 1
        let slow = Node.id(of: TestSigner(3, cluster: 3).key.publicKey)
        for node in 0..<8 {
            let targets = network.cores[node].book(last, network.now).targets(of: TestCluster(node).id)
            #expect(!targets.isEmpty)
            let results = Dictionary(uniqueKeysWithValues: targets.map { ($0, UInt8($0 == slow ? 2 : 3)) })
            try network.handle(.measured(epoch: last, results), node)
            // Said once only.
            try network.handle(.measured(epoch: last, results.mapValues { _ in 6 }), node)
        }
        network.now = Timestamp(seconds: RootGossipTests.begin + 10)
        let sent = network.cores[4].counters.sentBytes
        try network.run(milliseconds: 90_000)
        for node in 0...8 { #expect(network.cores[node].capacity.places.count == 8) }
        print("bytes sent by a node with three links, of all kinds: \(network.cores[4].counters.sentBytes - sent)")
        for node in 0...8 {
            let view = network.cores[node].view(at: network.now)
            #expect(view.weights.count == 8)
            #expect(view.weights[slow] == 0.5 && view.servers.count { view.weights[$0.nodeID] == 1 } == 7)
        }
        let again = try MapCore(
            admission: Admission(roots: [TestCluster(0).id]), now: network.now, store: network.stores[2])
        #expect(again.capacity.places == network.cores[2].capacity.places)
        // Two days later they are forgotten.
        for seconds: UInt64 in [86_410, 87_330] {
            network.now = Timestamp(seconds: RootGossipTests.begin + seconds)
            try network.run(milliseconds: 10_000)
        }
        #expect(network.cores[2].capacity.places.isEmpty)
        #expect(try network.stores[2].count(MapCore.capacityTable) == 0)
    }

    @Test("is asked of another who has it when the one that was asked keeps silent")
    func silence() throws {
        let (now, have) = (MapNetwork.start, CapacityMessage.have([7, 8]).encode())
        var store = MemoryStore()
        var core = try MapCore(admission: Admission(roots: []), now: now, store: store)
        var entropy = Entropy(seed: 137)
        func wants(_ event: MapEvent, _ now: Timestamp) throws -> [UInt64: [UInt64]] {
            var wants: [UInt64: [UInt64]] = [:]
            for case .send(let link, let bytes) in try core.handle(event, now: now, entropy: &entropy, store: &store) {
                if case .want(let names)? = try? CapacityMessage(decoding: bytes) { wants[link, default: []] += names }
            }
            return wants
        }
        for link in UInt64(1)...2 { #expect(try wants(.linkUp(link: link, peer: Bytes32()), now).isEmpty) }
        #expect(try wants(.message(link: 1, have), now) == [1: [7, 8]])
        #expect(try wants(.message(link: 2, have), now).isEmpty)
        #expect(try wants(.wake, now.adding(seconds: 20)).isEmpty)
        #expect(try wants(.wake, now.adding(seconds: 31)) == [2: [7, 8]])
        // Nobody else has offered it.
        #expect(try wants(.wake, now.adding(seconds: 70)).isEmpty)
        // What a link offers is bounded.
        for start in stride(from: UInt64(1000), to: 4000, by: 300) {
            let names = CapacityMessage.have(Array(start..<start + 300)).encode()
            for link in UInt64(1)...2 { _ = try wants(.message(link: link, names), now.adding(seconds: 71)) }
        }
        #expect(core.capacity.links[2]?.offers.count == 1024)
    }

    /// What node 1 is told to measure when it wakes so many seconds into the epoch.
    private func measures(_ network: inout MapNetwork, _ seconds: UInt64) throws -> [(epoch: UInt64, targets: [NodeID])]
    {
        network.now = Timestamp(seconds: RootGossipTests.begin + seconds)
        var asked: [(epoch: UInt64, targets: [NodeID])] = []
        let effects = try network.cores[1].handle(
            .wake, now: network.now, entropy: &network.entropy, store: &network.stores[1])
        for case .measure(let epoch, let targets, let end) in effects {
            // What is stated then has five hours to spread.
            #expect(end == Timestamp(seconds: RootGossipTests.begin + 68_400))
            asked.append((epoch, targets))
        }
        return asked
    }

    @Test("is measured from the second hour of an epoch on, by the cluster's server with the lowest node ID")
    func handedOut() throws {
        let worlds = RootGossipTests()
        var network = try worlds.world(8, seed: 136)
        #expect(try measures(&network, 3500).isEmpty)
        let asked = try measures(&network, 3700)
        #expect(asked.count == 1 && asked[0].epoch == RootGossipTests.epoch && !asked[0].targets.isEmpty)
        #expect(try measures(&network, 3800).isEmpty)
    }
}
