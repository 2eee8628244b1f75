import Directory
import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Federation

@Suite("Newcomers to the map")
struct NewcomerTests {
    private let worlds = RootGossipTests()
    private let epoch = RootGossipTests.epoch
    private static let evening: UInt64 = 20 * 3600

    private func handle(_ network: inout MapNetwork, _ event: MapEvent, _ node: Int) throws -> [MapEffect] {
        try network.cores[node].handle(
            event, now: network.now, entropy: &network.entropy, store: &network.stores[node])
    }

    /// A network that has followed its map through a midnight.
    private func world(_ count: Int, seed: UInt64) throws -> MapNetwork {
        var network = try worlds.world(count, seed: seed)
        try worlds.at(&network, 620)
        try worlds.at(&network, 1200)
        return network
    }

    /// A server of a cluster, with a key that follows from `number`; its own word is that it is old.
    private func join(_ number: Int, cluster: Int, _ network: inout MapNetwork) throws -> NodeID {
        let server = try worlds.descriptor(number, cluster: cluster)
        try network.publish(cluster, server.encode())
        try network.run(milliseconds: 10_000)
        return server.nodeID
    }

    private func placement(_ core: MapCore, _ epoch: UInt64, _ shared: Bytes32, _ old: [Placement.Node]) -> Placement {
        let mapped = core.servers.values.map {
            Placement.Node(
                id: $0.nodeID, cluster: $0.clusterID, prefix: $0.udp.prefix, countsFrom: core.countsFrom($0.nodeID))
        }
        return Placement(nodes: mapped + old, epoch: epoch, shared: shared)
    }

