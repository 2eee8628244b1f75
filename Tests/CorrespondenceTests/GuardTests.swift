import Federation
import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Correspondence

/// Gateways that an agent stays with, against somebody who makes them fail or changes the map.
@Suite struct GuardTests {
    /// A network of gateways, each a cluster of its own.
    private struct Network {
        var places: [NodeID: GuardList.Place] = [:]
        var nodes: [NodeID] { places.keys.sorted() }

        init(_ count: Int, _ entropy: inout Entropy) {
            for _ in 0..<count {
                places[entropy.bytes()] = GuardList.Place(cluster: VerifyingKey(entropy.bytes()), family: nil)
            }
        }
    }

    private static let start = Timestamp(seconds: 20_000 * 86_400)

    @Test("whoever makes every gateway fail that an agent uses leads it through eight of 500, in 60 days")
    func killer() throws {
        print("seed 110")
        var entropy = Entropy(seed: 110)
        let network = Network(500, &entropy)
        var guards = GuardList()
        var touched: Set<NodeID> = []
        var now = GuardTests.start
        let end = now.adding(seconds: 60 * 86_400)
        guards.choose(2, places: network.places, homes: [], now: now, entropy: &entropy)
        #expect(guards.wanted.count == 2)
        var rounds = 0
        while now < end, rounds < 200_000 {
            rounds += 1
            for node in guards.wanted {
                touched.insert(node)
                // Some fail at once, some after a loop, some take everything and pass nothing on.
                if entropy.below(3) == 0 { guards.worked(node, now: now) }
                guards.failed(node, isDeaf: entropy.below(2) == 0, now: now)
            }
            guards.choose(2, places: network.places, homes: [], now: now, entropy: &entropy)
            if guards.wanted.isEmpty { now = max(guards.nextChoice ?? now, now.adding(milliseconds: 600_000)) }
        }
        #expect(touched.count == GuardList.sampleLimit)
        #expect(now >= end)
    }

    @Test("whoever takes gateways off the map leads an agent through eight in twenty days, and off them for no longer")
    func mapChanges() throws {
        print("seed 111")
        var entropy = Entropy(seed: 111)
        let whole = Network(500, &entropy)
        var guards = GuardList()
        var touched: Set<NodeID> = []
        var now = GuardTests.start
        var listed = whole.places
        for _ in 0..<(19 * 24 * 12) {
            guards.choose(2, places: listed, homes: [], now: now, entropy: &entropy)
            for node in guards.wanted {
                touched.insert(node)
                listed[node] = nil
            }
            now = now.adding(seconds: 300)
        }
        #expect(touched.count == GuardList.sampleLimit)
        // Back on the map, the first are used again.
        guards.choose(2, places: whole.places, homes: [], now: now, entropy: &entropy)
        #expect(guards.wanted.count == 2 && touched.isSuperset(of: guards.wanted))
        // Gone for twenty days they are forgotten, and the agent finds others.
        now = now.adding(seconds: 20 * 86_400)
        guards.choose(2, places: listed, homes: [], now: now, entropy: &entropy)
        #expect(guards.wanted.count == 2 && touched.isDisjoint(with: guards.wanted))
    }

    @Test("a guard that works comes first again after it had failed, and a third one goes")
    func recovery() throws {
        var entropy = Entropy(seed: 112)
        let network = Network(50, &entropy)
        var guards = GuardList()
        var now = GuardTests.start
        func choose() { guards.choose(2, places: network.places, homes: [], now: now, entropy: &entropy) }
        choose()
        let first = guards.wanted
        for node in first { guards.worked(node, now: now) }
        guards.failed(first[0], isDeaf: false, now: now)
        choose()
        #expect(guards.wanted.first == first[1] && guards.wanted.count == 2 && !guards.wanted.contains(first[0]))
        let retry = try #require(guards.nextChoice)
        #expect(retry == now.adding(milliseconds: GuardList.firstRetry))
        now = retry
        choose()
        // Tried beside the two that work, until a loop has come back.
        #expect(guards.wanted.count == 3 && guards.wanted[0] == first[0])
        #expect(!guards.isHealthy(first[0]))
        guards.worked(first[0], now: now)
        choose()
        #expect(guards.wanted == first)
    }

