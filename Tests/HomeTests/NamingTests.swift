import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Home

/// Names: first come, first served, bounded, durable.
@Suite struct NamingTests {
    static func fixture(_ seed: UInt64, names: Int = 3) throws -> Fixture {
        var configuration = HomeConfiguration()
        configuration.namesPerAccount = names
        var fixture = Fixture(seed: seed, configuration)
        NamingTests.sign(&fixture)
        _ = try fixture.register()
        return fixture
    }

    /// Signs with a key of the seed, as the node would.
    static func sign(_ fixture: inout Fixture) {
        fixture.home.nameSigner = { label, pointer, epoch, published in
            var entropy = Entropy(seed: 77)
            return try? NameRecord.seal(
                label: label, pointer: pointer, server: SigningKey(&entropy), epoch: epoch, published: published)
        }
    }

    static func ask(
        _ fixture: inout Fixture, _ label: Bytes32, epoch: UInt64? = nil, isRelease: Bool = false
    ) throws -> HomeAnswer? {
        fixture.counter += 1
        let pointer = isRelease ? nil : [UInt8](repeating: 5, count: NamePointer.size)
        let request = HomeRequest.name(
            home: fixture.node, account: fixture.account, counter: fixture.counter,
            epoch: epoch ?? fixture.now.epoch, label: label, pointer: pointer, key: fixture.owner)
        return try fixture.request(request.encode(), [fixture.block()]).first?.1
    }

    /// The label asked for by the owner of another account of the same home.
    static func askOther(_ fixture: inout Fixture, _ label: Bytes32) throws -> HomeAnswer? {
        let other = SigningKey(&fixture.entropy)
        _ = try fixture.request(
            HomeRequest.register(home: fixture.node, token: "", key: other).encode(), [fixture.block()])
        let request = HomeRequest.name(
            home: fixture.node, account: Account.id(of: other.publicKey), counter: 1, epoch: fixture.now.epoch,
            label: label, pointer: [UInt8](repeating: 6, count: NamePointer.size), key: other)
        return try fixture.request(request.encode(), [fixture.block()]).first?.1
    }

    @Test("who comes first has the name, across a restart, and gets a record that the server has signed")
    func first() throws {
        var fixture = try NamingTests.fixture(40)
        let label: Bytes32 = fixture.entropy.bytes()
        guard case .named(label, let bytes) = try NamingTests.ask(&fixture, label) else {
            Issue.record("no name")
            return
        }
        let record = try DirectoryRecord(decoding: bytes)
        try record.verify(at: fixture.now)
        #expect(record.epoch == fixture.now.epoch)
        fixture.restart()
        NamingTests.sign(&fixture)
        #expect(try NamingTests.askOther(&fixture, label) == .refused(.nameTaken))
        #expect(try NamingTests.ask(&fixture, label) == .named(label: label, record: bytes))
        #expect(fixture.home.counters.namesRefused == 1)
    }

    @Test("names are bounded for each account, and none are given where the operator gives none")
    func bounds() throws {
        var fixture = try NamingTests.fixture(41, names: 2)
        for index in 0..<3 {
            let answer = try NamingTests.ask(&fixture, fixture.entropy.bytes())
            #expect((answer == .refused(.noMoreNames)) == (index == 2))
        }
        var closed = try NamingTests.fixture(42, names: 0)
        #expect(try NamingTests.ask(&closed, closed.entropy.bytes()) == .refused(.noMoreNames))
        var unsigned = try NamingTests.fixture(43)
        unsigned.home.nameSigner = nil
        #expect(try NamingTests.ask(&unsigned, unsigned.entropy.bytes()) == .refused(.noMoreNames))
        #expect(try unsigned.store.count(HomeTables.names) == 0)
    }

    @Test("a record is signed for the present epoch, and for the next in its last four hours")
    func epochs() throws {
        var fixture = try NamingTests.fixture(44)
        let label: Bytes32 = fixture.entropy.bytes()
        let epoch = fixture.now.epoch
        for wrong in [0, epoch - 1, epoch + 1, epoch + 2, UInt64.max] {
            #expect(try NamingTests.ask(&fixture, label, epoch: wrong) == .refused(.wrongEpoch))
        }
        fixture.now = Timestamp(seconds: (epoch + 1) * 86_400 - 3600)
        for right in [epoch, epoch + 1] {
            guard case .named(_, let bytes) = try NamingTests.ask(&fixture, label, epoch: right) else {
                Issue.record("epoch \(right)")
                continue
            }
            try DirectoryRecord(decoding: bytes).verify(at: fixture.now)
        }
    }

