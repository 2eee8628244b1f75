import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Directory

@Suite struct KademliaTests {
    @Test("sixty servers that know one endpoint find each other, with a tenth of all calls lost")
    func join() throws {
        var network = try DirectoryNetwork.joined(seed: 20, 60, lossPercent: 10)
        try network.run(milliseconds: 50_000)
        for (index, member) in network.members.enumerated() {
            #expect(member.core.contactCount >= 20, "server \(index): \(member.core.contactCount)")
        }
        #expect(network.largest <= 1086)
    }

    @Test("every record is found from every server by search alone, with a tenth of all calls lost")
    func search() throws {
        var network = try DirectoryNetwork.joined(seed: 21, 60)
        var keys: [VerifyingKey] = []
        for _ in 0..<10 {
            let publisher = Publisher(&network.entropy)
            let record = try publisher.record(network.now, entropy: &network.entropy)
            for holder in network.holders(record.blindedKey, epoch: record.epoch) {
                #expect(try network.ask(holder, .put(record: record.encode())) == .stored(sequence: 1))
            }
            keys.append(record.blindedKey)
        }
        try network.run(milliseconds: 10_000)
        network.lossPercent = 10
        var found = 0
        for key in keys {
            for asker in stride(from: 0, to: 60, by: 7) {
                let answer = try network.ask(asker, .iterate(key: key, epoch: network.now.epoch), wait: 8000)
                if case .record = answer { found += 1 }
            }
        }
        #expect(found == 10 * 9)
        let unknown = VerifyingKey(network.entropy.bytes())
        #expect(try network.ask(3, .iterate(key: unknown, epoch: network.now.epoch), wait: 8000) == .missing)
    }

    @Test("searches on behalf of others leave a quarter of the calls to repair and to asking whether others live")
    func searchRoom() throws {
        var network = try DirectoryNetwork.joined(seed: 41, 30)
        try network.run(milliseconds: 10_000)
        network.members[0].core.configuration.callLimit = 16
        for token in 1...10 as ClosedRange<UInt64> {
            let key = VerifyingKey(network.entropy.bytes())
            let request = DirectoryMessage.iterate(key: key, epoch: network.now.epoch).encode()
            try network.handle(0, .request(from: nil, token: 1_000_000 + token, message: request))
        }
        #expect(network.members[0].core.calls.count == 12)
        let ping = DirectoryMessage.ping.encode()
        try network.handle(
            0, .request(from: LoneServer.stranger(7), isProven: true, token: 2_000_000, message: ping))
        #expect(network.members[0].core.calls.count == 13)
    }

    @Test("a server in its probation has no place on the circle, and is no stranger to a routing table")
    func probation() throws {
        var network = try DirectoryNetwork.joined(seed: 42, 30)
        var nodes = network.nodes
        nodes[29].countsFrom = network.now.epoch + 2
        try network.handle(0, .map(nodes))
        let epoch = network.now.epoch
        #expect(network.members[0].core.placement(epoch).node(nodes[29].id) == nil)
        let isListed = [29, 5].map { network.members[0].core.isListed(nodes[$0].id) }
        #expect(isListed == [true, true])
        let isStrangerListed = network.members[0].core.isListed(network.entropy.bytes())
        #expect(!isStrangerListed)
    }

    @Test("a server that restarts needs no bootstrap: it finds the others from its own store")
    func warmRestart() throws {
        var network = try DirectoryNetwork.joined(seed: 22, 40)
        let before = network.members[7].core.contactCount
        try network.restart(7)
        #expect(network.members[7].core.contactCount == 0)
        #expect(!network.members[7].core.storedEndpoints.isEmpty)
        try network.run(milliseconds: 10_000)
        #expect(network.members[7].core.contactCount >= min(before, 20))
    }

    @Test("an idle server sleeps: it is woken once in five seconds at most, on the mean")
    func idle() throws {
        var network = try DirectoryNetwork.joined(seed: 28, 30)
        try network.run(milliseconds: 30_000)
        network.wakes = 0
        try network.run(milliseconds: 300_000)
        #expect(network.wakes > 0)
        #expect(network.wakes <= 30 * 300 / 5, "\(network.wakes)")
    }

    @Test("servers that are dead leave the routing table")
    func liveness() throws {
        var network = try DirectoryNetwork.joined(seed: 23, 12)
        for dead in 8..<12 { network.members[dead].isUp = false }
        network.now = network.now.adding(milliseconds: 900_000)
        try network.run(milliseconds: 60_000)
        for alive in 0..<8 {
            #expect(network.members[alive].core.contactCount == 7, "server \(alive)")
        }
    }

