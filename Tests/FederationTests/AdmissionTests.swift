import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Federation

@Suite("Admission to the map")
struct AdmissionTests {
    /// Every listed cluster peers with the listed others, both ways.
    private func tell(_ listener: Listener, _ peers: [Int: [Int]], order: [Int], sequence: UInt64 = 1) throws {
        for number in order {
            let cluster = TestCluster(number)
            try listener.hear(cluster.server(number))
            let endorsed = (peers[number] ?? []).map { TestCluster($0).id }
            try listener.hear(cluster.descriptor(endorsing: endorsed, sequence: sequence))
        }
    }

    private func admitted(_ listener: Listener) -> Set<VerifyingKey> { Set(listener.core.clusters.keys) }

    private func ids(_ numbers: Int...) -> Set<VerifyingKey> { Set(numbers.map { TestCluster($0).id }) }

    @Test("follows one path of peerings while the map is small, in whatever order descriptors arrive")
    func chain() throws {
        for seed in UInt64(0)..<20 {
            var order = Array(0..<4)
            var shuffler = Entropy(seed: seed)
            shuffler.shuffle(&order)
            let listener = try Listener(roots: [TestCluster(0).id])
            try tell(listener, [0: [1], 1: [0, 2], 2: [1, 3], 3: [2]], order: order)
            #expect(listener.core.servers.count == 4, "order \(order)")
            #expect(listener.core.clusters.count == 4, "order \(order)")
            #expect(listener.core.pending.count == 0)
        }
    }

    @Test("needs two paths once the map has five clusters, in whatever order descriptors arrive")
    func twoPaths() throws {
        // A ring of five from the root, and two that hang on one cluster of it each.
        let peers = [0: [1, 4], 1: [0, 2], 2: [1, 3, 5], 3: [2, 4, 6], 4: [3, 0], 5: [2], 6: [3]]
        for seed in UInt64(0)..<20 {
            var order = Array(0..<7)
            var shuffler = Entropy(seed: seed)
            shuffler.shuffle(&order)
            let listener = try Listener(roots: [TestCluster(0).id])
            try tell(listener, peers, order: order)
            #expect(admitted(listener) == ids(0, 1, 2, 3, 4), "order \(order)")
            #expect(listener.core.servers.count == 5, "order \(order)")
            #expect(listener.core.admission.reason(for: TestCluster(5).id).isAdmitted == false)
            // They peer with each other, and so have a path over either cluster.
            try listener.hear(TestCluster(5).descriptor(endorsing: ids(2, 6).sorted(), sequence: 2))
            #expect(listener.core.servers.count == 5)
            try listener.hear(TestCluster(6).descriptor(endorsing: ids(3, 5).sorted(), sequence: 2))
            #expect(listener.core.servers.count == 7, "order \(order)")
            #expect(listener.core.pending.count == 0)
        }
    }

