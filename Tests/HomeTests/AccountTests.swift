import Envelope
import Primitives
import Storage
import Testing
import Wire

@testable import Home

/// Recovery commitments, taking over, closing.
@Suite struct AccountTests {
    /// Opens the account with a commitment to the key that is returned.
    static func open(_ fixture: inout Fixture) throws -> SigningKey {
        let recovery = SigningKey(&fixture.entropy)
        let register = HomeRequest.register(
            home: fixture.node, token: "", recovery: Account.commitment(to: recovery.publicKey), key: fixture.owner)
        #expect(try answer(&fixture, register) == .registered(account: fixture.account))
        return recovery
    }

    static func answer(_ fixture: inout Fixture, _ request: HomeRequest) throws -> HomeAnswer? {
        try fixture.request(request.encode(), [fixture.block()]).first?.1
    }

    static func takeOver(
        _ fixture: borrowing Fixture, _ serial: UInt64, _ key: VerifyingKey, _ recovery: borrowing SigningKey
    ) -> HomeRequest {
        .takeOver(home: fixture.node, account: fixture.account, serial: serial, key: key, recovery: recovery)
    }

    @Test("only the recovery key gives an account another key; the old one can do nothing from then on")
    func takeOver() throws {
        var fixture = Fixture(seed: 30)
        let recovery = try AccountTests.open(&fixture)
        let next = SigningKey(&fixture.entropy)
        let thief = SigningKey(&fixture.entropy)
        let forged = AccountTests.takeOver(fixture, 1, thief.publicKey, thief)
        #expect(try AccountTests.answer(&fixture, forged) == .refused(.wrongRecovery))
        guard case .takeOver(var changed) = AccountTests.takeOver(fixture, 1, next.publicKey, recovery) else { return }
        changed.key = thief.publicKey
        #expect(try AccountTests.answer(&fixture, .takeOver(changed)) == .refused(.wrongSignature))

        let id: Bytes16 = fixture.entropy.bytes()
        #expect(try fixture.deliver([7], id: id).isAccepted)
        // The thief acknowledges what was not meant for him.
        let number = try #require(try fixture.attach().items.first?.number)
        _ = try fixture.attach(acknowledging: [number])
        let request = AccountTests.takeOver(fixture, 1, next.publicKey, recovery)
        for _ in 0..<2 { #expect(try AccountTests.answer(&fixture, request) == .takenOver(serial: 1)) }
        fixture.restart()
        #expect(try fixture.attach() == [.refused(.wrongSignature)])
        #expect(try fixture.register() == .refused(.superseded))
        #expect(try HomeCore.accounts(fixture.store).map(\.replyBlocks) == [0])
        // The sender repeats it, and the owner gets it after all.
        #expect(try fixture.deliver([7], id: id) == [.accepted(messageID: id)])
        let blocks = try fixture.blocks(3)
        var writer = Writer()
        for block in blocks { block.encode(&writer) }
        let attach = HomeRequest.attach(
            home: fixture.node, account: fixture.account, counter: 1, isReturning: true, acknowledged: [],
            blocks: writer.bytes, key: next)
        #expect(try fixture.request(attach.encode(), blocks).map(\.1).items.map(\.messageID) == [id])
    }

    @Test("a take-over cannot be played again once there was a later one")
    func replay() throws {
        var fixture = Fixture(seed: 31)
        let recovery = try AccountTests.open(&fixture)
        let keys = (SigningKey(&fixture.entropy).publicKey, SigningKey(&fixture.entropy).publicKey)
        let first = AccountTests.takeOver(fixture, 1, keys.0, recovery)
        #expect(try AccountTests.answer(&fixture, first) == .takenOver(serial: 1))
        let second = AccountTests.takeOver(fixture, 2, keys.1, recovery)
        #expect(try AccountTests.answer(&fixture, second) == .takenOver(serial: 2))
        #expect(try AccountTests.answer(&fixture, first) == .refused(.replayed))
        let same = AccountTests.takeOver(fixture, 2, keys.0, recovery)
        #expect(try AccountTests.answer(&fixture, same) == .refused(.replayed))
    }

    @Test("a commitment is made once: by the first who opens the account, or later if there is none")
    func commitment() throws {
        var fixture = Fixture(seed: 32)
        #expect(try fixture.register() == .registered(account: fixture.account))
        let own = SigningKey(&fixture.entropy)
        let other = SigningKey(&fixture.entropy)
        // Without a commitment nobody can take the account over.
        let early = AccountTests.takeOver(fixture, 1, other.publicKey, other)
        #expect(try AccountTests.answer(&fixture, early) == .refused(.wrongRecovery))
        let trials: [(VerifyingKey, HomeAnswer)] = [
            (own.publicKey, .registered(account: fixture.account)),
            (own.publicKey, .registered(account: fixture.account)), (other.publicKey, .refused(.superseded)),
        ]
        for (recovery, expected) in trials {
            let request = HomeRequest.register(
                home: fixture.node, token: "", recovery: Account.commitment(to: recovery), key: fixture.owner)
            #expect(try AccountTests.answer(&fixture, request) == expected)
        }
        #expect(fixture.home.counters.superseded == 1)
    }

    @Test("an account is closed when it is empty, or when its owner gives up what waits; then nothing of it is left")
    func close() throws {
        var fixture = Fixture(seed: 33)
        let recovery = try AccountTests.open(&fixture)
        _ = try fixture.attach()
        for index in 0..<3 as Range<UInt8> { _ = try fixture.deliver([index]) }
        func closing(_ discards: Bool, _ key: borrowing SigningKey) -> HomeRequest {
            .close(home: fixture.node, account: fixture.account, discards: discards, recovery: key)
        }
        #expect(try AccountTests.answer(&fixture, closing(false, recovery)) == .refused(.notEmpty))
        #expect(try AccountTests.answer(&fixture, closing(true, fixture.owner)) == .refused(.wrongRecovery))
        for _ in 0..<2 {
            #expect(try AccountTests.answer(&fixture, closing(true, recovery)) == .closed(account: fixture.account))
        }
        for table in [HomeTables.items, HomeTables.blocks, HomeTables.recent, HomeTables.index] {
            #expect(try fixture.store.count(table) == 0)
        }
        #expect(try HomeCore.accounts(fixture.store).isEmpty)
        #expect(try fixture.deliver([1]) == [.refused(.unknownAccount)])
        // Not even its owner opens it again: whoever stole the key could.
        #expect(try fixture.register() == .refused(.superseded))
        try fixture.leap(seconds: HomeCore.closedFor + 1)
        _ = try fixture.wake()
        #expect(try fixture.store.count(HomeTables.accounts) == 0)
        #expect(try fixture.store.count(HomeTables.closed) == 0)
    }

    @Test("rows that the first two versions wrote are read", arguments: [76, 117])
    func oldRow(_ size: Int) throws {
        var fixture = Fixture(seed: 34)
        _ = try fixture.register()
        var row = try #require(try fixture.store.get(HomeTables.accounts, fixture.account.bytes)).prefix(size)
        // Without the flag that a check follows.
        if size > 76 { row[size - 1] = 0 }
        try fixture.store.put(HomeTables.accounts, fixture.account.bytes, Array(row))
        #expect(try fixture.attach() == [.attached(pending: 0, blocks: 2)])
        #expect(try fixture.deliver([1]).isAccepted)
    }
}