    @Test("a server that comes onto the map gets the copies for which it is responsible now", arguments: [true, false])
    func repair(namesEndpoints: Bool) throws {
        var network = try DirectoryNetwork.joined(seed: 24, 40)
        network.namesEndpoints = namesEndpoints
        var records: [DirectoryRecord] = []
        for _ in 0..<30 {
            let publisher = Publisher(&network.entropy)
            let record = try publisher.record(network.now, entropy: &network.entropy)
            for holder in network.holders(record.blindedKey, epoch: record.epoch) {
                _ = try network.ask(holder, .put(record: record.encode()))
            }
            records.append(record)
        }
        try network.run(milliseconds: 5000)
        for _ in 0..<10 {
            let index = try network.add()
            try network.handle(index, .join([network.members[0].endpoint]))
        }
        try network.run(milliseconds: 5000)
        try network.map()
        try network.run(milliseconds: 120_000)
        var missing = 0
        var due = 0
        for record in records {
            for holder in network.holders(record.blindedKey, epoch: record.epoch) where holder >= 40 {
                due += 1
                if try !network.holds(holder, record.blindedKey) { missing += 1 }
            }
        }
        #expect(due > 50)
        #expect(missing == 0, "\(missing) of \(due)")
    }

    @Test("when half of all servers die, every record has twenty living holders again within 15 minutes")
    func repairAfterLoss() throws {
        var network = try DirectoryNetwork.joined(seed: 27, 60)
        var records: [DirectoryRecord] = []
        for _ in 0..<20 {
            let publisher = Publisher(&network.entropy)
            let record = try publisher.record(network.now, entropy: &network.entropy)
            for holder in network.holders(record.blindedKey, epoch: record.epoch) {
                _ = try network.ask(holder, .put(record: record.encode()))
            }
            records.append(record)
        }
        for index in network.members.indices where index % 2 == 1 { network.members[index].isUp = false }
        func copies() throws -> [Int] {
            try records.map { record in
                try network.members.indices.count {
                    try network.members[$0].isUp && network.holds($0, record.blindedKey)
                }
            }
        }
        #expect(try (copies().min() ?? 20) < 14)
        // The map does not change: the holders notice by themselves.
        try network.run(milliseconds: 15 * 60_000)
        let after = try copies()
        #expect(after.allSatisfy { $0 >= 20 }, "\(after)")
        let alive = network.members.filter(\.isUp).map { $0.core.counters }
        #expect(alive.allSatisfy { $0.silentHolders > 0 })
        // Four of a record's holders hand it on, not all.
        #expect(alive.reduce(0) { $0 + $1.repairs } < 20 * 20 * 8)
    }

    @Test("an answer with a forged, foreign or expired descriptor brings nobody into the routing table")
    func forged() throws {
        var network = DirectoryNetwork(seed: 25)
        for _ in 0..<3 { try network.add() }
        let liar = network.members[1]
        var changed = liar.descriptor
        changed[changed.count - 1] ^= 1
        let forgeries: [(now: Timestamp, descriptor: [UInt8])] = [
            (network.now, changed), (network.now, network.members[2].descriptor), (network.now, []),
            (network.now.adding(seconds: 3 * 86_400), liar.descriptor),
        ]
        for forgery in forgeries {
            var core = network.members[0].core
            var store = network.members[0].store
            let effects = try core.handle(
                .join([liar.endpoint]), now: forgery.now, entropy: &network.entropy, store: &store)
            guard case .call(let call, _, _) = effects.first else {
                Issue.record("no call")
                continue
            }
            _ = try core.handle(
                .answer(call: call, message: DirectoryMessage.nodes(descriptor: forgery.descriptor, []).encode()),
                now: forgery.now, entropy: &network.entropy, store: &store)
            #expect(core.contactCount == 0)
            #expect(core.counters.forgedAnswers == 1)
        }
    }

    @Test("half of the holders answer searches with a false record and do not hide the true one")
    func liars() throws {
        var network = try DirectoryNetwork.joined(seed: 26, 40)
        let publisher = Publisher(&network.entropy)
        let record = try publisher.record(network.now, entropy: &network.entropy)
        for holder in network.holders(record.blindedKey, epoch: record.epoch) {
            _ = try network.ask(holder, .put(record: record.encode()))
        }
        try network.run(milliseconds: 5000)
        let holders = network.members.indices.filter { (try? network.holds($0, record.blindedKey)) ?? false }
        var forged = record.encode()
        forged[100] ^= 1
        for liar in holders where liar % 2 == 0 {
            try network.members[liar].store.put(RecordStore.table, record.blindedKey.bytes.bytes, forged)
        }
        var refused: UInt64 = 0
        for asker in network.members.indices where !holders.contains(asker) {
            let answer = try network.ask(asker, .iterate(key: record.blindedKey, epoch: record.epoch), wait: 8000)
            #expect(answer == .record(record.encode()), "server \(asker)")
            refused += network.members[asker].core.counters.forgedAnswers
        }
        #expect(refused > 0)
    }
}
