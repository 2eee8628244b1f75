import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Federation

@Suite("What a map keeps")
struct MapStateTests {
    private var entropy: Entropy { Entropy(seed: 80) }

    @Test("includes, on disk too, an own descriptor that is published again after a restart")
    func republish() throws {
        var store = MemoryStore()
        var entropy = entropy
        let cluster = TestCluster(0)
        let own = [try cluster.descriptor().encode(), try cluster.server(1).encode()]
        var first = try MapCore(admission: Admission(roots: []), now: MapNetwork.start, store: store)
        for bytes in own { _ = try first.publish(bytes, now: MapNetwork.start, store: &store) }
        // Nobody but the own cluster is trusted, and that only from its first publication on.
        var second = try MapCore(admission: Admission(roots: []), now: MapNetwork.start, store: store)
        for bytes in own { _ = try second.publish(bytes, now: MapNetwork.start, store: &store) }
        _ = try second.handle(.wake, now: MapNetwork.start, entropy: &entropy, store: &store)
        #expect(second.servers.count == 1)
        #expect(try store.count(MapCore.table) == 2)
    }

    @Test("includes, on disk too, an own descriptor that is published again after a commit that failed")
    func republishAfterFailure() throws {
        let before = MemoryStore()
        var store = before
        let own = try TestCluster(0).server(1).encode()
        var core = try MapCore(admission: Admission(roots: []), now: MapNetwork.start, store: store)
        #expect(try !core.publish(own, now: MapNetwork.start, store: &store).isEmpty)
        store = before
        #expect(try core.publish(own, now: MapNetwork.start, store: &store).isEmpty)
        let again = try MapCore(
            admission: Admission(roots: [TestCluster(0).id]), now: MapNetwork.start, store: store)
        #expect(again.servers.count == 1)
    }

    @Test("does not go back from a sequence that waits for its cluster's admission")
    func pendingSequence() throws {
        var store = MemoryStore()
        var entropy = entropy
        var core = try MapCore(
            admission: Admission(roots: [TestCluster(0).id]), now: MapNetwork.start, store: store)
        func hear(_ bytes: [UInt8]) throws {
            _ = try core.handle(
                .message(link: 1, MapMessage.descriptor(bytes).encode()), now: MapNetwork.start, entropy: &entropy,
                store: &store)
        }
        _ = try core.handle(
            .linkUp(link: 1, peer: Bytes32()), now: MapNetwork.start, entropy: &entropy, store: &store)
        try hear(TestCluster(0).server(1, sequence: 1).encode())
        // The server moves to a cluster that is not admitted yet; an older move is replayed after.
        try hear(TestCluster(1).server(1, sequence: 3).encode())
        try hear(TestCluster(2).server(1, sequence: 2).encode())
        try hear(TestCluster(0).server(1, sequence: 2).encode())
        #expect(core.counters.replayed == 2)
        try hear(TestCluster(0).descriptor(endorsing: [TestCluster(1).id]).encode())
        try hear(TestCluster(1).descriptor(endorsing: [TestCluster(0).id]).encode())
        #expect(core.servers.values.map(\.sequence) == [3])
        #expect(core.servers.values.map(\.clusterID) == [TestCluster(1).id])
    }

    @Test("lists what waits for admission in its digests, also when the older version is dropped")
    func pendingDigest() throws {
        var store = MemoryStore()
        var entropy = entropy
        var core = try MapCore(
            admission: Admission(roots: [TestCluster(0).id]), now: MapNetwork.start, store: store)
        func hear(_ bytes: [UInt8]) throws {
            _ = try core.handle(
                .message(link: 1, MapMessage.descriptor(bytes).encode()), now: MapNetwork.start, entropy: &entropy,
                store: &store)
        }
        _ = try core.handle(
            .linkUp(link: 1, peer: Bytes32()), now: MapNetwork.start, entropy: &entropy, store: &store)
        let old = try TestCluster(0).server(1, sequence: 1, expiry: MapNetwork.start.seconds + 50)
        try hear(old.encode())
        try hear(TestCluster(1).server(1, sequence: 3).encode())
        let later = MapNetwork.start.adding(seconds: 70)
        _ = try core.handle(.wake, now: later, entropy: &entropy, store: &store)
        #expect(core.servers.isEmpty)
        let whole = core.index.all
        #expect(whole.map(\.sequence) == [3])
    }

    @Test("is not what lies under a foreign key of the store")
    func foreignKey() throws {
        var store = MemoryStore()
        var entropy = entropy
        let bytes = try TestCluster(0).server(1).encode()
        try store.put(MapCore.table, [1], bytes)
        var core = try MapCore(
            admission: Admission(roots: [TestCluster(0).id]), now: MapNetwork.start, store: store)
        _ = try core.handle(.wake, now: MapNetwork.start, entropy: &entropy, store: &store)
        #expect(core.servers.isEmpty)
        #expect(try store.count(MapCore.table) == 0)
    }
}

extension MapIndex {
    /// What its messages list.
    fileprivate var all: [MapDigest] {
        (0..<MapMessage.bucketCount).flatMap { messages(bucket: $0) }.flatMap { message -> [MapDigest] in
            if case .digests(_, _, let digests) = message { digests } else { [] }
        }
    }
}