    @Test(
        "a server that joins when the next day's shared value is known, with a key tried for a place beside a record, holds it on no map that day"
    )
    func grinding() throws {
        var network = try world(6, seed: 300)
        try worlds.at(&network, NewcomerTests.evening)
        var entropy = Entropy(seed: 301)
        let shared: Bytes32 = entropy.bytes()
        let later: Bytes32 = entropy.bytes()
        let record = VerifyingKey(entropy.bytes())
        // The network has a hundred servers more, which play no part in the gossip here.
        let old = (0..<100).map { index in
            Placement.Node(id: entropy.bytes(), cluster: VerifyingKey(entropy.bytes()), prefix: [20, UInt8(index)])
        }
        // A liar with an admitted cluster tries keys until one would hold the record tomorrow.
        let chosen = try #require(
            (1000..<5000).first { number in
                let id = Node.id(of: TestSigner(number, cluster: 4).key.publicKey)
                let mine = Placement.Node(id: id, cluster: TestCluster(4).id, prefix: [10, 4])
                let ring = Placement(nodes: old + [mine], epoch: epoch + 1, shared: shared).rings(of: record)[0]
                return ring.first == id
            })
        let id = try join(chosen, cluster: 4, &network)
        for node in 0..<6 {
            let core = network.cores[node]
            #expect(core.server(id) != nil)
            #expect(core.countsFrom(id) == epoch + 2)
            #expect(!placement(core, epoch + 1, shared, old).holders(of: record).contains(id))
            // The day after it counts as any other; the value of that day was not known when it came.
            #expect(placement(core, epoch + 2, shared, old).holders(of: record).contains(id))
            #expect(!placement(core, epoch + 2, later, old).rings(of: record)[0].prefix(1).contains(id))
        }
        // Who was there at midnight counts.
        #expect(network.cores[0].countsFrom(try worlds.descriptor(3, cluster: 3).nodeID) == 0)
    }

    @Test("a restart keeps who came lately; who was away for days takes nobody for new, and does not vouch for it")
    func restart() throws {
        var network = try world(6, seed: 302)
        try worlds.at(&network, NewcomerTests.evening)
        let id = try join(40, cluster: 4, &network)
        try network.restart(2, roots: [TestCluster(0).id])
        #expect(network.cores[2].countsFrom(id) == epoch + 2)
        // An hour of absence: whoever came meanwhile is new.
        let other = try join(41, cluster: 4, &network)
        #expect(network.cores[2].countsFrom(other) == epoch + 2)
        try worlds.at(&network, RootGossipTests.day + 60)
        #expect(network.cores[2].countsFrom(id) == epoch + 2)
        var absent = Tenure()
        var store = MemoryStore()
        let start = Timestamp(seconds: RootGossipTests.begin)
        try absent.advance(isLinked: true, start, &store)
        try absent.advance(isLinked: true, start.adding(seconds: 700), &store)
        let back = start.adding(seconds: 3 * RootGossipTests.day)
        absent = try Tenure(store)
        try absent.advance(isLinked: true, back, &store)
        try absent.arrived(Bytes16(id.bytes.prefix(16)) ?? Bytes16(), back, &store)
        #expect(absent.countsFrom(Bytes16(id.bytes.prefix(16)) ?? Bytes16()) == 0)
        #expect(!absent.isComplete(at: back.adding(seconds: RootGossipTests.day)))
        #expect(absent.isComplete(at: back.adding(seconds: 2 * RootGossipTests.day)))
    }

    @Test("a server that leaves the map for a while does not begin anew, and one that was new does not get old by it")
    func returning() throws {
        var tenure = Tenure()
        var store = MemoryStore()
        let ids = (1...2).compactMap { Bytes16([UInt8](repeating: $0, count: 16)) }
        var now = Timestamp(seconds: RootGossipTests.begin)
        try tenure.advance(isLinked: true, now, &store)
        try tenure.arrived(ids[0], now, &store)
        now = now.adding(seconds: 700)
        try tenure.advance(isLinked: true, now, &store)
        try tenure.arrived(ids[1], now, &store)
        for id in ids { try tenure.left(id, now, &store) }
        #expect(try store.count(Tenure.table) == 1)
        now = now.adding(seconds: 3600)
        for id in ids { try tenure.arrived(id, now, &store) }
        #expect(tenure.countsFrom(ids[0]) == 0)
        #expect(tenure.countsFrom(ids[1]) == epoch + 2)
        now = now.adding(seconds: 2 * RootGossipTests.day)
        try tenure.advance(isLinked: true, now, &store)
        #expect(tenure.countsFrom(ids[1]) == 0)
        #expect(try store.count(Tenure.table) == 1)
    }

    /// An agent that starts in the evening asks; `tamper` is what the servers in the way make of answers.
    private func ask(
        _ network: inout MapNetwork, seed: UInt64, tamper: (Int, MapInquiry) -> MapInquiry? = { $1 }
    ) throws -> Int {
        var configuration = MapConfiguration()
        configuration.isAgent = true
        let agent = try network.addNode(roots: [TestCluster(0).id], configuration: configuration)
        try network.connect(agent, 2)
        try network.run(milliseconds: 8_000)
        for _ in 0..<12 {
            network.now = network.now.adding(milliseconds: 11_000)
            for case .inquire(let questions) in try handle(&network, .wake, agent) {
                for question in questions {
                    guard case .askNewcomers = question.inquiry else { continue }
                    let number = try #require(
                        [0, 1, 2, 3, 4, 5, 40].first {
                            Node.id(of: TestSigner($0, cluster: 0).key.publicKey) == question.server
                        })
                    // Number 40 is a second server of cluster 4.
                    let node = number == 40 ? 4 : number
                    let reply = network.cores[node].answerInquiry(question.body, at: network.now)
                    let answer = try MapInquiry(decoding: try #require(reply))
                    guard let said = tamper(node, answer) else { continue }
                    _ = try handle(&network, .inquired(said.encode()), agent)
                }
            }
        }
        return agent
    }

    @Test(
        "an agent that was not there asks a sample of clusters, of which a minority can neither hide one nor slander another"
    )
    func poll() throws {
        var network = try world(6, seed: 303)
        // Through another midnight: now the servers know of everybody who came in two days.
        try worlds.at(&network, RootGossipTests.day + NewcomerTests.evening - 700)
        for node in 0..<6 {
            let isComplete = network.cores[node].newcomers.tenure.isComplete(at: network.now)
            #expect(isComplete)
        }
        let id = try join(40, cluster: 4, &network)
        let victim = NewcomerPage.name(
            Bytes16(try worlds.descriptor(5, cluster: 5).nodeID.bytes.prefix(16)) ?? Bytes16())
        let lying = try ask(&network, seed: 304) { node, answer in
            guard node == 1 || node == 3, case .newcomers(let tag, var page) = answer else { return answer }
            page.entries = [.init(name: victim, isOfToday: true)]
            return .newcomers(tag: tag, page)
        }
        #expect(network.cores[lying].countsFrom(id) == network.now.epoch + 2)
        #expect(network.cores[lying].newcomers.tenure.arrivals.count == 1)
        #expect(network.cores[lying].view(at: network.now).newcomers == [id: network.now.epoch + 2])
        // What it was told lasts over a restart, and it need not ask again.
        var configuration = MapConfiguration()
        configuration.isAgent = true
        let again = try MapCore(
            configuration: configuration, admission: Admission(roots: [TestCluster(0).id]), now: network.now,
            store: network.stores[lying])
        #expect(again.countsFrom(id) == network.now.epoch + 2)
        #expect(again.newcomers.tenure.isComplete(at: network.now))
        // Forged answers are counted; without enough answers everybody counts.
        let silent = try ask(&network, seed: 305) { node, answer in
            guard node < 2, case .newcomers(let tag, let page) = answer else { return nil }
            return .newcomers(tag: tag ^ 1, page)
        }
        #expect(network.cores[silent].countsFrom(id) == 0)
        #expect(network.cores[silent].counters.unknown > 0)
    }

    @Test("answers have as many pages as they need, and those of servers that do not know are no votes")
    func pages() throws {
        var entropy = Entropy(seed: 306)
        let clusters = Dictionary(
            uniqueKeysWithValues: (0..<5).map { (TestCluster($0).id, [entropy.bytes() as NodeID]) })
        let now = Timestamp(seconds: RootGossipTests.begin)
        var poll = NewcomerPoll(epoch: epoch, clusters: clusters, entropy: &entropy)
        let names = (0..<450).map { UInt64($0) * 3 }
        var asked = 0
        var isFirst = true
        while poll.verdict == nil, asked < 100 {
            for question in poll.questions(now, &entropy) {
                asked += 1
                guard case .askNewcomers(let tag, let after) = question.inquiry else { continue }
                let rest = names.filter { name in after.map { name > $0 } ?? true }
                let part = rest.prefix(NewcomerPage.entryLimit)
                let page = NewcomerPage(
                    epoch: epoch, isComplete: !isFirst, hasMore: rest.count > part.count,
                    entries: part.map { .init(name: $0, isOfToday: $0 % 2 == 0) })
                isFirst = false
                let sent = try MapInquiry(decoding: MapInquiry.newcomers(tag: tag, page).encode())
                #expect(sent == .newcomers(tag: tag, page))
                #expect(sent.encode().count <= 1990)
                let isTaken = poll.take(tag, page)
                let isTakenTwice = poll.take(tag, page)
                #expect(isTaken && !isTakenTwice)
            }
        }
        let verdict = try #require(poll.verdict)
        #expect(verdict.count == 450)
        #expect(verdict[3] == epoch - 1 && verdict[6] == epoch)
        // One knew nothing; of the other four, all pages of three came before the fourth was through or with it.
        #expect(asked <= 13)
    }
}

