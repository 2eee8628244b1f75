import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Directory

/// A store that claims a million records and counts what is visited.
private struct VastStore: KeyValueStore {
    /// Other tables have few entries, whatever is stored.
    private static let vast = [
        RecordStore.table, RecordStore.expiries, RecordStore.quotas,
    ]
    final class Visits: @unchecked Sendable { var count = 0 }
    let visits = Visits()
    var inner = MemoryStore()

    func get(_ table: Table, _ key: [UInt8]) throws(StorageError) -> [UInt8]? { try inner.get(table, key) }
    mutating func put(_ table: Table, _ key: [UInt8], _ value: [UInt8]) throws(StorageError) {
        try inner.put(table, key, value)
    }
    mutating func delete(_ table: Table, _ key: [UInt8]) throws(StorageError) { try inner.delete(table, key) }
    func count(_ table: Table) throws(StorageError) -> Int { 1_000_000 }
    func scan(_ table: Table, from start: [UInt8], _ body: (_ key: [UInt8], _ value: [UInt8]) -> Bool)
        throws(StorageError)
    {
        var left = 1_000_000
        try inner.scan(table, from: start) { key, value in
            visits.count += 1
            return body(key, value)
        }
        // More of the same, far in the future.
        while left > 0, VastStore.vast.contains(table) {
            left -= 1
            visits.count += 1
            guard body([UInt8](repeating: 0xff, count: 40), []) else { return }
        }
    }
}

@Suite struct StorageTests {
    @Test("the servers of one prefix, and all agents together, fill no more than their share; nobody else is kept out")
    func quotas() throws {
        var configuration = DirectoryConfiguration()
        configuration.demandsPuzzles = false
        configuration.recordLimit = 20
        configuration.prefixRecordLimit = 5
        configuration.sealedRecordLimit = 10
        var server = try LoneServer(seed: 300, configuration)
        for index in 0..<8 {
            let record = try server.record()
            let answer = try server.ask(.put(record: record.encode()), from: LoneServer.peer(index))
            #expect(answer == (index < 5 ? .stored(sequence: 1) : .refused(.full)))
        }
        for index in 0..<12 {
            let record = try server.record()
            let answer = try server.ask(.put(record: record.encode()))
            #expect(answer == (index < 10 ? .stored(sequence: 1) : .refused(.full)))
        }
        let other = try server.record()
        #expect(try server.ask(.put(record: other.encode()), from: LoneServer.stranger(1)) == .stored(sequence: 1))
        #expect(server.core.counters.overQuota == 5)
        #expect(try RecordStore.usage(.all, server.store).records == 16)
        #expect(try RecordStore.usage(.agents, server.store).records == 10)
    }

    @Test("a newer record keeps counting for whoever brought the first, and bytes are bounded too")
    func replacing() throws {
        var configuration = DirectoryConfiguration()
        configuration.byteLimit = 2000
        var server = try LoneServer(seed: 301, configuration)
        let publisher = Publisher(&server.entropy)
        for sequence in 1...5 {
            let record = try publisher.record(server.now, sequence: UInt64(sequence), entropy: &server.entropy)
            let from = sequence == 1 ? LoneServer.peer(1) : nil
            #expect(try server.ask(.put(record: record.encode()), from: from) == .stored(sequence: UInt64(sequence)))
        }
        #expect(try RecordStore.usage(.agents, server.store) == RecordStore.Usage())
        #expect(try RecordStore.usage(RecordStore.Group(LoneServer.peer(1), isProven: true), server.store).records == 1)
        #expect(try server.store.count(RecordStore.expiries) == 1)
        var usage = try RecordStore.usage(.all, server.store)
        for _ in 0..<5 {
            let isRoom = usage.bytes < 2000
            let more = try server.record()
            let answer = try server.ask(.put(record: more.encode()))
            #expect(answer == (isRoom ? .stored(sequence: 1) : .refused(.full)))
            usage = try RecordStore.usage(.all, server.store)
        }
        #expect(server.core.counters.full > 0)
        #expect(usage.bytes < 2000 + 1024)
    }