    @Test("is not given by an endorsement that is not returned")
    func oneSided() throws {
        let listener = try Listener(roots: ids(0))
        try tell(listener, [0: [1, 2], 1: [0], 2: []], order: [0, 1, 2])
        #expect(admitted(listener) == ids(0, 1))
        #expect(
            listener.core.admission.reason(for: TestCluster(2).id) == .noPath(endorsedBy: [TestCluster(0).id]))
        #expect(listener.core.admission.reason(for: TestCluster(9).id) == .unknown)
        #expect(listener.core.admission.reason(for: TestCluster(0).id) == .root)
        #expect(
            listener.core.admission.reason(for: TestCluster(1).id)
                == .smallMap([TestCluster(1).id, TestCluster(0).id]))
    }

    @Test("survives a restart: who was admitted by two paths is again, from the store alone")
    func restart() throws {
        let listener = try Listener(roots: ids(0))
        try tell(listener, [0: [1, 4], 1: [0, 2], 2: [1, 3], 3: [2, 4], 4: [3, 0]], order: [4, 3, 2, 1, 0])
        let second = try MapCore(admission: Admission(roots: ids(0)), now: listener.now, store: listener.store)
        #expect(second.admission.admitted == ids(0, 1, 2, 3, 4))
        #expect(second.servers.count == 5)
    }

    @Test("does not let a flood of strangers push out a cluster that waits for its second peering")
    func flood() throws {
        var configuration = MapConfiguration()
        configuration.pendingLimit = 20
        let listener = try Listener(roots: ids(0), configuration: configuration)
        try tell(listener, [0: [1, 4], 1: [0, 2], 2: [1, 3, 5], 3: [2, 4], 4: [3, 0]], order: [0, 1, 2, 3, 4])
        try listener.hear(TestCluster(5).descriptor(endorsing: ids(2, 3).sorted()))
        for number in 100..<200 { try listener.hear(TestCluster(number).descriptor()) }
        #expect(listener.core.pending.count == 21)
        try listener.hear(TestCluster(3).descriptor(endorsing: ids(2, 4, 5).sorted(), sequence: 2))
        #expect(admitted(listener) == ids(0, 1, 2, 3, 4, 5))
    }

    @Test("keeps out clusters that only vouch for each other")
    func strangers() throws {
        let listener = try Listener(roots: [TestCluster(0).id])
        for number in 5..<8 {
            let cluster = TestCluster(number)
            try listener.hear(cluster.server(number))
            try listener.hear(cluster.descriptor(endorsing: (5..<8).map { TestCluster($0).id }))
        }
        #expect(listener.core.servers.isEmpty)
        #expect(listener.core.clusters.isEmpty)
        #expect(try listener.store.count(MapCore.table) == 0)
        #expect(listener.core.counters.pending == 6)
        // The first endorses those of whom nothing is known yet; the others close the circle.
        #expect(listener.core.counters.circular == 2)
        // Nobody's endorsement, one that is not returned and one of an admitted cluster make none.
        try listener.hear(TestCluster(0).descriptor(endorsing: [TestCluster(10).id]))
        try listener.hear(TestCluster(8).descriptor())
        try listener.hear(TestCluster(9).descriptor(endorsing: [TestCluster(5).id]))
        try listener.hear(TestCluster(10).descriptor(endorsing: [TestCluster(0).id]))
        #expect(listener.core.counters.circular == 2)
    }

    @Test("ends when a peering that it needs is withdrawn by either side, and comes back with it")
    func withdrawal() throws {
        for side in [1, 2] {
            let listener = try Listener(roots: ids(0))
            try tell(listener, [0: [1], 1: [0, 2], 2: [1]], order: [0, 1, 2])
            #expect(listener.core.servers.count == 3)
            let kept = side == 1 ? ids(0) : []
            let effects = try listener.hear(TestCluster(side).descriptor(endorsing: kept.sorted(), sequence: 2))
            var lost: Set<NodeID> = []
            for case .lost(let id) in effects { lost.insert(id) }
            #expect(lost == [try TestCluster(2).server(2).nodeID])
            #expect(admitted(listener) == ids(0, 1))
            #expect(try listener.store.count(MapCore.table) == 4)
            let again = side == 1 ? ids(0, 2) : ids(1)
            try listener.hear(TestCluster(side).descriptor(endorsing: again.sorted(), sequence: 3))
            #expect(admitted(listener) == ids(0, 1, 2))
            #expect(listener.core.servers.count == 3)
            #expect(try listener.store.count(MapCore.table) == 6)
        }
    }

    @Test("ends when the descriptor of a peer on the only path expires")
    func expiry() throws {
        let listener = try Listener(roots: ids(0))
        try listener.hear(
            TestCluster(0).descriptor(endorsing: [TestCluster(1).id], expiry: MapNetwork.start.seconds + 50))
        try listener.hear(TestCluster(1).descriptor(endorsing: [TestCluster(0).id]))
        try listener.hear(TestCluster(1).server(1))
        #expect(listener.core.servers.count == 1)
        listener.now = MapNetwork.start.adding(seconds: 70)
        _ = try listener.core.handle(.wake, now: listener.now, entropy: &listener.entropy, store: &listener.store)
        #expect(listener.core.servers.isEmpty)
    }

    @Test("is bounded: no cluster has more than its share of servers, and the map no more than its capacity")
    func bounds() throws {
        var configuration = MapConfiguration()
        configuration.serversPerCluster = 3
        configuration.capacity = 5
        let listener = try Listener(roots: [TestCluster(0).id, TestCluster(1).id], configuration: configuration)
        for number in 0..<4 { try listener.hear(TestCluster(0).server(number)) }
        #expect(listener.core.servers.count == 3)
        for number in 10..<13 { try listener.hear(TestCluster(1).server(number)) }
        #expect(listener.core.servers.count == 5)
        #expect(listener.core.counters.full == 2)
        // What is in may still say something new.
        try listener.hear(TestCluster(0).server(0, sequence: 2))
        #expect(listener.core.servers.values.map(\.sequence).max() == 2)
    }
}

