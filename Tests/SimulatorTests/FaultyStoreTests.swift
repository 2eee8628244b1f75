import Correspondence
import Storage
import Testing
import Wire

@testable import Simulator

@Suite struct FaultyStoreTests {
    static let table = Table("t")

    /// A store with a = 1 on disk and two transactions that are not synced: b = 2; a = 3, b gone.
    static func unsynced() throws -> FaultyStore {
        var store = FaultyStore()
        try store.put(table, [1], [1])
        store.commit()
        store.sync()
        try store.put(table, [2], [2])
        store.commit()
        try store.put(table, [1], [3])
        try store.delete(table, [2])
        store.commit()
        #expect(store.unsyncedCount == 2)
        return store
    }

    static func content(_ store: FaultyStore) throws -> [UInt8: [UInt8]] {
        var content: [UInt8: [UInt8]] = [:]
        try store.scan(table, from: []) { key, value in
            content[key[0]] = value
            return true
        }
        #expect(try store.count(table) == content.count)
        return content
    }

    @Test("the end of a process loses the open transaction only")
    func process() throws {
        var store = try FaultyStoreTests.unsynced()
        try store.put(FaultyStoreTests.table, [9], [9])
        store.crash(.process) { _ in 0 }
        #expect(try FaultyStoreTests.content(store) == [1: [3]])
    }

    @Test("a loss of power loses what was not synced, and nothing that was")
    func power() throws {
        var store = try FaultyStoreTests.unsynced()
        store.crash(.power) { _ in 0 }
        #expect(try FaultyStoreTests.content(store) == [1: [1]])
        var synced = try FaultyStoreTests.unsynced()
        synced.sync()
        synced.crash(.power) { _ in 0 }
        #expect(try FaultyStoreTests.content(synced) == [1: [3]])
    }

    @Test("a torn sync keeps whole transactions from the first one on", arguments: 0...2)
    func torn(_ kept: Int) throws {
        var store = try FaultyStoreTests.unsynced()
        store.crash(.torn) { _ in kept }
        let states: [[UInt8: [UInt8]]] = [[1: [1]], [1: [1], 2: [2]], [1: [3]]]
        #expect(try FaultyStoreTests.content(store) == states[kept])
        #expect(store.unsyncedCount == 0)
    }

    @Test("a full store deletes and puts nothing, a full disk takes neither, and a transaction is given up whole")
    func full() throws {
        var store = try FaultyStoreTests.unsynced()
        try store.put(FaultyStoreTests.table, [5], [5])
        store.isFull = true
        #expect(throws: StorageError.full) { try store.put(FaultyStoreTests.table, [6], [6]) }
        try store.delete(FaultyStoreTests.table, [1])
        store.rollback()
        #expect(try FaultyStoreTests.content(store) == [1: [3]])
        store.isFull = false
        try store.put(FaultyStoreTests.table, [6], [6])
        store.isDiskFull = true
        #expect(throws: StorageError.full) { try store.put(FaultyStoreTests.table, [7], [7]) }
        #expect(throws: StorageError.full) { try store.delete(FaultyStoreTests.table, [6]) }
        // Who deletes nothing writes nothing.
        try store.delete(FaultyStoreTests.table, [99])
        store.isDiskFull = false
        try store.delete(FaultyStoreTests.table, [6])
        #expect(throws: StorageError.invalidSize) { try store.put(FaultyStoreTests.table, [], [6]) }
    }

    @Test("it reads like the plain store in memory, and its size is that of what it holds")
    func equalsMemoryStore() throws {
        var faulty = FaultyStore()
        var plain = MemoryStore()
        var state: UInt64 = 88
        func draw(_ bound: UInt64) -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state >> 33) % bound
        }
        for _ in 0..<2000 {
            let key = [UInt8(draw(7)) + 1, UInt8(draw(7))]
            if draw(3) == 0 {
                try faulty.delete(FaultyStoreTests.table, key)
                try plain.delete(FaultyStoreTests.table, key)
            } else {
                let value = [UInt8](repeating: UInt8(draw(256)), count: Int(draw(5)))
                try faulty.put(FaultyStoreTests.table, key, value)
                try plain.put(FaultyStoreTests.table, key, value)
            }
            #expect(try faulty.get(FaultyStoreTests.table, key) == plain.get(FaultyStoreTests.table, key))
        }
        var left: [[UInt8]] = []
        var right: [[UInt8]] = []
        try faulty.scan(FaultyStoreTests.table, from: [3, 2]) {
            left += [$0, $1]
            return left.count < 20
        }
        try plain.scan(FaultyStoreTests.table, from: [3, 2]) {
            right += [$0, $1]
            return right.count < 20
        }
        #expect(left == right && left.count == 20)
        var size = 0
        try faulty.scan(FaultyStoreTests.table, from: []) {
            size += $0.count + $1.count
            return true
        }
        #expect(size == faulty.bytes)
    }

    @Test("an agent notices that its settings were damaged")
    func corrupted() throws {
        let agent = try WorldAgent(0, home: 0, configuration: AgentConfiguration(), seed: 1)
        // Settings as the agent wrote them, cut short by a torn page.
        try agent.store.put(Table("state"), Array("settings".utf8), [1, 2, 3])
        agent.store.commit()
        #expect(throws: StorageError.self) { try agent.start(Timestamp(seconds: 20_000 * 86_400), trusting: []) }
        var store = try FaultyStoreTests.unsynced()
        store.crash(.corrupted) { $0 - 1 }
        // The highest bit of the last value that was written and is still there.
        #expect(try FaultyStoreTests.content(store) == [1: [0x83]])
    }
}
