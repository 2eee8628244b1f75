import Fuzz
import Primitives
import Storage
import Testing
import Wire

@testable import Home

@Suite("A home's rows under noise")
struct RowFuzzTests {
    @Test("rows are read as what they encode to, or refused")
    func decoders() throws {
        var garbage = Garbage("home rows", seed: 331)
        var fixture = Fixture(seed: 331)
        var row = AccountRow(key: fixture.owner.publicKey)
        row.counter = 9
        let valid = [
            row.encode(of: fixture.account),
            ItemRow(expiry: 3, messageID: garbage.entropy.bytes(), blob: [1, 2, 3]).encode(),
            BlockRow(expiry: 4, block: try fixture.block()).encode(),
        ]
        for _ in 0..<10_000 {
            let bytes = garbage.bytes(like: valid)
            // Rows of the first versions, of 76 and 117 bytes, are written longer.
            if let read = try? AccountRow(decoding: bytes, of: fixture.account), ![76, 117].contains(bytes.count) {
                #expect(read.encode(of: fixture.account) == bytes)
            }
            if let read = try? ItemRow(decoding: bytes) { #expect(read.encode() == bytes) }
            if let read = try? BlockRow(decoding: bytes) { #expect(read.encode() == bytes) }
        }
    }

    @Test("a home whose store is damaged answers every request, and new accounts work as ever")
    func damagedStore() throws {
        var garbage = Garbage("home store", seed: 332)
        var fixture = Fixture(seed: 332)
        _ = try fixture.register()
        _ = try fixture.attach()
        for _ in 0..<4 { _ = try fixture.deliver([1, 2, 3]) }
        let whole = fixture.store
        let noon = fixture.now
        let tables = [HomeTables.accounts, HomeTables.items, HomeTables.blocks, HomeTables.recent, HomeTables.index]
        for _ in 0..<80 {
            fixture.store = try garbage.damage(whole, tables)
            fixture.now = noon
            fixture.restart()
            _ = try fixture.register()
            _ = try fixture.deliver([4])
            _ = try fixture.attach(isReturning: true, acknowledging: [1, 2, .max])
            for hours in [1, 24 * 31] as [UInt64] {
                fixture.now = noon.adding(seconds: hours * 3600)
                _ = try fixture.wake()
            }
            _ = try HomeCore.accounts(fixture.store)
        }
    }

    @Test("an account whose entry is damaged is unknown until its owner registers again, and then has its items")
    func repair() throws {
        for damage in [[], [1, 2, 3], [UInt8](repeating: 7, count: 76)] as [[UInt8]] {
            var fixture = Fixture(seed: 333)
            _ = try fixture.register()
            for number in 0..<3 as Range<UInt8> { _ = try fixture.deliver([number]) }
            try fixture.store.put(HomeTables.accounts, fixture.account.bytes, damage)
            fixture.restart()
            #expect(try fixture.deliver([9]) == [.refused(.unknownAccount)])
            #expect(fixture.home.counters.damaged > 0)
            #expect(try fixture.register() == .registered(account: fixture.account))
            #expect(try fixture.deliver([3]).isAccepted)
            let items = try fixture.attach(blocks: 6).items
            #expect(items.map(\.blob) == [[0], [1], [2], [3]])
            _ = try fixture.attach(acknowledging: items.map(\.number))
            #expect(try HomeCore.accounts(fixture.store).map(\.items) == [0])
        }
    }

    @Test("no bit of an account's entry changes without being noticed, also after a take-over")
    func everyBit() throws {
        var fixture = Fixture(seed: 334)
        let recovery = try AccountTests.open(&fixture)
        let next = SigningKey(&fixture.entropy)
        let request = AccountTests.takeOver(fixture, 1, next.publicKey, recovery)
        #expect(try AccountTests.answer(&fixture, request) == .takenOver(serial: 1))
        let whole = try #require(try fixture.store.get(HomeTables.accounts, fixture.account.bytes))
        for bit in 0..<whole.count * 8 {
            var row = whole
            row[bit / 8] ^= 1 << UInt8(bit % 8)
            try fixture.store.put(HomeTables.accounts, fixture.account.bytes, row)
            fixture.restart()
            #expect(try fixture.deliver([1]) == [.refused(.unknownAccount)], "bit \(bit)")
            #expect(fixture.home.counters.damaged == 1)
        }
        // Nor is the entry of one account another's.
        try fixture.store.put(HomeTables.accounts, Bytes16().bytes, whole)
        #expect(try HomeCore.accounts(fixture.store).isEmpty)
    }
}