@Suite("The index of digests")
struct MapIndexTests {
    @Test("is not made for a list of digests: of what is held just the range is visited, and no further than wanted")
    func range() throws {
        var held = DescriptorTable()
        var ids: [Bytes16] = []
        for number in 0..<300 {
            let server = try TestCluster(0).server(number)
            ids.append(MapCore.name(server.nodeID))
            let isHeld = held.insert(server.encode(), id: MapCore.name(server.nodeID))
            #expect(isHeld)
        }
        ids.sort()
        for (low, high) in [(0, 299), (17, 17), (40, 250), (299, 299), (200, 100)] {
            var visited: [Bytes16] = []
            held.visit(from: ids[low], to: ids[high]) {
                visited.append($0.id)
                return true
            }
            #expect(visited == (low <= high ? Array(ids[low...high]) : []))
        }
        var visits = 0
        held.visit(from: Bytes16(), to: ids[299]) { _ in
            visits += 1
            return visits < 5
        }
        #expect(visits == 5)
    }

    @Test(
        "is not needed to answer a list: what it lacks of its range or has in an older version is sent, while the link has shares"
    )
    func answers() throws {
        var configuration = MapConfiguration()
        configuration.highestVersion = 1
        configuration.sendLimit = 12
        let listener = try Listener(roots: [TestCluster(0).id], configuration: configuration)
        for number in 0..<40 {
            try listener.hear(TestCluster(0).server(number, sequence: 5))
        }
        let ids = listener.core.held.identifiers { _ in true }
        /// The identifiers of the descriptors that come in answer to a list.
        func answer(_ range: ClosedRange<Int>, _ digests: [MapDigest]) throws -> [Bytes16] {
            let message = MapMessage.digests(low: ids[range.lowerBound], high: ids[range.upperBound], digests)
            return try listener.hear(message.encode()).compactMap {
                guard case .send(_, let bytes) = $0, case .descriptor(let raw) = try MapMessage(decoding: bytes)
                else { return nil }
                return try MapDescriptor(decoding: raw).id
            }
        }
        let shares = try #require(listener.core.peers[1]?.shares.sends)
        // Of places 10 to 19 the list has all but 12 and 15, 13 in an older and 14 in a newer version, and a stranger.
        var digests = (10...19).filter { ![12, 15].contains($0) }
            .map { MapDigest(id: ids[$0], sequence: $0 == 13 ? 4 : $0 == 14 ? 6 : 5) }
        var between = ids[16].bytes
        between[15] ^= 1
        digests.append(MapDigest(id: try #require(Bytes16(between)), sequence: 9))
        #expect(try answer(10...19, digests.sorted()) == [12, 13, 15].map { ids[$0] })
        #expect(listener.core.peers[1]?.shares.sends == shares - 3)
        // A list that lacks everything ends with the share, ascending; the next is answered with nothing.
        #expect(try answer(0...39, []) == Array(ids[..<(shares - 3)]))
        #expect(listener.core.counters.throttled == 1)
        #expect(try answer(0...39, []).isEmpty)
        #expect(listener.core.counters.throttled == 2)
    }

    @Test("covers every identifier by messages without gap or overlap, that decode to what it holds")
    func coverage() throws {
        var entropy = Entropy(seed: 81)
        var held = DescriptorTable()
        var model: [Bytes16: UInt64] = [:]
        for number in 0..<300 {
            let server = try TestCluster(0).server(number, sequence: UInt64(number))
            let isHeld = held.insert(server.encode(), id: MapCore.name(server.nodeID))
            #expect(isHeld)
            model[MapCore.name(server.nodeID)] = UInt64(number)
        }
        var waiting: [Bytes16: UInt64] = [:]
        for _ in 0..<2000 {
            var id = entropy.bytes(Bytes16.self)
            // Most in one bucket, so that it needs several messages.
            if entropy.below(2) == 0 { id.withUnsafeMutableBytes { $0[0] = 7 } }
            waiting[id] = UInt64(entropy.below(100))
        }
        // Newer ones of some that are held wait.
        for id in model.keys.sorted().prefix(100) { waiting[id] = 1000 }
        model.merge(waiting) { $1 }
        let index = MapIndex(held, waiting: waiting.map { MapDigest(id: $0.key, sequence: $0.value) })
        let whole = index.all
        #expect(whole.map(\.id) == model.keys.sorted())
        var found: [Bytes16: UInt64] = [:]
        for bucket in 0..<256 {
            var next = [UInt8(bucket)] + [UInt8](repeating: 0, count: 15)
            for message in index.messages(bucket: bucket) {
                let bytes = message.encode()
                #expect(bytes.count <= Limits.envelopeSize)
                #expect(try MapMessage(decoding: bytes) == message)
                guard case .digests(let low, let high, let digests) = message else {
                    Issue.record("not a list of digests")
                    continue
                }
                #expect(low.bytes == next)
                for digest in digests { found[digest.id] = digest.sequence }
                next = high.bytes
                for place in stride(from: 15, through: 0, by: -1) {
                    next[place] &+= 1
                    if next[place] != 0 { break }
                }
            }
            #expect(next[0] == UInt8(truncatingIfNeeded: bucket + 1))
        }
        #expect(found == model)
    }

    @Test("has checksums that depend on the salt and on each digest of the bucket alone")
    func checksums() throws {
        let id = try #require(Bytes16([UInt8](repeating: 5, count: 16)))
        func checksums(_ sequence: UInt64?, salt: UInt64) -> [UInt64] {
            MapIndex(waiting: sequence.map { [MapDigest(id: id, sequence: $0)] } ?? []).checksums(salt: salt)
        }
        let empty = checksums(nil, salt: 1)
        let one = checksums(1, salt: 1)
        #expect((0..<256).filter { empty[$0] != one[$0] } == [5])
        #expect(checksums(2, salt: 1)[5] != one[5])
        #expect(checksums(1, salt: 1) == one)
        #expect(checksums(1, salt: 2)[5] != one[5])
    }
}
