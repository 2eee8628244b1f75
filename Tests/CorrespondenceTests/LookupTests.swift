import Directory
import Primitives
import Records
import Testing
import Wire

@testable import Correspondence

/// One lookup at twenty holders, asked and answered by hand.
@Suite("Lookups")
struct LookupTests {
    private static let start = Timestamp(seconds: 20_000 * 86_400 + 50_000)

    /// A user, its holders, and records of any age.
    private struct Fixture: ~Copyable {
        var entropy: Entropy
        let user: SigningKey
        let nodes: [NodeID]
        let id: BlindedID
        let seeds: [Bytes32]

        init(seed: UInt64) throws {
            print("seed \(seed)")
            entropy = Entropy(seed: seed)
            let user = SigningKey(&entropy)
            id = try BlindedID(NetworkID(key: user.publicKey), epoch: LookupTests.start.epoch)
            self.user = user
            var seeds: [Bytes32] = []
            var nodes: [NodeID] = []
            for _ in 0..<20 {
                let seed = entropy.bytes(Bytes32.self)
                var own = Entropy(seed: seed)
                seeds.append(seed)
                nodes.append(Node.id(of: SigningKey(&own).publicKey))
            }
            self.seeds = seeds
            self.nodes = nodes
        }

        mutating func lookup(test: AnswerTest? = nil) -> Lookup<RecordBody> {
            Lookup(
                user: id,
                rings: (0..<4).map { Array(nodes[5 * $0..<5 * $0 + 5]) }, directories: nodes, test: test,
                now: LookupTests.start, entropy: &entropy)
        }

        func absence(_ node: NodeID) throws -> DirectoryMessage {
            let index = try #require(nodes.firstIndex(of: node))
            var own = Entropy(seed: seeds[index])
            let server = SigningKey(&own)
            let time = LookupTests.start.seconds
            let digest = Absence.digest(
                server: server.publicKey, key: id.key, epoch: LookupTests.start.epoch, time: time)
            return .absent(Absence(serverID: server.publicKey, time: time, signature: server.sign(digest)))
        }

        mutating func record(age: UInt64) throws -> DirectoryMessage {
            let published = LookupTests.start.seconds - age
            let operational = SigningKey(&entropy)
            let body = RecordBody(
                home: entropy.bytes(), account: entropy.bytes(), sealing: X25519PublicKey(entropy.bytes()),
                operational: operational.publicKey, operationalExpiry: published + 86_400, policy: 1,
                prekeys: Bytes32(), user: user)
            return .record(
                try DirectoryRecord.seal(
                    body: body, user: user, epoch: LookupTests.start.epoch, sequence: published,
                    expiry: published + 80_000, entropy: &entropy
                ).encode())
        }
    }

    private static func answer(
        _ lookup: inout Lookup<RecordBody>, _ message: DirectoryMessage, from holder: NodeID, _ now: Timestamp
    ) {
        var found: (record: DirectoryRecord, body: RecordBody)?
        if case .record(let record, let body) = lookup.read(message, from: holder, now: now) { found = (record, body) }
        lookup.take(found, from: holder, now: now, grace: 1500)
    }

    @Test("holders whose answers were lost are asked once more before an ID counts as not found")
    func lost() throws {
        var fixture = try Fixture(seed: 51)
        var lookup = fixture.lookup()
        var now = LookupTests.start
        var requests: [NodeID: Int] = [:]
        for _ in 0..<100 {
            switch lookup.step(AgentConfiguration(), now: now, queueDelay: 0) {
            case .ask(let holders):
                for holder in holders {
                    requests[holder, default: 0] += 1
                    // The first answer of every second holder is lost, and three holders never answer.
                    let index = try #require(fixture.nodes.firstIndex(of: holder))
                    guard index >= 3, index % 2 == 0 || requests[holder] == 2 else { continue }
                    LookupTests.answer(&lookup, try fixture.absence(holder), from: holder, now)
                }
            case .wait: now = max(lookup.deadline, now.adding(milliseconds: 1))
            case .askFallback: break
            case .found: Issue.record("there is no record")
            case .failed(let error):
                #expect(error == .notFound(asked: 20, missing: 17))
                #expect(requests.values.allSatisfy { $0 <= 2 })
                let all = requests.values.reduce(0, +)
                #expect(all == 20 + 3 + 9)
                return
            }
        }
        Issue.record("no end")
    }

    @Test("a holder that answers twice counts once")
    func twice() throws {
        var fixture = try Fixture(seed: 52)
        var lookup = fixture.lookup()
        guard case .ask(let wave) = lookup.step(AgentConfiguration(), now: LookupTests.start, queueDelay: 0) else {
            Issue.record("no wave")
            return
        }
        for _ in 0..<8 { LookupTests.answer(&lookup, .missing, from: wave[0], LookupTests.start) }
        #expect(lookup.answered == 1)
        let record = try fixture.record(age: 60)
        LookupTests.answer(&lookup, record, from: wave[1], LookupTests.start)
        guard case .wait = lookup.step(AgentConfiguration(), now: LookupTests.start, queueDelay: 0) else {
            Issue.record("two holders are not enough")
            return
        }
    }

    @Test("a direct lookup asks all at once and ends when so many answers are enough; the highest sequence wins")
    func direct() throws {
        var fixture = try Fixture(seed: 53)
        // Everybody answered within 100 ms, evenly.
        var times = AnswerTimes()
        for number in 0..<1000 { times.note(UInt64(number % 100)) }
        let test = try #require(AnswerTest(times, holders: 20))
        var lookup = fixture.lookup(test: test)
        let start = LookupTests.start
        guard case .ask(let wave) = lookup.step(AgentConfiguration(), now: start, queueDelay: 0) else {
            Issue.record("no wave")
            return
        }
        #expect(Set(wave) == Set(fixture.nodes))
        let old = try fixture.record(age: 7200)
        let new = try fixture.record(age: 60)
        for holder in wave.prefix(3) { LookupTests.answer(&lookup, old, from: holder, start) }
        // What says that there is none is not evidence for the record.
        for holder in wave[3..<6] { LookupTests.answer(&lookup, .missing, from: holder, start) }
        let three = start.adding(milliseconds: try #require(test.due(3)))
        #expect(lookup.deadline == three)
        guard case .wait = lookup.step(AgentConfiguration(), now: start.adding(milliseconds: 60), queueDelay: 0) else {
            Issue.record("three answers are too few after 60 ms")
            return
        }
        LookupTests.answer(&lookup, new, from: wave[6], start.adding(milliseconds: 60))
        let four = start.adding(milliseconds: try #require(test.due(4)))
        #expect(lookup.deadline == four && four <= three)
        guard case .found(let record, _) = lookup.step(AgentConfiguration(), now: four, queueDelay: 0) else {
            Issue.record("four answers are enough then")
            return
        }
        #expect(record.sequence == start.seconds - 60)
    }
}
