import Foundation
import Glibc
import LMDB
import Storage
import Testing

private let records = Table("records")
private let inbox = Table("inbox")

private func open(_ path: String, mapSize: Int = 1 << 20) throws -> LMDBEnvironment {
    try LMDBEnvironment(path: path, mapSize: mapSize, tables: [records, inbox], noSync: true)
}

/// Everything in a table, in the order of a scan.
private func contents(_ environment: LMDBEnvironment, _ table: Table) throws -> [[UInt8]: [UInt8]] {
    try environment.read { (transaction: inout LMDBTransaction) throws(StorageError) in
        var all: [[UInt8]: [UInt8]] = [:]
        try transaction.scan(table, from: []) { key, value in
            all[key] = value
            return true
        }
        return all
    }
}

@Suite("An LMDB environment")
struct EnvironmentTests {
    @Test("is read beside the process that has it for itself, and changes nothing then")
    func readOnly() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("store")
        #expect(!LMDBEnvironment.isInUse(path))
        do {
            let environment = try open(path)
            try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
                try transaction.put(records, [1], [10])
            }
            #expect(LMDBEnvironment.isInUse(path))
            #expect(throws: StorageError.self) { try open(path) }
        }
        #expect(!LMDBEnvironment.isInUse(path))
        // Within one process a second opening is forbidden, so the first is over; its lock is taken by hand.
        let lock = Glibc.open(path + "/lock", O_RDWR)
        defer { close(lock) }
        try #require(flock(lock, LOCK_EX | LOCK_NB) == 0)
        #expect(LMDBEnvironment.isInUse(path))
        let reader = try LMDBEnvironment(readingBeside: path, mapSize: 1 << 20, tables: [records])
        #expect(try contents(reader, records) == [[1]: [10]])
        #expect(throws: StorageError.self) {
            try reader.write { (transaction: inout LMDBTransaction) throws(StorageError) in
                try transaction.put(records, [2], [20])
            }
        }
    }

    @Test("gives back what was put, in its own table, and forgets what was deleted")
    func roundTrip() throws {
        let directory = try TemporaryDirectory()
        let environment = try open(directory.file("a/b/store"))
        try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
            try transaction.put(records, [1], [10])
            try transaction.put(records, [2], [])
            try transaction.put(inbox, [1], [30])
            try transaction.put(records, [1], [11])
            try transaction.delete(inbox, [9])
        }
        let large = [UInt8](repeating: 7, count: 100_000)
        try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
            #expect(try transaction.get(records, [1]) == [11])
            #expect(try transaction.get(records, [2]) == [])
            #expect(try transaction.get(records, [3]) == nil)
            #expect(try transaction.get(inbox, [1]) == [30])
            #expect(try transaction.count(records) == 2)
            try transaction.delete(records, [1])
            #expect(try transaction.get(records, [1]) == nil)
            try transaction.put(records, [UInt8](repeating: 1, count: 511), large)
        }
        #expect(try contents(environment, records) == [[2]: [], [UInt8](repeating: 1, count: 511): large])
    }

    @Test("scans in ascending byte order, from a key on, until told to stop")
    func order() throws {
        let directory = try TemporaryDirectory()
        let environment = try open(directory.file("store"))
        let keys: [[UInt8]] = [[0], [0, 0], [1], [1, 0xff], [2], [0x7f], [0x80], [0xff], [0xff, 0xff]]
        let longest = [UInt8](repeating: 5, count: 511)
        try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
            for key in keys.reversed() { try transaction.put(records, key, key) }
            try transaction.put(inbox, longest, [1])
            try transaction.put(inbox, [6], [2])
        }
        func scan(_ table: Table, from start: [UInt8], limit: Int = .max) throws -> [[UInt8]] {
            try environment.read { (transaction: inout LMDBTransaction) throws(StorageError) in
                var found: [[UInt8]] = []
                try transaction.scan(table, from: start) { key, _ in
                    found.append(key)
                    return found.count < limit
                }
                return found
            }
        }
        #expect(try scan(records, from: []) == keys)
        #expect(try scan(records, from: [1]) == Array(keys[2...]))
        #expect(try scan(records, from: [1, 0]) == Array(keys[3...]))
        #expect(try scan(records, from: [0xff, 0xff, 0]) == [])
        #expect(try scan(records, from: [], limit: 3) == Array(keys[..<3]))
        // Longer than any key can be.
        #expect(try scan(inbox, from: longest + [0]) == [[6]])
    }

    @Test("keeps nothing of a transaction that threw or was dropped")
    func abort() throws {
        struct Reason: Error {}
        let directory = try TemporaryDirectory()
        let environment = try open(directory.file("store"))
        try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
            try transaction.put(records, [1], [1])
        }
        #expect(throws: StorageError.unavailable("changed my mind")) {
            try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
                try transaction.put(records, [2], [2])
                try transaction.delete(records, [1])
                throw .unavailable("changed my mind")
            }
        }
        do {
            var dropped = try environment.begin()
            try dropped.put(records, [3], [3])
        }
        #expect(try contents(environment, records) == [[1]: [1]])
        var kept = try environment.begin()
        try kept.put(records, [4], [4])
        try kept.commit()
        #expect(try contents(environment, records) == [[1]: [1], [4]: [4]])
    }

    @Test("does not commit a transaction in which a write failed and the failure was ignored")
    func ignoredFailure() throws {
        let directory = try TemporaryDirectory()
        let environment = try open(directory.file("store"))
        #expect(throws: StorageError.full) {
            try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
                try transaction.put(records, [1], [1])
                try? transaction.put(records, [2], [UInt8](repeating: 0, count: 2 << 20))
            }
        }
        #expect(try contents(environment, records).isEmpty)
    }

    @Test("refuses keys and values of impossible size, and tables it was not opened with")
    func sizes() throws {
        let directory = try TemporaryDirectory()
        let environment = try open(directory.file("store"))
        try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
            for key in [[], [UInt8](repeating: 0, count: 512)] {
                #expect(throws: StorageError.invalidSize) { try transaction.put(records, key, []) }
                #expect(try transaction.get(records, key) == nil)
                try transaction.delete(records, key)
            }
            #expect(throws: StorageError.unavailable("table other was not opened")) {
                try transaction.get(Table("other"), [1])
            }
        }
    }

    @Test("refuses to write in a transaction for reading")
    func readingOnly() throws {
        let directory = try TemporaryDirectory()
        let environment = try open(directory.file("store"))
        #expect(throws: StorageError.self) {
            try environment.read { (transaction: inout LMDBTransaction) throws(StorageError) in
                try transaction.put(records, [1], [1])
            }
        }
    }

    @Test("shows a reader the state of its beginning while others write")
    func isolation() throws {
        let directory = try TemporaryDirectory()
        let environment = try open(directory.file("store"))
        let reader = try environment.beginReading()
        try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
            try transaction.put(records, [1], [1])
        }
        #expect(try reader.get(records, [1]) == nil)
        #expect(try contents(environment, records) == [[1]: [1]])
    }

    @Test("lets many tasks write, one after another, while others read whole states")
    func concurrency() async throws {
        let directory = try TemporaryDirectory()
        // A reader that the system suspends keeps the pages of its state, so there is room for many states.
        let environment = try LMDBEnvironment(
            path: directory.file("store"), mapSize: 64 << 20, tables: [records, inbox])
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<100 {
                        try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
                            let count = try transaction.get(records, [1]).map { Int($0[0]) << 8 | Int($0[1]) } ?? 0
                            let next = [
                                UInt8(truncatingIfNeeded: (count + 1) >> 8), UInt8(truncatingIfNeeded: count + 1),
                            ]
                            try transaction.put(records, [1], next)
                            try transaction.put(inbox, [1], next)
                        }
                        try environment.read { (transaction: inout LMDBTransaction) throws(StorageError) in
                            #expect(try transaction.get(records, [1]) == transaction.get(inbox, [1]))
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(try contents(environment, records) == [[1]: [3, 32]])  // 800
    }

    @Test("takes at most 32 tables")
    func tableLimit() throws {
        let directory = try TemporaryDirectory()
        let tables = (0..<33).map { Table(named: "table-\($0)") }
        #expect(throws: StorageError.self) {
            try LMDBEnvironment(path: directory.file("a"), mapSize: 1 << 20, tables: tables)
        }
        _ = try LMDBEnvironment(path: directory.file("b"), mapSize: 1 << 20, tables: Array(tables.dropLast()))
    }

    @Test("agrees with the model in memory after 10,000 random operations")
    func model() throws {
        let seed: UInt64 = 20_260_701
        print("LMDB against the model: seed \(seed)")
        var random = SeededGenerator(seed: seed)
        let directory = try TemporaryDirectory()
        let environment = try open(directory.file("store"), mapSize: 16 << 20)
        var model = MemoryStore()
        var operations = 0
        while operations < 10_000 {
            let aborts = random.below(5) == 0
            var draft = model
            var transaction = try environment.begin()
            for _ in 0..<(1 + random.below(200)) {
                operations += 1
                let table = random.below(2) == 0 ? records : inbox
                // Few different keys, so that most are met again.
                let key = Array(random.bytes(2).map { $0 & 15 }.prefix(1 + random.below(2)))
                switch random.below(10) {
                case 0..<5:
                    let value = random.bytes(random.below(20) == 0 ? 9000 : random.below(100))
                    try transaction.put(table, key, value)
                    try draft.put(table, key, value)
                case 5..<8:
                    try transaction.delete(table, key)
                    try draft.delete(table, key)
                case 8:
                    #expect(try transaction.get(table, key) == draft.get(table, key))
                default:
                    var left: [[[UInt8]]] = []
                    var right: [[[UInt8]]] = []
                    let limit = 1 + random.below(40)
                    try transaction.scan(table, from: key) {
                        left.append([$0, $1])
                        return left.count < limit
                    }
                    try draft.scan(table, from: key) {
                        right.append([$0, $1])
                        return right.count < limit
                    }
                    #expect(left == right)
                }
            }
            #expect(try transaction.count(records) == draft.count(records))
            if aborts { continue }
            try transaction.commit()
            model = draft
        }
        for table in [records, inbox] {
            var expected: [[UInt8]: [UInt8]] = [:]
            try model.scan(table, from: []) {
                expected[$0] = $1
                return true
            }
            #expect(try contents(environment, table) == expected)
        }
    }
}
