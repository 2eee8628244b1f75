import Envelope
import Primitives
import Storage
import Testing
import Wire

@testable import Home

@Suite struct HomeTests {
    @Test("an account is opened once, and opening it again changes nothing")
    func registration() throws {
        var fixture = Fixture(seed: 1)
        #expect(try fixture.register() == .registered(account: fixture.account))
        _ = try fixture.deliver([1])
        #expect(try fixture.register() == .registered(account: fixture.account))
        let rows = try HomeCore.accounts(fixture.store)
        #expect(rows.count == 1 && rows[0].items == 1)
    }

    @Test("a registration for another home, of another key or with another token is refused")
    func wrongRegistration() throws {
        var fixture = Fixture(seed: 2)
        let other = SigningKey(&fixture.entropy)
        let elsewhere = HomeRequest.register(home: fixture.entropy.bytes(), token: "", key: fixture.owner)
        #expect(try fixture.request(elsewhere.encode(), [fixture.block()]).first?.1 == .refused(.wrongSignature))
        guard case .register(var registration) = HomeRequest.register(home: fixture.node, token: "", key: other) else {
            return
        }
        registration.key = fixture.owner.publicKey
        let stolen = HomeRequest.register(registration).encode()
        #expect(try fixture.request(stolen, [fixture.block()]).first?.1 == .refused(.wrongSignature))
        #expect(try fixture.store.count(HomeTables.accounts) == 0)

        var configuration = HomeConfiguration()
        configuration.registrationToken = "sesame"
        configuration.accountLimit = 1
        var closed = Fixture(seed: 3, configuration)
        #expect(try closed.register(token: "poppy") == .refused(.wrongToken))
        #expect(try closed.register(token: "sesame") == .registered(account: closed.account))
        let second = HomeRequest.register(home: closed.node, token: "sesame", key: other).encode()
        #expect(try closed.request(second, [closed.block()]).first?.1 == .refused(.serverFull))
    }

    @Test("an attachment that is replayed, changed or signed by another is refused; overtaken ones count")
    func attachment() throws {
        var fixture = Fixture(seed: 4)
        _ = try fixture.register()
        let blocks = try fixture.blocks(3)
        let body = fixture.attachBody(100, [], blocks)
        #expect(try fixture.request(body, blocks).first?.1 == .attached(pending: 0, blocks: 2))
        #expect(try fixture.request(body, blocks).first?.1 == .refused(.replayed))
        #expect(try fixture.request(fixture.attachBody(99, [], blocks), blocks).count == 1)
        #expect(fixture.home.counters.attachments == 2)
        #expect(try fixture.request(fixture.attachBody(36, [], blocks), blocks).first?.1 == .refused(.replayed))
        #expect(try fixture.request(fixture.attachBody(37, [], blocks), blocks).first?.1 != .refused(.replayed))
        // The signature binds the reply blocks.
        let foreign = try fixture.blocks(3)
        let signed = fixture.attachBody(101, [], blocks)
        #expect(try fixture.request(signed, foreign).first?.1 == .refused(.wrongSignature))
        for _ in 0..<100 {
            var changed = signed
            changed[17 + fixture.entropy.below(changed.count - 17)] ^= 1 << UInt8(fixture.entropy.below(8))
            if changed == signed { continue }
            let answers = try fixture.request(changed, blocks).map(\.1)
            // A changed count or flag spoils the layout.
            #expect(answers == [.refused(.wrongSignature)] || answers == [.refused(.malformed)])
        }
        #expect(try fixture.request(signed, blocks).first?.1 != .refused(.wrongSignature))
        fixture.restart()
        #expect(try fixture.request(signed, blocks).first?.1 == .refused(.replayed))
    }

    @Test("a message is answered when it is on disk, reaches the owner, and is gone once acknowledged")
    func delivery() throws {
        var fixture = Fixture(seed: 5)
        _ = try fixture.register()
        #expect(try fixture.attach() == [.attached(pending: 0, blocks: 2)])
        let answers = try fixture.deliver([1, 2, 3])
        #expect(answers.isAccepted)
        let item = try #require(answers.items.first)
        #expect(item.blob == [1, 2, 3] && item.pending == 1)
        fixture.now = fixture.now.adding(milliseconds: 100)
        #expect(try fixture.attach(acknowledging: [item.number]) == [.attached(pending: 0, blocks: 3)])
        #expect(try fixture.store.count(HomeTables.items) == 0)
        #expect(fixture.home.counters.acknowledged == 1)
        #expect(try fixture.attach(acknowledging: [item.number]).items.isEmpty)
        #expect(try HomeCore.accounts(fixture.store).first?.items == 0)
    }