@Suite("A map under hostile messages")
struct HostileMapTests {
    @Test("counts forgeries, replays and duplicates, and stops listening to a forger until the next interval")
    func forgeries() throws {
        let cluster = TestCluster(0)
        let listener = try Listener(roots: [cluster.id])
        let newer = try cluster.server(1, sequence: 5)
        try listener.hear(newer)
        try listener.hear(newer)
        try listener.hear(cluster.server(1, sequence: 4))
        try listener.hear(cluster.server(1, sequence: 5, roles: [.home]))
        #expect(listener.core.counters.duplicates == 1)
        #expect(listener.core.counters.replayed == 1)
        #expect(listener.core.counters.conflicting == 1)
        for number in 0..<200 {
            var bytes = try cluster.server(2, sequence: UInt64(number + 1)).encode()
            bytes[bytes.count - 1] ^= 1
            try listener.hear(MapMessage.descriptor(bytes).encode())
        }
        #expect(listener.core.servers.count == 1)
        // A forgery costs 100 and one of the 8,000 looked at in an interval.
        #expect((75...85).contains(listener.core.counters.forged))
        #expect(listener.core.counters.flooded > 100)
        listener.now = listener.now.adding(seconds: 7)
        _ = try listener.core.handle(.wake, now: listener.now, entropy: &listener.entropy, store: &listener.store)
        try listener.hear(cluster.server(3))
        #expect(listener.core.servers.count == 2)
    }

    @Test("puts a bounded number of strangers' descriptors aside, and none in the store")
    func strangers() throws {
        var configuration = MapConfiguration()
        configuration.pendingLimit = 20
        let listener = try Listener(roots: [TestCluster(0).id], configuration: configuration)
        for number in 100..<200 { try listener.hear(TestCluster(number).server(number)) }
        #expect(listener.core.pending.count == 20)
        #expect(listener.core.counters.evicted == 80)
        #expect(try listener.store.count(MapCore.table) == 0)
        // The latest are still there when they are endorsed.
        try listener.hear(TestCluster(0).descriptor(endorsing: [TestCluster(199).id]))
        try listener.hear(TestCluster(199).descriptor(endorsing: [TestCluster(0).id]))
        #expect(listener.core.servers.count == 1)
    }

    @Test("answers a bounded number of bytes to any message, and a bounded number of messages in an interval")
    func amplification() throws {
        let cluster = TestCluster(0)
        var configuration = MapConfiguration()
        configuration.sendLimit = 10
        let listener = try Listener(roots: [cluster.id], configuration: configuration)
        for number in 0..<100 {
            _ = try listener.core.publish(
                cluster.server(number).encode(), now: listener.now, store: &listener.store)
        }
        let before = listener.core.counters.sentBytes
        let nothing = MapMessage.digests(
            low: Bytes16(), high: try #require(Bytes16([UInt8](repeating: 0xff, count: 16))), []
        ).encode()
        let summary = MapMessage.summary(salt: 1, checksums: [UInt64](repeating: 0, count: 256)).encode()
        for _ in 0..<100 {
            try listener.hear(nothing)
            try listener.hear(summary)
        }
        // At most four summaries answered with up to 256 short lists each, and no descriptors over the limit.
        #expect(listener.core.counters.sentBytes - before < 4 * 512 * 200)
        #expect(listener.core.counters.throttled > 0)
        #expect(listener.core.counters.flooded >= 96)
    }

