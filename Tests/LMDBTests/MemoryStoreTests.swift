import Storage
import Testing

private let table = Table("table")

@Suite("The store in memory")
struct MemoryStoreTests {
    @Test("gives back, counts, scans in order and forgets, table by table")
    func contents() throws {
        var store = MemoryStore()
        for key: [UInt8] in [[2], [1, 0], [1], [0xff], [0]] { try store.put(table, key, key + [7]) }
        try store.put(Table("other"), [1], [])
        #expect(try store.get(table, [1]) == [1, 7])
        #expect(try store.get(table, [3]) == nil)
        #expect(try store.get(Table(named: "other"), [1]) == [])
        #expect(try store.count(table) == 5)
        #expect(try store.count(Table("none")) == 0)
        var found: [[UInt8]] = []
        try store.scan(table, from: [1]) { key, value in
            #expect(value == key + [7])
            found.append(key)
            return found.count < 3
        }
        #expect(found == [[1], [1, 0], [2]])
        try store.delete(table, [1])
        try store.delete(table, [1])
        #expect(try store.get(table, [1]) == nil)
        #expect(try store.count(table) == 4)
    }

    @Test("refuses impossible keys, and writes but not deletes when it is told to be full")
    func refusals() throws {
        var store = MemoryStore()
        for key in [[], [UInt8](repeating: 0, count: 512)] {
            #expect(throws: StorageError.invalidSize) { try store.put(table, key, []) }
        }
        try store.put(table, [UInt8](repeating: 0, count: 511), [])
        store.isFull = true
        #expect(throws: StorageError.full) { try store.put(table, [1], [1]) }
        try store.delete(table, [UInt8](repeating: 0, count: 511))
        #expect(try store.count(table) == 0)
    }
}
