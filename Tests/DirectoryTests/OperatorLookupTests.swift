import Primitives
import Records
import Testing
import Wire

@testable import Directory

/// Lookups that a server makes for its operator, among other servers.
@Suite("Lookups for an operator")
struct OperatorLookupTests {
    /// A user whose record its holders have, and the record before it.
    private static func publish(
        in network: inout DirectoryNetwork
    ) throws -> (id: NetworkID, record: DirectoryRecord, older: DirectoryRecord) {
        let publisher = Publisher(&network.entropy)
        let older = try publisher.record(network.now, sequence: 1, entropy: &network.entropy)
        let record = try publisher.record(network.now, sequence: 2, entropy: &network.entropy)
        for holder in network.holders(record.blindedKey, epoch: record.epoch) {
            let answer = try network.ask(holder, .put(record: record.encode()))
            #expect(answer == .stored(sequence: 2))
        }
        try network.run(milliseconds: 5000)
        return (NetworkID(key: publisher.user.publicKey), record, older)
    }

    private static func count(_ report: LookupReport, _ answer: LookupReport.Answer) -> Int {
        report.holders.count { $0.answer == answer }
    }

    @Test("holders that are down, lie or are behind are told apart, and the record is found in one hop by all servers")
    func found() throws {
        var network = try DirectoryNetwork.joined(seed: 601, 30)
        let (id, record, older) = try Self.publish(in: &network)
        let holders = network.holders(record.blindedKey, epoch: record.epoch)
        network.members[holders[0]].isUp = false
        network.lies[holders[1]] = .record(Array(repeating: 7, count: 600))
        network.lies[holders[2]] = .record(older.encode())
        network.lies[holders[3]] = .missing
        for asker in 0..<30 where network.members[asker].isUp {
            try network.handle(asker, .lookUp(request: UInt64(asker), id))
            try network.run(milliseconds: 1500)
            let report = try #require(try network.lookedUp[UInt64(asker)]?.get())
            guard case .found(let found, _) = report.ending else {
                Issue.record("server \(asker) does not find it")
                continue
            }
            #expect(found == record && report.searchRounds == nil && report.milliseconds <= 400)
            #expect(report.holders.count == 20 && Self.count(report, .silent) == 1)
            // A liar that asks itself has what it has.
            let lies = holders[1...3].contains(asker) ? 2 : 3
            #expect(Self.count(report, .record) == 19 - lies)
        }
    }

    @Test("a record that its holders have lost is found by a search without the map")
    func searched() throws {
        var network = try DirectoryNetwork.joined(seed: 602, 60)
        let (id, record, _) = try Self.publish(in: &network)
        let holders = network.holders(record.blindedKey, epoch: record.epoch)
        for holder in holders { network.members[holder].isUp = false }
        let copies = try (0..<60).filter { try network.holds($0, record.blindedKey) }
        let asker = try #require((0..<60).first { !holders.contains($0) && !copies.contains($0) })
        try network.handle(asker, .lookUp(request: 1, id))
        // Nobody answers, and no round of housekeeping is near enough.
        let due = try #require(network.members[asker].core.nextWake)
        #expect(due <= network.now.adding(milliseconds: 400))
        try network.run(milliseconds: 10_000)
        let report = try #require(try network.lookedUp[1]?.get())
        guard case .found(let found, _) = report.ending else {
            Issue.record("it is not found: \(report)")
            return
        }
        #expect(found == record && report.searchRounds ?? 0 >= 1 && Self.count(report, .silent) == 20)
    }

    @Test("an ID without a record is missing when the holders sign that, and unanswered when they do not")
    func missing() throws {
        var network = try DirectoryNetwork.joined(seed: 603, 30)
        let nobody = NetworkID(key: SigningKey(&network.entropy).publicKey)
        for signs in [false, true] {
            for index in network.members.indices where signs {
                network.members[index].core.sign = network.members[index].sign
            }
            try network.handle(4, .lookUp(request: signs ? 1 : 0, nobody))
            try network.run(milliseconds: 10_000)
            let report = try #require(try network.lookedUp[signs ? 1 : 0]?.get())
            switch report.ending {
            case .missing: #expect(signs && Self.count(report, .missing) == 20)
            case .unanswered: #expect(!signs && Self.count(report, .unsigned) == 20)
            case .found: Issue.record("nobody has published it")
            }
        }
    }

    @Test("no more than four are under way at a time, and none when the calls are needed for repair")
    func bounds() throws {
        var network = try DirectoryNetwork.joined(seed: 604, 30)
        let (id, _, _) = try Self.publish(in: &network)
        for request in 1...6 as ClosedRange<UInt64> { try network.handle(7, .lookUp(request: request, id)) }
        #expect(network.lookedUp.keys.sorted() == [5, 6])
        #expect(throws: LookupRefusal.busy(limit: 4)) { try network.lookedUp[5]?.get() }
        try network.run(milliseconds: 2000)
        #expect(network.lookedUp.keys.sorted() == Array(1...6))
        #expect(network.members[7].core.lookups.isEmpty)
        network.members[7].core.configuration.callLimit = 25
        try network.handle(7, .lookUp(request: 7, id))
        #expect(throws: LookupRefusal.busy(limit: 4)) { try network.lookedUp[7]?.get() }
        // A point of low order is no key of anybody.
        network.members[7].core.configuration.callLimit = 512
        try network.handle(7, .lookUp(request: 8, NetworkID(key: VerifyingKey(Bytes32()))))
        #expect(throws: LookupRefusal.invalidID) { try network.lookedUp[8]?.get() }
    }

    @Test("a lookup ends though the clock goes back by an hour meanwhile")
    func clock() throws {
        var network = try DirectoryNetwork.joined(seed: 605, 30)
        let (id, record, _) = try Self.publish(in: &network)
        for holder in network.holders(record.blindedKey, epoch: record.epoch) { network.members[holder].isUp = false }
        let asker = try #require((0..<30).first { network.members[$0].isUp })
        network.ahead[asker] = 3600
        try network.run(milliseconds: 1000)
        try network.handle(asker, .lookUp(request: 1, id))
        network.ahead[asker] = 0
        try network.run(milliseconds: 15_000)
        #expect(network.lookedUp[1] != nil)
    }
}