    @Test("all are tried again within half a minute when none works")
    func networkDown() throws {
        var entropy = Entropy(seed: 113)
        let network = Network(50, &entropy)
        var guards = GuardList()
        var now = GuardTests.start
        for _ in 0..<40 {
            guards.choose(2, places: network.places, homes: [], now: now, entropy: &entropy)
            for node in guards.wanted { guards.failed(node, isDeaf: false, now: now) }
            now = now.adding(seconds: 120)
        }
        guards.choose(2, places: network.places, homes: [], now: now, entropy: &entropy)
        for node in guards.wanted { guards.failed(node, isDeaf: false, now: now) }
        guards.choose(2, places: network.places, homes: [], now: now, entropy: &entropy)
        let retry = try #require(guards.nextChoice)
        #expect(retry <= now.adding(milliseconds: GuardList.firstRetry))
    }

    @Test("guards are never of one operator or the home's, while there are others")
    func operators() throws {
        var entropy = Entropy(seed: 114)
        var network = Network(6, &entropy)
        let nodes = network.nodes
        let home = try #require(network.places[nodes[0]])
        for node in nodes[1...3] {
            network.places[node] = GuardList.Place(cluster: try #require(network.places[node]).cluster, family: 7)
        }
        for seed in UInt64(0)..<20 {
            var draw = Entropy(seed: seed)
            var guards = GuardList()
            guards.choose(2, places: network.places, homes: [home], now: GuardTests.start, entropy: &draw)
            #expect(guards.wanted.count == 2 && !guards.wanted.contains(nodes[0]))
            #expect(guards.wanted.count { network.places[$0]?.family == 7 } <= 1)
        }
        var guards = GuardList()
        guards.choose(2, places: [nodes[0]: home], homes: [home], now: GuardTests.start, entropy: &entropy)
        #expect(guards.wanted == [nodes[0]])
    }

    @Test("guards survive a restart in their order, and end after some months")
    func restart() throws {
        var entropy = Entropy(seed: 115)
        let network = Network(50, &entropy)
        var store = MemoryStore()
        var guards = GuardList()
        var now = GuardTests.start
        guards.choose(2, places: network.places, homes: [], now: now, entropy: &entropy)
        let second = guards.wanted[1]
        guards.worked(second, now: now)
        try guards.save(unless: [], &store)
        var again = try GuardList(store)
        again.choose(2, places: network.places, homes: [], now: now, entropy: &entropy)
        #expect(Set(again.wanted) == Set(guards.wanted) && again.wanted[0] == second)
        #expect(again.nodes == guards.nodes)
        for _ in 0..<120 {
            now = now.adding(seconds: 86_400)
            again.choose(2, places: network.places, homes: [], now: now, entropy: &entropy)
        }
        #expect(Set(again.nodes).isDisjoint(with: guards.nodes))
    }

    @Test("a gateway of a cluster that lets no agents of others enter is not drawn")
    func closed() throws {
        let servers = try World(seed: 116).servers.map(\.descriptor)
        var network = NetworkView()
        network.update(MapView(servers: servers), epoch: GuardTests.start.epoch)
        #expect(Set(network.gateways.keys) == Set(servers.map(\.nodeID)))
        let closed = Set(servers[2...4].map(\.clusterID))
        network.update(MapView(servers: servers, closedToAgents: closed), epoch: GuardTests.start.epoch)
        #expect(Set(network.gateways.keys) == Set((servers[0...1] + servers[5...]).map(\.nodeID)))
    }

    @Test("over one link the mailbox of one day is claimed; a new day's, and that of a new key, over another link")
    func mailboxes() throws {
        var world = try World(seed: 159, start: Timestamp(seconds: (World.noon.epoch + 1) * 86_400 - 300))
        var slow = AgentConfiguration()
        slow.rate = 3
        for home in 0..<2 { try world.register(try world.addAgent(slow), at: home) }
        #expect(try world.run(seconds: 120) { $0.agents.allSatisfy { $0.registered.count == 1 } })
        let before = world.agents[0].claims.count
        // Past midnight, before the new links, and after them.
        for seconds in [200, 700] {
            try world.run(seconds: seconds)
            let accepted = world.agents[0].delivered.count
            try world.send(0, to: 1, "\(seconds)")
            #expect(try world.run(seconds: 60) { $0.agents[0].delivered.count == accepted + 1 })
        }
        #expect(world.agents[0].claims.count == before + 2)
        try world.rotate(0)
        #expect(try world.run(seconds: 60) { $0.agents[0].serials == [1] })
        #expect(world.agents[0].claims.count == before + 4)
        #expect(world.agents[0].claims.allSatisfy { $0.secrets.count == 1 })
        #expect(Set(world.agents[0].claims.suffix(6).flatMap(\.secrets)).count == 6)
    }
}