    @Test("after its expiry no record of its epoch is taken, whatever its sequence")
    func over() throws {
        var server = try LoneServer(seed: 302)
        let publisher = Publisher(&server.entropy)
        let newest = try publisher.record(server.now, sequence: 9, entropy: &server.entropy)
        let later = try publisher.record(server.now, sequence: 10, entropy: &server.entropy)
        #expect(try server.ask(.put(record: newest.encode())) == .stored(sequence: 9))
        server.now = Timestamp(seconds: newest.expiry)
        _ = try server.wake()
        // A clock that leaps is on trial for a while.
        server.now = server.now.adding(seconds: 901)
        _ = try server.wake()
        #expect(try DirectoryCore.recordCount(server.store) == 0)
        #expect(try server.store.count(RecordStore.expiries) == 0)
        #expect(try RecordStore.usage(.all, server.store) == RecordStore.Usage())
        #expect(try server.ask(.put(record: later.encode())) == .refused(.expired))
    }

    @Test("when very many expire together the rest is deleted a second later, not a minute")
    func sweepInParts() throws {
        var server = try LoneServer(seed: 338)
        let count = DirectoryCore.sweepLimit + 100
        for _ in 0..<count {
            let record = try server.record()
            try RecordStore.put(record, replacing: nil, from: .agents, &server.store)
        }
        server.now = Timestamp(seconds: DirectoryRecord.expiry(ofEpoch: server.now.epoch) + 1)
        _ = try server.wake()
        // A clock that leaps is on trial for a while.
        server.now = server.now.adding(seconds: 901)
        _ = try server.wake()
        #expect(try DirectoryCore.recordCount(server.store) == 100)
        server.now = server.now.adding(milliseconds: 1000)
        _ = try server.wake()
        #expect(try DirectoryCore.recordCount(server.store) == 0)
        #expect(server.core.counters.expired == UInt64(count))
    }

    @Test("a start, an answer and a sweep visit a handful of entries of a store with a million records")
    func vast() throws {
        var entropy = Entropy(seed: 303)
        let server = VerifyingKey(entropy.bytes())
        let now = DirectoryNetwork.noon
        let publisher = Publisher(&entropy)
        let record = try publisher.record(now, entropy: &entropy)
        var store = VastStore()
        try RecordStore.put(record, replacing: nil, from: .agents, &store)
        var core = try DirectoryCore(serverID: server, descriptor: [], now: now, store: store)
        let get = DirectoryMessage.get(key: record.blindedKey, epoch: record.epoch).encode()
        let effects = try core.handle(
            .request(from: nil, token: 1, message: get), now: now, entropy: &entropy, store: &store)
        #expect(LoneServer.answers(effects)[1] == .record(record.encode()))
        #expect(store.visits.count == 0)
        _ = try RecordStore.sweep(now, limit: 100, &store)
        #expect(store.visits.count <= 4)
    }

    @Test("a miss is answered with the server's signature, of the size of a hit, and no change of it is believed")
    func absence() throws {
        var server = try LoneServer(seed: 304)
        let unknown = VerifyingKey(server.entropy.bytes())
        let epoch = server.now.epoch
        let get = DirectoryMessage.get(key: unknown, epoch: epoch)
        #expect(try server.ask(get) == .missing)
        let copy = SharedKey(server.key)
        server.core.sign = { copy.key.sign($0) }
        guard case .absent(let absence) = try server.ask(get) else {
            Issue.record("no statement")
            return
        }
        let id = server.key.publicKey
        let now = server.now
        #expect(absence.isValid(from: id, key: unknown, epoch: epoch, at: now))
        #expect(absence.isValid(from: id, key: unknown, epoch: epoch, at: now.adding(seconds: 600)))
        #expect(!absence.isValid(from: id, key: unknown, epoch: epoch, at: now.adding(seconds: 601)))
        #expect(!absence.isValid(from: id, key: unknown, epoch: epoch + 1, at: now))
        #expect(!absence.isValid(from: id, key: id, epoch: epoch, at: now))
        #expect(!absence.isValid(from: unknown, key: unknown, epoch: epoch, at: now))
        let later = Absence(serverID: id, time: absence.time + 1, signature: absence.signature)
        #expect(!later.isValid(from: id, key: unknown, epoch: epoch, at: now))
        let bytes = DirectoryMessage.absent(absence).encode()
        #expect(bytes.count == DirectoryMessage.answerSize && DirectoryMessage.missing.encode().count == bytes.count)
        #expect(try DirectoryMessage(decoding: bytes) == .absent(absence))
        for bit in 0..<8 * (2 + Absence.encodedSize) {
            var changed = bytes
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            guard case .absent(let other) = try? DirectoryMessage(decoding: changed) else { continue }
            #expect(!other.isValid(from: id, key: unknown, epoch: epoch, at: now))
        }
        var padded = bytes
        padded[bytes.count - 1] = 1
        #expect(throws: WireError.self) { try DirectoryMessage(decoding: padded) }
        // What older servers send, padded or not.
        #expect(try DirectoryMessage(decoding: [66]) == .missing)
        #expect(try DirectoryMessage(decoding: [66, 0, 0]) == .missing)
        for _ in 0..<6000 { _ = try server.ask(get) }
        #expect(server.core.counters.signedMisses <= 4001)
    }

