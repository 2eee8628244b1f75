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
            row.encode(), ItemRow(expiry: 3, messageID: garbage.entropy.bytes(), blob: [1, 2, 3]).encode(),
            BlockRow(expiry: 4, block: try fixture.block()).encode(),
        ]
        for _ in 0..<10_000 {
            let bytes = garbage.bytes(like: valid)
            // Rows of the first version, of 76 bytes, are written longer.
            if let read = try? AccountRow(decoding: bytes), bytes.count != 76 { #expect(read.encode() == bytes) }
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
}
