import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Directory

/// Who hands a record on to new holders, and who sees to it.
@Suite struct RepairTests {
    /// A network in which so many records are stored by all their holders.
    private func network(_ seed: UInt64, records count: Int) throws -> (DirectoryNetworkBox, [DirectoryRecord]) {
        let box = DirectoryNetworkBox(try DirectoryNetwork.joined(seed: seed, 50))
        var records: [DirectoryRecord] = []
        for _ in 0..<count {
            let publisher = Publisher(&box.network.entropy)
            let record = try publisher.record(box.network.now, entropy: &box.network.entropy)
            try box.publish(record)
            records.append(record)
        }
        try box.network.run(milliseconds: 150_000)
        return (box, records)
    }

    @Test("a server that leaves costs about one put for each copy that it held, and no copy is missing afterwards")
    func economy() throws {
        let (box, records) = try network(60, records: 40)
        let held = try records.count { try box.network.holds(7, $0.blindedKey) }
        let before = box.sum(\.repairs)
        box.network.members[7].isUp = false
        try box.network.run(milliseconds: 420_000)
        #expect(held > 5)
        let puts = box.sum(\.repairs) - before
        #expect(puts >= UInt64(held / 2) && puts <= UInt64(held) * 2, "\(puts) puts for \(held) copies")
        #expect(box.sum(\.compared) > 0)
        for record in records { #expect(try box.living(record) >= 20) }
    }

    @Test("first repairers that keep records to themselves are noticed by the others of the ring")
    func liars() throws {
        let (box, records) = try network(61, records: 40)
        // Whoever of the others comes first in a ring keeps the record, in every second ring.
        box.network.keeping = Set(stride(from: 0, to: 50, by: 2))
        for index in [7, 19, 33] { box.network.members[index].isUp = false }
        try box.network.run(milliseconds: 600_000)
        for record in records { #expect(try box.living(record) >= 19) }
        let all = try records.reduce(0) { try $0 + box.living($1) }
        #expect(all >= 20 * records.count - 3, "\(all)")
    }

    @Test("a publisher's new record comes to those that stand in for silent holders, whom he does not know")
    func standIns() throws {
        let (box, records) = try network(62, records: 1)
        for index in box.network.members.indices where index % 2 == 1 { box.network.members[index].isUp = false }
        try box.network.run(milliseconds: 420_000)
        let publisher = Publisher(&box.network.entropy)
        let record = try publisher.record(box.network.now, entropy: &box.network.entropy)
        try box.publish(record)
        let asked = try box.living(record)
        try box.network.run(milliseconds: 2000)
        #expect(records.count == 1 && asked <= 14)
        // Nearly everybody who lives is a holder, or has a copy for searches.
        // Who is dead and watched by none of a ring's first is found out when they settle.
        #expect(try box.living(record) >= 18)
        for index in box.network.members.indices { box.network.members[index].core.nextSettle = box.network.now }
        try box.network.run(milliseconds: 360_000)
        #expect(try box.living(record) >= 20)
    }

    @Test("on a small map a settling finds those that are gone, and those that are back, whoever their neighbours are")
    func others() throws {
        let (box, _) = try network(74, records: 1)
        let neighbours = try box.neighbours(of: 7)
        let others = box.network.members.indices.filter { $0 != 7 && !neighbours.contains($0) }
        let gone = Set(others.prefix(2).map(box.node))
        func settle() throws {
            box.network.members[7].core.nextSettle = box.network.now
            try box.network.run(milliseconds: 180_000)
            #expect(box.network.members[7].core.nextSettle > box.network.now)
        }
        for index in others.prefix(2) { box.network.members[index].isUp = false }
        try box.network.run(milliseconds: 240_000)
        #expect(box.network.members[7].core.silent.isEmpty)
        try settle()
        #expect(box.network.members[7].core.silent == gone)
        for index in others.prefix(2) { try box.network.restart(index) }
        // They ask their neighbours, of whom this server is none.
        try box.network.run(milliseconds: 240_000)
        #expect(!box.network.members[7].core.silent.isEmpty)
        try settle()
        #expect(box.network.members[7].core.silent.isEmpty)
        #expect(box.sum(\.massLosses) == 0)
    }

    @Test("on a large map the silent ones are asked in turn, 256 at each settling")
    func turns() throws {
        var server = try LoneServer(seed: 75)
        let others = try server.map(of: 600)
        _ = try server.wake()
        server.core.silent = Set(others)
        var asked: [NodeID: Int] = [:]
        for _ in 0..<3 {
            server.core.repairTargets = []
            server.core.settleDue = nil
            server.core.nextSettle = server.now
            for _ in 0..<(DirectoryCore.retryBatch / DirectoryCore.askBatch) {
                server.core.calls = [:]
                server.core.nextRound = server.now
                let effects = try server.core.handle(
                    .wake, now: server.now, entropy: &server.entropy, store: &server.store)
                #expect(effects.count >= DirectoryCore.askBatch)
            }
            #expect(server.core.around.isEmpty)
            #expect(server.core.repairTargets.count == DirectoryCore.retryBatch)
            for node in server.core.repairTargets { asked[node, default: 0] += 1 }
        }
        let away = others.filter { !server.core.nearby.contains($0) }
        #expect(Set(asked.keys) == Set(away) && asked.values.allSatisfy { $0 <= 2 })
    }

    @Test("who comes and goes all the time does not keep a server from settling")
    func putOff() throws {
        var server = try LoneServer(seed: 76)
        _ = try server.map(of: 20)
        let record = try server.record()
        #expect(try server.ask(.put(record: record.encode())) == .stored(sequence: 1))
        server.core.nextSettle = server.now
        var settled: UInt64?
        for minute in 0..<90 as Range<UInt64> where settled == nil {
            server.now = server.now.adding(seconds: 60)
            server.core.viewChanges(server.now)
            if minute > 0 { server.core.settleSoon(server.now) }
            server.core.nextRound = server.now
            _ = try server.wake()
            if server.core.settleLatest == nil { settled = minute }
        }
        let minutes = try #require(settled)
        #expect(minutes >= 29 && minutes <= 32)
    }

    @Test("who was silent before a server started is passed over and no mass loss; who falls silent later is one")
    func massLoss() throws {
        let (box, _) = try network(66, records: 1)
        // The nearest on the circle are asked by the server.
        let neighbours = try box.neighbours(of: 7)
        #expect(neighbours.count == 2 * DirectoryCore.neighbourReach)
        let (earlier, later) = (neighbours.prefix(DirectoryCore.massLoss), neighbours.suffix(DirectoryCore.massLoss))
        for index in earlier { box.network.members[index].isUp = false }
        try box.network.restart(7)
        try box.network.handle(7, .map(box.network.nodes))
        try box.network.run(milliseconds: 180_000)
        #expect(box.network.members[7].core.silent.isSuperset(of: earlier.map(box.node)))
        #expect(box.network.members[7].core.counters.massLosses == 0)

        for index in later { box.network.members[index].isUp = false }
        try box.network.run(milliseconds: 240_000)
        #expect(box.network.members[7].core.silent.isSuperset(of: later.map(box.node)))
        #expect(box.network.members[7].core.counters.massLosses == 1)
    }

    @Test("copies that are lost without anybody's notice are back after the next comparison, which each server makes")
    func comparedAnyhow() throws {
        let (box, records) = try network(68, records: 40)
        // The copies for searches are not looked at.
        let held = [7, 19, 33].map { index in
            (index, records.filter { box.network.holders($0.blindedKey, epoch: $0.epoch).contains(index) })
        }
        for (index, _) in held { box.network.members[index].store = MemoryStore() }
        let now = box.network.now
        for index in box.network.members.indices {
            let due = box.network.members[index].core.nextSettle
            #expect(due <= now.adding(milliseconds: DirectoryCore.settleInterval))
            box.network.members[index].core.settleDue = nil
            box.network.members[index].core.nextSettle = now
            box.network.members[index].core.nextRound = now
            try box.network.handle(index, .wake)
        }
        #expect(box.network.members.allSatisfy { $0.core.settleCursor == nil && $0.core.nextSettle > now })
        try box.network.run(milliseconds: 240_000)
        for (index, lost) in held {
            let back = try lost.count { try box.network.holds(index, $0.blindedKey) }
            #expect(lost.count > 5 && back == lost.count, "\(back) of \(lost.count)")
        }
        for record in records { #expect(try box.living(record) >= 20) }
        #expect(box.sum(\.silentHolders) == 0)
    }

    @Test("comparisons without a cause wait while others take half of the room")
    func comparedLater() throws {
        let (box, _) = try network(69, records: 10)
        let other = box.node(8)
        var core = box.network.members[7].core
        for _ in 0...(RepairOffers.limit / 2) {
            let isRoom = core.offers.add(core.serverID, for: other, isSoon: false, box.network.now)
            #expect(isRoom)
        }
        core.settleDue = box.network.now
        core.nextRound = box.network.now
        box.network.members[7].core = core
        let before = box.sum(\.repairs)
        try box.network.handle(7, .wake)
        #expect(box.network.members[7].core.settleCursor != nil)
        #expect(box.sum(\.repairs) == before)
        box.network.members[7].core.offers = RepairOffers()
        try box.network.run(milliseconds: 2000)
        #expect(box.network.members[7].core.settleCursor == nil)
    }

    @Test("of others than neighbours silence counts for two rounds after a record was handed to them")
    func watched() throws {
        let (box, _) = try network(67, records: 1)
        let neighbours = try box.neighbours(of: 7)
        let other = try #require(box.network.members.indices.first { $0 != 7 && !neighbours.contains($0) })
        let node = box.node(other)
        /// Whether two calls without an answer make the node silent.
        func isNoticed() -> Bool {
            var core = box.network.members[7].core
            for _ in 0..<2 { core.missed(node, box.network.now) }
            return core.silent.contains(node)
        }
        box.network.members[7].core.repairTargets = []
        box.network.members[7].core.earlierTargets = []
        #expect(!isNoticed())
        box.network.members[7].core.repairTargets = [node]
        #expect(isNoticed())
        let round = box.network.members[7].core.configuration.neighbourInterval
        try box.network.run(milliseconds: round)
        #expect(isNoticed())
        try box.network.run(milliseconds: round)
        #expect(!isNoticed())
    }

    @Test("a comparison names what is missing or older, and envelopes get no answer to it")
    func comparison() throws {
        var network = try DirectoryNetwork.joined(seed: 63, 2)
        let publisher = Publisher(&network.entropy)
        let record = try publisher.record(network.now, sequence: 5, entropy: &network.entropy)
        _ = try network.ask(0, .put(record: record.encode()))
        let marks = try [5, 6, 4].map { try #require(RecordMark(key: record.blindedKey, sequence: $0)) }
        let unknown = RecordMark(prefix: network.entropy.bytes(), sequence: 1)
        let core = network.members[0].core
        #expect(try core.lacking(marks + [unknown], network.members[0].store) == [false, true, false, true])
        #expect(try network.ask(0, .compare(marks)) == .refused(.malformed))
    }

    @Test("offers wait for a minute, go to each holder in requests of forty, and are bounded")
    func offers() throws {
        var entropy = Entropy(seed: 64)
        var offers = RepairOffers()
        let now = DirectoryNetwork.noon
        let (first, second) = (entropy.bytes(Bytes32.self), entropy.bytes(Bytes32.self))
        for index in 0..<(RepairOffers.limit + 10) {
            let isRoom = offers.add(
                VerifyingKey(entropy.bytes()), for: index < 50 ? first : second, isSoon: false, now)
            #expect(isRoom == (index < RepairOffers.limit))
        }
        for early in [now, now.adding(milliseconds: 60_000)] {
            let batch = offers.next(early)
            #expect(batch == nil)
        }
        var sizes: [NodeID: [Int]] = [:]
        while let batch = offers.next(now.adding(milliseconds: 120_000)) {
            sizes[batch.node, default: []].append(batch.keys.count)
        }
        #expect(sizes[first]?.sorted() == [10, 40])
        #expect(sizes[second]?.reduce(0, +) == RepairOffers.limit - 50)
        #expect(offers.due(now) == nil && !offers.isFull)
    }

    @Test("a peer that found no place is remembered for ten to twenty minutes, and few of them are")
    func strangers() {
        var entropy = Entropy(seed: 65)
        func peer() -> Endpoint {
            Endpoint(
                linkKey: X25519PublicKey(entropy.bytes()), address: SocketAddress(v4: (10, 1, 1, 1), port: 4000))
        }
        var strangers = KnownStrangers()
        let (first, second) = (peer(), peer())
        let now = DirectoryNetwork.noon
        strangers.insert(first, now)
        func isKnown(_ peer: Endpoint, after milliseconds: UInt64) -> Bool {
            strangers.contains(peer, now.adding(milliseconds: milliseconds))
        }
        #expect(isKnown(first, after: 599_000) && !isKnown(second, after: 599_000))
        #expect(!isKnown(first, after: 1_300_000))
        strangers.insert(second, now.adding(milliseconds: 1_300_000))
        for _ in 0..<(2 * KnownStrangers.limit) { strangers.insert(peer(), now.adding(milliseconds: 1_300_000)) }
        #expect(!isKnown(second, after: 1_300_000))
    }
}

/// A network that several functions change.
private final class DirectoryNetworkBox {
    var network: DirectoryNetwork

    init(_ network: consuming DirectoryNetwork) { self.network = network }

    func publish(_ record: DirectoryRecord) throws {
        for holder in network.holders(record.blindedKey, epoch: record.epoch) {
            _ = try network.ask(holder, .put(record: record.encode()))
        }
    }

    func node(_ index: Int) -> NodeID { Node.id(of: network.members[index].serverID) }

    /// Those that a server asks whether they live.
    func neighbours(of index: Int) throws -> [Int] {
        let neighbours = network.members[index].core.nearby.ids
        return network.members.indices.filter { neighbours.contains(node($0)) }
    }

    /// Living servers that hold a record.
    func living(_ record: DirectoryRecord) throws -> Int {
        try network.members.indices.count { try network.members[$0].isUp && network.holds($0, record.blindedKey) }
    }

    func sum(_ counter: KeyPath<DirectoryCounters, UInt64>) -> UInt64 {
        network.members.reduce(0) { $0 + $1.core.counters[keyPath: counter] }
    }
}