    @Test("survives noise and mutated messages, of any kind and order")
    func fuzz() throws {
        let seed: UInt64 = 71
        print("map messages: seed \(seed)")
        var entropy = Entropy(seed: seed)
        let cluster = TestCluster(0)
        let listener = try Listener(roots: [cluster.id])
        let genuine = [
            MapMessage.descriptor(try cluster.server(1).encode()).encode(),
            MapMessage.descriptor(try cluster.descriptor(endorsing: [TestCluster(1).id]).encode()).encode(),
            MapMessage.summary(salt: 9, checksums: [UInt64](repeating: 3, count: 256)).encode(),
            MapMessage.digests(low: Bytes16(), high: Bytes16(), [MapDigest(id: Bytes16(), sequence: 1)]).encode(),
        ]
        for round in 0..<5000 {
            var bytes = genuine[entropy.below(genuine.count)]
            if round % 3 == 0 { bytes = [UInt8(entropy.below(5))] + entropy.array(entropy.below(3000)) }
            entropy.damage(&bytes)
            for case .send(_, let body) in try listener.hear(bytes) { #expect(body.count <= Limits.envelopeSize) }
            if round % 50 == 0 {
                listener.now = listener.now.adding(seconds: 6)
                _ = try listener.core.handle(
                    .wake, now: listener.now, entropy: &listener.entropy, store: &listener.store)
            }
        }
        #expect(listener.core.servers.count <= 1)
        #expect(listener.core.counters.malformed > 500)
    }

    @Test("ignores messages of links that it does not have")
    func unknownLink() throws {
        let listener = try Listener(roots: [TestCluster(0).id])
        let body = MapMessage.descriptor(try TestCluster(0).server(1).encode()).encode()
        let effects = try listener.core.handle(
            .message(link: 2, body), now: listener.now, entropy: &listener.entropy, store: &listener.store)
        #expect(effects.isEmpty)
        #expect(listener.core.servers.isEmpty)
    }

    @Test("says when the store is full, and holds nothing that is not stored")
    func fullStore() throws {
        let listener = try Listener(roots: [TestCluster(0).id])
        listener.store.isFull = true
        #expect(throws: StorageError.full) { try listener.hear(TestCluster(0).server(1)) }
        #expect(listener.core.servers.isEmpty)
        listener.store.isFull = false
        try listener.hear(TestCluster(0).server(1))
        #expect(listener.core.servers.count == 1)
    }

    @Test("publishes only what is validly signed, current, and within its size")
    func publishing() throws {
        let listener = try Listener(roots: [])
        let cluster = TestCluster(3)
        let bytes = try cluster.server(1).encode()
        var forged = bytes
        forged[forged.count - 1] ^= 1
        let huge = bytes + [UInt8](repeating: 0, count: 2048)
        let old = try cluster.server(1, expiry: MapNetwork.start.seconds - 1).encode()
        let cases: [([UInt8], DescriptorError)] = [
            (forged, .wrongSignature), (huge, .oversize(huge.count)), (old, .expired), ([], .malformed(.truncated)),
            ([7], .malformed(.unknownKind(7))),
        ]
        for (bad, reason) in cases {
            #expect(throws: MapError.descriptor(reason)) {
                try listener.core.publish(bad, now: listener.now, store: &listener.store)
            }
        }
        #expect(try !listener.core.publish(bytes, now: listener.now, store: &listener.store).isEmpty)
        #expect(try listener.core.publish(bytes, now: listener.now, store: &listener.store).isEmpty)
        #expect(listener.core.admission.roots == [cluster.id])
    }
}