    @Test("a negative answer is believed when ten holders of three rings agree, each counted once")
    func quorum() {
        var entropy = Entropy(seed: 305)
        let holders: [NodeID] = (0..<20).map { _ in entropy.bytes() }
        let rings = (0..<4).map { ring in Array(holders[5 * ring..<5 * ring + 5]) }
        var quorum = AbsenceQuorum(rings: rings)
        for _ in 0..<20 { quorum.take(holders[0]) }
        for _ in 0..<20 { quorum.take(entropy.bytes()) }
        #expect(quorum.count == 1)
        for index in 1..<10 { quorum.take(holders[index]) }
        #expect(quorum.count == 10)
        #expect(!quorum.isReached, "two rings only")
        quorum.take(holders[10])
        #expect(quorum.isReached)

        var few = AbsenceQuorum(rings: [[holders[0], holders[1]], [holders[2]], [], []])
        few.take(holders[0])
        #expect(!few.isReached)
        few.take(holders[2])
        #expect(few.isReached)
        #expect(!AbsenceQuorum(rings: [[], [], [], []]).isReached)
    }

    @Test("nine holders of all rings are not believed, the tenth makes it so")
    func narrowQuorum() {
        var entropy = Entropy(seed: 306)
        let holders: [NodeID] = (0..<20).map { _ in entropy.bytes() }
        var quorum = AbsenceQuorum(rings: (0..<4).map { ring in Array(holders[5 * ring..<5 * ring + 5]) })
        for index in [0, 1, 2, 5, 6, 7, 10, 11, 15] { quorum.take(holders[index]) }
        #expect(!quorum.isReached)
        quorum.take(holders[16])
        #expect(quorum.isReached)
    }
}

final class SharedKey: Sendable {
    let key: SigningKey
    init(_ key: borrowing SigningKey) { self.key = key.copy() }
    var publicKey: VerifyingKey { key.publicKey }
    func sign(_ message: [UInt8]) -> Signature { key.sign(message) }
}

@Suite struct BudgetTests {
    @Test("who asks for contacts from a proven address is asked who it is; no other address, and nobody for a record")
    func acquaintance() throws {
        var server = try LoneServer(seed: 310)
        let key = try server.record().blindedKey
        let requests = [
            (DirectoryMessage.get(key: key, epoch: server.now.epoch), true), (.findNode(target: Bytes32()), true),
            (.findNode(target: Bytes32()), false), (.ping, false),
        ]
        let asked = try requests.enumerated().map { index, request in
            let (message, isProven) = request
            let effects = try server.core.handle(
                .request(
                    from: LoneServer.stranger(index), isProven: isProven, token: 1, message: message.encode()),
                now: server.now, entropy: &server.entropy, store: &server.store)
            return effects.contains { if case .call(_, LoneServer.stranger(index), _) = $0 { true } else { false } }
        }
        #expect(asked == [false, true, false, false])
    }

