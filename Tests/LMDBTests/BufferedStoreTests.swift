import LMDB
import Storage
import Testing

private let tables = [Table("one"), Table("two")]

/// Everything that a store says of itself.
private struct Contents: Equatable {
    var entries: [[[UInt8]]] = []
    var counts: [Int] = []

    init(_ store: borrowing some (KeyValueStore & ~Copyable), from start: [UInt8], limit: Int) throws {
        for table in tables {
            var found: [[UInt8]] = []
            try store.scan(table, from: start) { key, value in
                found += [key, value]
                return found.count < 2 * limit
            }
            entries.append(found)
            counts.append(try store.count(table))
        }
    }
}

@Suite("Writes that are not on disk yet")
struct BufferedStoreTests {
    /// Turns of random reads and writes; now and then the open writes are sealed, brought to disk and forgotten.
    @Test("read like a store in which they are", arguments: [1, 2, 3] as [UInt64])
    func model(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let directory = try TemporaryDirectory()
        let environment = try LMDBEnvironment(
            path: directory.file("store"), mapSize: 1 << 20, tables: tables, noSync: true)
        var model = MemoryStore()
        var open = WriteBuffer()
        var sealed = WriteBuffer()
        for _ in 0..<400 {
            var store = BufferedStore(try environment.beginReading(), sealed: sealed, open: open)
            for _ in 0..<random.below(6) {
                let table = tables[random.below(2)]
                let key = random.bytes(1 + random.below(2)).map { $0 % 6 }
                if random.below(3) == 0 {
                    try store.delete(table, key)
                    try model.delete(table, key)
                } else {
                    let value = random.bytes(random.below(4))
                    try store.put(table, key, value)
                    try model.put(table, key, value)
                }
                #expect(try store.get(table, key) == model.get(table, key), "seed \(seed)")
            }
            let start = random.below(2) == 0 ? [] : [UInt8(random.below(6))]
            let limit = 1 + random.below(40)
            #expect(
                try Contents(store, from: start, limit: limit) == Contents(model, from: start, limit: limit),
                "seed \(seed)")
            open = store.finish()
            switch random.below(4) {
            case 0 where sealed.isEmpty: (sealed, open) = (open, WriteBuffer())
            // On disk, and still read above it.
            case 1:
                try environment.write { (store: inout LMDBTransaction) throws(StorageError) in
                    try sealed.apply(to: &store)
                }
            case 2:
                try environment.write { (store: inout LMDBTransaction) throws(StorageError) in
                    try sealed.apply(to: &store)
                }
                sealed = WriteBuffer()
            default: break
            }
        }
    }

    @Test("a delete of what is not there is no write, and impossible sizes are refused")
    func refusals() throws {
        var base = MemoryStore()
        try base.put(tables[0], [1], [1])
        var store = BufferedStore(base, sealed: WriteBuffer(), open: WriteBuffer())
        try store.delete(tables[0], [2])
        #expect(store.operations == 0)
        try store.delete(tables[0], [1])
        try store.delete(tables[0], [1])
        #expect(store.operations == 1)
        do throws(StorageError) {
            try store.put(tables[0], [], [1])
            Issue.record("an empty key was taken")
        } catch { #expect(error == .invalidSize) }
        let open = store.finish()
        var rest = base
        try open.apply(to: &rest)
        #expect(try rest.count(tables[0]) == 0)
        rest = base
        rest.isFull = true
        var writes = BufferedStore(base, sealed: WriteBuffer(), open: WriteBuffer())
        try writes.put(tables[0], [3], [3])
        let full = writes.finish()
        #expect(throws: StorageError.full) { try full.apply(to: &rest) }
    }
}