    @Test("a name that was given up, or whose account was closed, rests before another account gets it")
    func rest() throws {
        var fixture = try NamingTests.fixture(45)
        let label: Bytes32 = fixture.entropy.bytes()
        guard case .named(_, let first) = try NamingTests.ask(&fixture, label),
            case .released(label, let bytes) = try NamingTests.ask(&fixture, label, isRelease: true)
        else {
            Issue.record("no record")
            return
        }
        // The record that says so is newer, also within a second; asked again, it is the same.
        let record = try DirectoryRecord(decoding: bytes)
        #expect(try record.sequence > DirectoryRecord(decoding: first).sequence && bytes.count == first.count)
        try record.verify(at: fixture.now)
        #expect(try NamingTests.ask(&fixture, label, isRelease: true) == .released(label: label, record: bytes))
        #expect(try NamingTests.askOther(&fixture, label) == .refused(.nameTaken))
        #expect(try fixture.store.count(HomeTables.labels) == 0)
        // Its owner may change his mind, and again.
        guard case .named(_, let again) = try NamingTests.ask(&fixture, label) else {
            Issue.record("the owner does not get his name back")
            return
        }
        #expect(try DirectoryRecord(decoding: again).sequence > record.sequence)
        guard case .released = try NamingTests.ask(&fixture, label, isRelease: true) else {
            Issue.record("not released")
            return
        }
        fixture.now = fixture.now.adding(seconds: HomeCore.nameRest + 1)
        let answer = try NamingTests.askOther(&fixture, label)
        guard case .named = answer else {
            Issue.record("\(String(describing: answer))")
            return
        }
        // Nobody has asked for its record for long: it is free, and forgotten.
        try fixture.leap(seconds: HomeCore.nameLifetime + 1)
        _ = try fixture.wake()
        #expect(try fixture.store.count(HomeTables.names) == 0)
        #expect(try fixture.store.count(HomeTables.labels) == 0)
    }

    @Test("nobody is given a record that takes another's name out of the directory")
    func foreign() throws {
        var fixture = try NamingTests.fixture(47)
        let label: Bytes32 = fixture.entropy.bytes()
        guard case .named = try NamingTests.ask(&fixture, label) else {
            Issue.record("no name")
            return
        }
        let other = SigningKey(&fixture.entropy)
        _ = try fixture.request(
            HomeRequest.register(home: fixture.node, token: "", key: other).encode(), [fixture.block()])
        let request = HomeRequest.name(
            home: fixture.node, account: Account.id(of: other.publicKey), counter: 1, epoch: fixture.now.epoch,
            label: label, pointer: nil, key: other)
        let answer = try fixture.request(request.encode(), [fixture.block()]).first?.1
        #expect(answer == .released(label: label, record: []))
        #expect(try fixture.store.count(HomeTables.labels) == 1)
    }

    @Test("a request that is replayed, or signed by another, changes nothing")
    func forged() throws {
        var fixture = try NamingTests.fixture(46)
        let label: Bytes32 = fixture.entropy.bytes()
        let thief = SigningKey(&fixture.entropy)
        let pointer = [UInt8](repeating: 1, count: NamePointer.size)
        let forged = HomeRequest.name(
            home: fixture.node, account: fixture.account, counter: 9, epoch: fixture.now.epoch, label: label,
            pointer: pointer, key: thief)
        #expect(try fixture.request(forged.encode(), [fixture.block()]).first?.1 == .refused(.wrongSignature))
        let real = HomeRequest.name(
            home: fixture.node, account: fixture.account, counter: 9, epoch: fixture.now.epoch, label: label,
            pointer: nil, key: fixture.owner)
        #expect(try fixture.request(real.encode(), [fixture.block()]).first?.1 == .released(label: label, record: []))
        #expect(try fixture.request(real.encode(), [fixture.block()]).first?.1 == .refused(.replayed))
        #expect(try fixture.store.count(HomeTables.names) == 0)
    }
}