    @Test("no request from an unproven address begins a call, to whomever; a search is begun for no datagram")
    func unproven() throws {
        let network = try DirectoryNetwork.joined(seed: 311, 12)
        let (asked, now) = (network.members[3], network.now)
        let key = VerifyingKey(Bytes32([UInt8](repeating: 7, count: 32)) ?? Bytes32())
        let mark = RecordMark(prefix: Bytes16(), sequence: 1)
        let requests: [DirectoryMessage] = [
            .get(key: key, epoch: now.epoch), .put(record: [1, 2, 3]), .findNode(target: Bytes32()), .ping,
            .findValue(key: key, epoch: now.epoch, place: 0), .iterate(key: key, epoch: now.epoch),
            .askShared(epoch: now.epoch), .compare([mark]),
        ]
        func calls(_ message: DirectoryMessage, from: Endpoint?, isProven: Bool) throws -> Int {
            var member = asked
            var entropy = Entropy(seed: 312)
            let effects = try member.core.handle(
                .request(from: from, isProven: isProven, token: 1, message: message.encode()), now: now,
                entropy: &entropy, store: &member.store)
            #expect(effects.count >= 1)
            return effects.count { if case .call = $0 { true } else { false } }
        }
        let stranger = LoneServer.stranger(1)
        for message in requests { #expect(try calls(message, from: stranger, isProven: false) == 0, "\(message)") }
        let search = requests[5]
        #expect(try calls(search, from: nil, isProven: false) > 1)
        #expect(try calls(search, from: stranger, isProven: true) == 1)
    }

    @Test("one prefix that asks too much is refused and counted; others, and agents, are served")
    func rates() throws {
        var configuration = DirectoryConfiguration()
        configuration.prefixRate = 50
        var server = try LoneServer(seed: 310, configuration)
        var busy = 0
        for index in 0..<200 where try server.ask(.ping, from: LoneServer.peer(index % 256)) == .refused(.busy) {
            busy += 1
        }
        #expect(busy == 150)
        #expect(server.core.counters.overRate == 150)
        #expect(try server.ask(.ping, from: LoneServer.stranger(5)) != .refused(.busy))
        #expect(try server.ask(.get(key: VerifyingKey(Bytes32()), epoch: 1)) == .missing)
        server.now = server.now.adding(milliseconds: 100)
        var served = 0
        for _ in 0..<50 where try server.ask(.ping, from: LoneServer.peer(1)) != .refused(.busy) { served += 1 }
        #expect(served == 5)
    }

    @Test("ten thousand prefixes do not grow the budget's table beyond its bound")
    func prefixes() {
        var budget = RequestBudget()
        let configuration = DirectoryConfiguration()
        var refused = 0
        for prefix in 1...10_000 {
            if !budget.admit(UInt64(prefix), isProven: true, configuration, DirectoryNetwork.noon) { refused += 1 }
        }
        // The first 1024 have their own; all others share one of 500 a second.
        #expect(refused == 10_000 - PrefixBudget.limit - configuration.prefixRate)
        let isAdmitted = budget.admit(77, isProven: true, configuration, DirectoryNetwork.noon)
        #expect(isAdmitted)
    }

    @Test(
        "a flood with forged addresses of one prefix, or of ever new ones, takes nothing from those whose addresses they are"
    )
    func forgedBudget() {
        var budget = RequestBudget()
        let configuration = DirectoryConfiguration()
        let now = DirectoryNetwork.noon
        var admitted = 0
        for _ in 0..<1000 where budget.admit(1, isProven: false, configuration, now) { admitted += 1 }
        #expect(admitted == configuration.unprovenRate)
        for prefix in 2...UInt64(3 * PrefixBudget.limit) {
            _ = budget.admit(prefix, isProven: false, configuration, now)
        }
        for prefix: UInt64 in [1, .max - 1] {
            admitted = 0
            for _ in 0..<1000 where budget.admit(prefix, isProven: true, configuration, now) { admitted += 1 }
            #expect(admitted == configuration.prefixRate)
        }
    }

    @Test("a flood from ever new prefixes takes nothing from agents, whose requests have a budget of their own")
    func sealedBudget() {
        var budget = RequestBudget()
        var configuration = DirectoryConfiguration()
        configuration.prefixRate = 5
        configuration.sealedRate = 100
        var now = DirectoryNetwork.noon
        // The agents were silent for long, and all places of the table are taken.
        for prefix in 1...UInt64(2 * PrefixBudget.limit) {
            _ = budget.admit(prefix, isProven: true, configuration, now)
        }
        now = now.adding(milliseconds: 10)
        let isAdmitted = budget.admit(.max - 2, isProven: true, configuration, now)
        #expect(!isAdmitted)
        var admitted = 0
        for _ in 0..<200 where budget.admit(nil, isProven: false, configuration, now) { admitted += 1 }
        #expect(admitted == 100)
        // A second later all are forgotten, and whoever is new has a bucket of his own again.
        now = now.adding(milliseconds: 1000)
        admitted = 0
        for _ in 0..<10 where budget.admit(.max - 1, isProven: true, configuration, now) { admitted += 1 }
        #expect(admitted == 5)
    }

    @Test("records that wait are checked after a tenth of a second, however many requests come meanwhile")
    func queueUnderLoad() throws {
        var configuration = DirectoryConfiguration()
        configuration.checkRate = 1
        var server = try LoneServer(seed: 312, configuration)
        // Its housekeeping is done, and not due again before the queue is.
        _ = try server.wake()
        #expect(try server.ask(.put(record: server.record().encode())) == .stored(sequence: 1))
        #expect(try server.ask(.put(record: server.record().encode())) == nil)
        let due = server.now.adding(milliseconds: DirectoryCore.queueInterval)
        for _ in 0..<5 {
            server.now = server.now.adding(milliseconds: 15)
            #expect(try server.ask(.get(key: VerifyingKey(Bytes32()), epoch: 1)) == .missing)
            #expect(server.core.nextWake.map { $0 <= due } ?? false)
        }
    }

    @Test("whoever asks and never answers keeps few calls busy, of one prefix fewer still")
    func silentStrangers() throws {
        var server = try LoneServer(seed: 313)
        func stranger(_ number: Int, prefix: Int) -> Endpoint {
            Endpoint(
                linkKey: X25519PublicKey(server.entropy.bytes()),
                address: SocketAddress(v4: (UInt8(prefix), 1, UInt8(number), 1), port: 4000))
        }
        for number in 0..<100 { _ = try server.ask(.ping, from: stranger(number, prefix: 1)) }
        #expect(server.core.calls.count == DirectoryCore.prefixMeetingLimit)
        for prefix in 2..<100 {
            for number in 0..<4 { _ = try server.ask(.ping, from: stranger(number, prefix: prefix)) }
        }
        #expect(server.core.calls.count == DirectoryCore.meetingLimit)
        #expect(server.core.counters.busy == 92 + 98 * 4 - 56)
    }

    @Test("records wait for their signature check in a queue for each peer; a flood waits for itself")
    func fairness() throws {
        var configuration = DirectoryConfiguration()
        configuration.checkRate = 10
        var server = try LoneServer(seed: 311, configuration)
        // Forged records of one prefix use up the checks of this second and fill its queue.
        for _ in 0..<40 {
            var forged = try server.record().encode()
            forged[forged.count - 1] ^= 1
            _ = try server.ask(.put(record: forged), from: LoneServer.peer(1))
        }
        #expect(server.core.counters.wrongSignature == 10)
        #expect(server.core.counters.queued == 30)
        #expect(server.core.counters.busy == UInt64(30 - FairQueue.peerLimit))
        let honest = try server.record()
        #expect(try server.ask(.put(record: honest.encode()), from: LoneServer.stranger(3)) == nil)
        let soon = server.now.adding(milliseconds: DirectoryCore.queueInterval)
        #expect(server.core.nextWake.map { $0 <= soon } ?? false)
        server.now = server.now.adding(milliseconds: 200)
        let answers = try server.wake()
        #expect(answers.count == 2)
        #expect(answers.values.contains(.stored(sequence: 1)))
    }
}
