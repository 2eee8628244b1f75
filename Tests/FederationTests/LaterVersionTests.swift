import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Federation

@Suite("Descriptors of a later version")
struct LaterVersionTests {
    /// What a server of a later version announces: fields that nobody here knows, and all that every version has.
    private func later(_ number: Int, cluster: Int, sequence: UInt64) throws -> [UInt8] {
        let known = try TestCluster(cluster).server(number, sequence: sequence)
        var bytes = Array(known.encode().prefix(154))
        bytes[1] = 2
        bytes += Entropy.bytes(of: 77, count: 300)
        var entropy = Entropy(seed: 2_000_000 + UInt64(number))
        let key = SigningKey(&entropy)
        return bytes + key.sign(BLAKE2b.h(Domain("hulda/server"), bytes).bytes).bytes.bytes
    }

    /// What a cluster of a later version announces.
    private func laterCluster(_ number: Int, endorsing: [VerifyingKey], sequence: UInt64) throws -> [UInt8] {
        let cluster = TestCluster(number)
        var bytes = Array(try cluster.descriptor(endorsing: endorsing, sequence: sequence).encode().dropLast(64))
        bytes[1] = 2
        bytes += Entropy.bytes(of: 78, count: 200)
        return bytes + cluster.key.sign(BLAKE2b.h(Domain("hulda/cluster"), bytes).bytes).bytes.bytes
    }

    /// Four nodes in a chain; the second speaks the first version of the gossip.
    private func chain(_ seed: UInt64) throws -> MapNetwork {
        var network = MapNetwork(seed: seed)
        let ids = (0..<4).map { TestCluster($0).id }
        for node in 0..<4 {
            network.pinned = node == 1 ? MapVersion.first : MapVersion.highest
            try network.addNode(roots: [ids[0]])
            try network.publish(node, TestCluster(node).descriptor(endorsing: ids.filter { $0 != ids[node] }).encode())
            try network.publish(node, TestCluster(node).server(node).encode())
        }
        for node in 1..<4 { try network.connect(node, node - 1) }
        try network.run(milliseconds: 20_000)
        return network
    }

    @Test("go through nodes that cannot read them, old and new gossip alike, and are kept over a restart")
    func carried() throws {
        var network = try chain(310)
        let bytes = try later(3, cluster: 3, sequence: 5)
        try network.publish(3, bytes)
        try network.run(milliseconds: 20_000)
        let node = try TestCluster(3).server(3).nodeID
        let id = MapCore.name(node)
        for index in 0..<4 {
            #expect(network.cores[index].held.bytes(id) == bytes)
            // Whoever cannot read it does without the server.
            #expect(network.cores[index].server(node) == nil)
            #expect(network.cores[index].view(at: network.now).servers.count == 3)
            #expect(network.cores[index].currentTotal(at: network.now) == 3)
        }
        #expect(network.cores[0].counters.later == 1 && network.cores[0].counters.malformed == 0)
        // The maps are equal: nothing more is sent than comparisons.
        let learned = (0..<4).map { network.cores[$0].counters.learned }
        try network.run(milliseconds: 60_000)
        for index in 0..<4 { #expect(network.cores[index].counters.learned == learned[index]) }
        try network.restart(0, roots: [TestCluster(0).id])
        #expect(network.cores[0].held.bytes(id) == bytes)
        // An earlier sequence does not come back, and a later one of the known version is read again.
        try network.handle(
            .message(link: 0, MapMessage.descriptor(TestCluster(3).server(3, sequence: 4).encode()).encode()), 0)
        #expect(network.cores[0].held.bytes(id) == bytes)
        try network.publish(3, TestCluster(3).server(3, sequence: 6).encode())
        try network.run(milliseconds: 20_000)
        for index in 0..<4 { #expect(network.cores[index].server(node)?.sequence == 6) }
    }

    @Test(
        "of clusters go through old and new alike, vouch for others, are in all snapshots, and are kept over a restart")
    func clusters() throws {
        var network = try chain(312)
        let ids = (0..<5).map { TestCluster($0).id }
        let newcomer = TestCluster(4)
        let descriptor = try newcomer.descriptor(endorsing: [ids[2], ids[3]]).encode()
        try network.handle(.message(link: 0, MapMessage.descriptor(descriptor).encode()), 0)
        try network.run(milliseconds: 20_000)
        #expect(network.cores.allSatisfy { !$0.admission.admits(newcomer.id) })
        // Two clusters announce by a later version that they vouch for it.
        var announced: [[UInt8]] = []
        for node in 2...3 {
            let bytes = try laterCluster(node, endorsing: ids.filter { $0 != ids[node] }, sequence: 7)
            announced.append(bytes)
            try network.publish(node, bytes)
        }
        try network.run(milliseconds: 20_000)
        try network.restart(0, roots: [ids[0]])
        for index in 0..<4 {
            for (node, bytes) in zip(2...3, announced) {
                #expect(network.cores[index].held.bytes(MapCore.name(ids[node])) == bytes)
            }
            #expect(network.cores[index].admission.admits(newcomer.id) && network.cores[index].counters.malformed == 0)
            #expect(network.cores[index].clusterTotal == 5)
        }
        #expect(network.cores[1].counters.later == 2)
        // An earlier version with a higher sequence counts again.
        try network.publish(3, TestCluster(3).descriptor(endorsing: ids.filter { $0 != ids[3] }, sequence: 8).encode())
        try network.run(milliseconds: 20_000)
        for index in 0..<4 { #expect(network.cores[index].held[MapCore.name(ids[3])]?.sequence == 8) }
        for copy in bitFlips(announced[0]) where copy[0] == 1 && copy[1] > 0 {
            #expect(throws: DescriptorError.self) {
                try ClusterDescriptor(decoding: copy).verify(at: MapNetwork.start)
            }
        }
        // Of the first version nothing stands there.
        var first = announced[0]
        first[1] = 1
        #expect(throws: DescriptorError.malformed(.trailingBytes(200))) { try ClusterDescriptor(decoding: first) }
    }

    @Test("are refused with any bit turned, when they have expired, and of clusters that are not admitted")
    func checked() throws {
        let bytes = try later(3, cluster: 3, sequence: 5)
        let now = MapNetwork.start
        let good = try LaterServer(decoding: bytes)
        try good.verify(at: now)
        #expect(good.isCurrent(at: now) && !good.isCurrent(at: now.adding(seconds: 2 * 86_400)))
        for copy in bitFlips(bytes) where copy[0] == 2 && copy[1] > 1 {
            #expect(throws: DescriptorError.self) { try LaterServer(decoding: copy).verify(at: now) }
        }
        for count in stride(from: 0, to: bytes.count, by: 7) {
            #expect(throws: DescriptorError.self) { try LaterServer(decoding: Array(bytes[..<count])).verify(at: now) }
        }
        #expect(throws: DescriptorError.oversize(3000)) {
            try LaterServer(decoding: bytes + [UInt8](repeating: 0, count: 3000 - bytes.count))
        }
        var network = try chain(311)
        let before = network.cores[0].counters.pending
        try network.handle(.message(link: 0, MapMessage.descriptor(later(9, cluster: 9, sequence: 1)).encode()), 0)
        #expect(network.cores[0].counters.pending == before + 1 && network.cores[0].serverTotal == 4)
    }
}

extension Entropy {
    /// Bytes that follow from a seed.
    fileprivate static func bytes(of seed: UInt64, count: Int) -> [UInt8] {
        var entropy = Entropy(seed: seed)
        return entropy.array(count)
    }
}