@Suite("The endorsement budget")
struct EndorsementBudgetTests {
    /// A full ring of established clusters, 0 the root, each a peer of the next three.
    private func established(_ count: Int) throws -> Admission {
        var admission = Admission(roots: [TestCluster(0).id])
        for number in 0..<count { try note(&admission, number, count, adding: []) }
        _ = admission.refresh()
        #expect(admission.admitted.count == count)
        admission.beginEpoch()
        _ = admission.refresh()
        #expect(admission.admitted.count == count)
        return admission
    }

    private func note(_ admission: inout Admission, _ number: Int, _ count: Int, adding: [Int]) throws {
        let ring = Set([1, 2, 3, count - 1, count - 2, count - 3].map { (number + $0) % count }).subtracting([number])
        try admission.note(
            TestCluster(number).descriptor(endorsing: (ring.sorted() + adding).map { TestCluster($0).id }.sorted()))
    }

    @Test("two clusters bring in eight in an epoch, the same on every map whatever comes first, and more in the next")
    func budget() throws {
        let fresh = Array(200..<230)
        var sets: [Set<VerifyingKey>] = []
        for seed in UInt64(0)..<4 {
            var admission = try established(64)
            var order = fresh + [10, 20]
            var entropy = Entropy(seed: seed)
            entropy.shuffle(&order)
            for number in order {
                if number < 64 {
                    try note(&admission, number, 64, adding: fresh)
                } else {
                    try admission.note(
                        TestCluster(number).descriptor(endorsing: [10, 20].map { TestCluster($0).id }.sorted()))
                }
                if seed < 2 { _ = admission.refresh() }
            }
            _ = admission.refresh()
            #expect(admission.admitted.count == 72)
            sets.append(admission.admitted)
            let kept = fresh.first { !admission.admits(TestCluster($0).id) }
            guard case .waiting = admission.reason(for: TestCluster(try #require(kept)).id) else {
                Issue.record("no reason")
                return
            }
            admission.beginEpoch()
            _ = admission.refresh()
            #expect(admission.admitted.count == 80)
        }
        #expect(Set(sets).count == 1)
    }

    @Test("who came in this epoch brings in nobody before the next")
    func chain() throws {
        var admission = try established(64)
        try note(&admission, 10, 64, adding: [200, 201])
        try note(&admission, 20, 64, adding: [200, 201])
        for number in [200, 201] {
            try admission.note(
                TestCluster(number).descriptor(endorsing: [10, 20, 300].map { TestCluster($0).id }.sorted()))
        }
        try admission.note(TestCluster(300).descriptor(endorsing: [200, 201].map { TestCluster($0).id }.sorted()))
        _ = admission.refresh()
        #expect(admission.admits(TestCluster(200).id) && !admission.admits(TestCluster(300).id))
        admission.beginEpoch()
        _ = admission.refresh()
        #expect(admission.admits(TestCluster(300).id))
    }

    @Test("a damaged note of when a server came, or of when the map was followed, stops nobody")
    func damaged() throws {
        let now = Timestamp(seconds: 1_800_000_000)
        var store = MemoryStore()
        try store.put(Tenure.table, [UInt8](repeating: 7, count: 16), [UInt8](repeating: 0xff, count: 8))
        try store.put(Tenure.table, [0], [UInt8](repeating: 0xff, count: 16))
        var tenure = try Tenure(store)
        #expect(tenure.arrivals.isEmpty)
        try tenure.advance(isLinked: true, now, &store)
        #expect(!tenure.isComplete(at: now))
        #expect(tenure.page(after: nil, now).entries.isEmpty)
    }

    @Test("a small network is not rationed")
    func small() throws {
        var admission = try established(8)
        let fresh = Array(200..<220)
        for number in [1, 2] { try note(&admission, number, 8, adding: fresh) }
        for number in fresh {
            try admission.note(TestCluster(number).descriptor(endorsing: [1, 2].map { TestCluster($0).id }.sorted()))
        }
        _ = admission.refresh()
        #expect(admission.admitted.count == 28)
    }
}