    @Test("the same message again is answered as before and stored once, after its acknowledgement and a restart too")
    func dedupe() throws {
        var fixture = Fixture(seed: 6)
        _ = try fixture.register()
        let id: Bytes16 = fixture.entropy.bytes()
        for _ in 0..<3 { #expect(try fixture.deliver([9], id: id) == [.accepted(messageID: id)]) }
        #expect(try fixture.store.count(HomeTables.items) == 1)
        let number = try #require(try fixture.attach().items.first?.number)
        _ = try fixture.attach(acknowledging: [number])
        fixture.restart()
        #expect(try fixture.deliver([9], id: id) == [.accepted(messageID: id)])
        #expect(try fixture.store.count(HomeTables.items) == 0)
        #expect(fixture.home.counters.duplicates == 1)
        // The memory of message IDs is bounded.
        for _ in 0..<UInt64(HomeCore.recentLimit) + 10 {
            for item in try fixture.deliver([0]).items { _ = try fixture.attach(acknowledging: [item.number]) }
            if try fixture.store.count(HomeTables.items) > 0 {
                let items = try fixture.attach().items
                _ = try fixture.attach(acknowledging: items.map(\.number))
            }
        }
        #expect(try fixture.store.count(HomeTables.index) == Int(HomeCore.recentLimit))
        #expect(try fixture.store.count(HomeTables.recent) == Int(HomeCore.recentLimit))
    }

    @Test("an inbox is bounded in items and in bytes, and takes more once there is room")
    func bounds() throws {
        var configuration = HomeConfiguration()
        configuration.inboxItems = 3
        configuration.inboxBytes = 1000
        var fixture = Fixture(seed: 7, configuration)
        _ = try fixture.register()
        for _ in 0..<3 { #expect(try fixture.deliver([1]).isAccepted) }
        #expect(try fixture.deliver([1]) == [.refused(.inboxFull)])
        let items = try fixture.attach().items
        #expect(items.count == 3)
        _ = try fixture.attach(acknowledging: items.map(\.number))
        #expect(try fixture.deliver([UInt8](repeating: 1, count: 900)).isAccepted)
        #expect(try fixture.deliver([UInt8](repeating: 1, count: 101)) == [.refused(.inboxFull)])
        #expect(try fixture.deliver([UInt8](repeating: 1, count: 100)).isAccepted)
        #expect(fixture.home.counters.full == 2)
    }

    @Test("an item that nobody acknowledges is sent again after the time-out, less and less often")
    func redelivery() throws {
        var fixture = Fixture(seed: 8)
        _ = try fixture.register()
        _ = try fixture.attach()
        _ = try fixture.attach()
        _ = try fixture.attach()
        var sentAt: [UInt64] = []
        for item in try fixture.deliver([5]).items { sentAt.append(item.number) }
        #expect(sentAt == [1])
        var times: [UInt64] = []
        for second in 1...400 {
            fixture.now = Fixture.noon.adding(seconds: UInt64(second))
            if let wake = fixture.home.nextWake, wake <= fixture.now, !(try fixture.wake().map(\.1).items.isEmpty) {
                times.append(UInt64(second))
            }
        }
        #expect(times == [30, 90, 210])
    }

    @Test("an owner who has just come back gets at once what was sent a moment ago")
    func returning() throws {
        var fixture = Fixture(seed: 10)
        _ = try fixture.register()
        _ = try fixture.attach()
        #expect(try fixture.deliver([5]).items.map(\.blob) == [[5]])
        #expect(try fixture.attach().items.isEmpty)
        #expect(try fixture.attach(isReturning: true).items.map(\.blob) == [[5]])
    }

    @Test("an owner who attaches gets what was sent a while ago, oldest first, and a restarted home forgets nothing")
    func attachAgain() throws {
        var fixture = Fixture(seed: 9)
        _ = try fixture.register()
        for blob in 1...4 as ClosedRange<UInt8> { _ = try fixture.deliver([blob]) }
        #expect(try fixture.attach().items.map(\.blob) == [[1], [2], [3]])
        #expect(try fixture.attach().items.map(\.blob) == [[4]])
        fixture.restart()
        #expect(try fixture.attach().items.map(\.blob) == [[1], [2], [3], [4]])
        fixture.now = fixture.now.adding(seconds: 10)
        #expect(try fixture.attach(acknowledging: [1, 3]).items.map(\.blob) == [[2], [4]])
    }

    @Test("items expire after the retention and make room")
    func itemExpiry() throws {
        var fixture = Fixture(seed: 10)
        _ = try fixture.register()
        _ = try fixture.wake()
        _ = try fixture.deliver([1])
        fixture.now = fixture.now.adding(seconds: 30 * 86_400 - 1)
        _ = try fixture.wake()
        #expect(try fixture.store.count(HomeTables.items) == 1)
        fixture.now = fixture.now.adding(seconds: 3601)
        _ = try fixture.wake()
        #expect(try fixture.store.count(HomeTables.items) == 0)
        #expect(try HomeCore.accounts(fixture.store).first?.items == 0)
        #expect(fixture.home.counters.expired == 1)
    }

    @Test("more expired items than one sweep takes are gone within seconds, and damaged ones with them")
    func longSweep() throws {
        var configuration = HomeConfiguration()
        configuration.inboxItems = 3000
        var fixture = Fixture(seed: 19, configuration)
        _ = try fixture.register()
        for _ in 0..<2500 { #expect(try fixture.deliver([1]).isAccepted) }
        try fixture.store.put(HomeTables.items, HomeTables.key(fixture.account, 1), [7])
        _ = try fixture.wake()
        #expect(try fixture.store.count(HomeTables.items) == 2499)
        try fixture.leap(seconds: configuration.retention)
        for left in [1499, 499, 0] {
            _ = try fixture.wake()
            #expect(try fixture.store.count(HomeTables.items) == left)
            fixture.now = fixture.now.adding(seconds: 1)
        }
        #expect(try HomeCore.accounts(fixture.store).map(\.items) == [0])
        let rest = try #require(fixture.home.nextWake).milliseconds(since: fixture.now)
        #expect(rest > 3_000_000)
    }

    @Test("the newest reply blocks are used first, so many are kept, and none after its epoch")
    func blockExpiry() throws {
        var fixture = Fixture(seed: 11)
        _ = try fixture.register()
        for _ in 0..<8 { _ = try fixture.attach() }
        #expect(try HomeCore.accounts(fixture.store).first?.replyBlocks == 11)
        fixture.counter += 1
        let blocks = try fixture.blocks(3)
        #expect(try fixture.request(fixture.attachBody(fixture.counter, [], blocks), blocks).first?.0 == blocks[2])
        #expect(try fixture.store.count(HomeTables.blocks) == 11)
        fixture.now = Timestamp(seconds: (fixture.now.epoch + 1) * 86_400)
        #expect(try fixture.deliver([1]).items.isEmpty)
        #expect(try fixture.store.count(HomeTables.blocks) == 0)
        #expect(try fixture.attach().items.count == 1)
    }

    @Test("a home without room says so, keeps what it has, and still delivers")
    func noRoom() throws {
        var fixture = Fixture(seed: 12)
        _ = try fixture.register()
        for blob in 1...3 as ClosedRange<UInt8> { _ = try fixture.deliver([blob]) }
        fixture.home.acceptsWrites = false
        #expect(try fixture.deliver([4]) == [.refused(.serverFull)])
        let items = try fixture.attach().items
        #expect(items.map(\.blob) == [[1], [2], [3]])
        _ = try fixture.attach(acknowledging: items.map(\.number))
        #expect(try fixture.store.count(HomeTables.items) == 0)
        #expect(try fixture.store.count(HomeTables.blocks) == 0)
        fixture.home.acceptsWrites = true
        #expect(try fixture.deliver([4]).isAccepted)
    }

    @Test("a store that is full acknowledges nothing, and the home works again when there is room")
    func fullStore() throws {
        var fixture = Fixture(seed: 13)
        _ = try fixture.register()
        let before = fixture.store
        fixture.store.isFull = true
        #expect(throws: StorageError.full) { try fixture.deliver([1]) }
        #expect(throws: StorageError.full) { try fixture.attach() }
        // The driver drops the transaction.
        fixture.store = before
        #expect(try fixture.deliver([2]).isAccepted)
        fixture.now = fixture.now.adding(seconds: 31)
        #expect(try fixture.attach().items.map(\.blob) == [[2]])
    }

    @Test("a message for an unknown account is refused and stores nothing")
    func unknownAccount() throws {
        var fixture = Fixture(seed: 14)
        #expect(try fixture.deliver([1]) == [.refused(.unknownAccount)])
        #expect(try fixture.attach() == [.refused(.unknownAccount)])
        #expect(try fixture.store.count(HomeTables.items) == 0)
    }
}
