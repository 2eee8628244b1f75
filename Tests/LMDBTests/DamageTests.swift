import Foundation
import Storage
import Testing

@testable import LMDB

private let records = Table("records")
private let inbox = Table("inbox")
private let tables = [records, inbox]
private typealias Contents = [Table: [[UInt8]: [UInt8]]]

private func open(_ path: String, refuses: Bool = true) throws -> LMDBEnvironment {
    try LMDBEnvironment(path: path, mapSize: 8 << 20, tables: tables, noSync: true, refuses: refuses)
}

private func contents(_ environment: LMDBEnvironment) throws -> Contents {
    var all: Contents = [:]
    for table in tables {
        try environment.read { (transaction: inout LMDBTransaction) throws(StorageError) in
            try transaction.scan(table, from: []) { key, value in
                all[table, default: [:]][key] = value
                return true
            }
        }
    }
    return all
}

/// A store that has lived: entries of all sizes, written, replaced and deleted in many transactions.
private struct Life {
    var random: SeededGenerator
    let path: String
    /// After the last transaction, and after the one before.
    private(set) var last: Contents = [:]
    private(set) var before: Contents = [:]
    /// The file at the end of it.
    var image: [UInt8] = []

    init(seed: UInt64, path: String) {
        random = SeededGenerator(seed: seed)
        self.path = path
    }

    mutating func live(_ transactions: Int, in environment: LMDBEnvironment) throws {
        for _ in 0..<transactions {
            before = last
            let writes = (0..<(1 + random.below(30))).map { _ in draw() }
            try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
                for write in writes {
                    if let value = write.value {
                        try transaction.put(write.table, write.key, value)
                    } else {
                        try transaction.delete(write.table, write.key)
                    }
                }
            }
            for write in writes { last[write.table, default: [:]][write.key] = write.value }
        }
    }

    private mutating func draw() -> (table: Table, key: [UInt8], value: [UInt8]?) {
        let table = tables[random.below(2)]
        let key = [UInt8(random.below(8))] + Array("\(random.below(120))".utf8)
        guard random.below(3) > 0 else { return (table, key, nil) }
        let size = [0, 20, 300, 1900, 5000, 30_000][min(random.below(7), random.below(7), 5)]
        return (table, key, random.bytes(size))
    }

    var dataPath: String { path + "/data.mdb" }
    var bytes: [UInt8] { [UInt8](FileManager.default.contents(atPath: dataPath) ?? Data()) }
}

@Suite("A damaged data file")
struct DamageTests {
    private func life(_ seed: UInt64, _ directory: TemporaryDirectory, transactions: Int = 60) throws -> Life {
        var life = Life(seed: seed, path: directory.file("store"))
        let environment = try open(life.path)
        try environment.acknowledgeOrigin()
        try life.live(transactions, in: environment)
        // Every other one as a killed process leaves it.
        if seed % 2 == 0 { environment.settle() }
        life.image = life.bytes
        withExtendedLifetime(environment) {}
        return life
    }

    /// Puts `bytes` into the place of the file and opens it.
    private func reopened(_ life: Life, _ bytes: [UInt8], refuses: Bool = true) throws -> LMDBEnvironment {
        for name in try FileManager.default.contentsOfDirectory(atPath: life.path) where name.hasPrefix("damaged-") {
            try FileManager.default.removeItem(atPath: life.path + "/" + name)
        }
        try Data(bytes).write(to: URL(fileURLWithPath: life.dataPath))
        return try open(life.path, refuses: refuses)
    }

    @Test("is none that a store has which was only used: it opens as it was left, after every transaction")
    func sound() throws {
        for seed in UInt64(1)...6 {
            let directory = try TemporaryDirectory()
            var life = Life(seed: seed, path: directory.file("store"))
            do {
                let environment = try open(life.path)
                #expect(environment.origin == .new)
                try environment.acknowledgeOrigin()
            }
            for _ in 0..<25 {
                let environment = try open(life.path)
                #expect(environment.origin == .asLeft, "seed \(seed)")
                try life.live(1 + life.random.below(8), in: environment)
                // As a killed process leaves it.
                let copy = Life(seed: 0, path: directory.file("copy"))
                try FileManager.default.createDirectory(atPath: copy.path, withIntermediateDirectories: true)
                let survivor = try reopened(copy, life.bytes)
                #expect(survivor.origin == .asLeft, "seed \(seed)")
                #expect(try contents(survivor) == life.last.filter { !$0.value.isEmpty }, "seed \(seed)")
            }
        }
    }

    private enum Mode: CaseIterable { case bits, bytes, metas, page, cut, swap }

    private func damaged(_ bytes: [UInt8], _ mode: Mode, _ random: inout SeededGenerator) -> [UInt8] {
        var bytes = bytes
        switch mode {
        case .bits: for _ in 0..<5 { bytes[random.below(bytes.count)] ^= 1 << UInt8(random.below(8)) }
        case .bytes:
            for _ in 0..<200 { bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next()) }
        case .metas:
            let slot = random.below(2) * 4096
            for _ in 0..<3 { bytes[slot + random.below(152)] ^= 1 << UInt8(random.below(8)) }
        case .page:
            let page = random.below(bytes.count / 4096)
            bytes.replaceSubrange((page * 4096)..<(page * 4096 + 4096), with: random.bytes(4096))
        case .cut: bytes.removeLast(random.below(bytes.count))
        case .swap:
            let (one, two) = (random.below(bytes.count / 4096) * 4096, random.below(bytes.count / 4096) * 4096)
            let (first, second) = (Array(bytes[one..<(one + 4096)]), Array(bytes[two..<(two + 4096)]))
            bytes.replaceSubrange(one..<(one + 4096), with: second)
            bytes.replaceSubrange(two..<(two + 4096), with: first)
        }
        return bytes
    }

    @Test("is named, and the rest is read, as it was: whatever was changed in it", arguments: 1...4)
    func noise(group: Int) throws {
        var tally = (unharmed: 0, salvaged: 0, older: 0, refused: 0, kept: 0, lost: 0)
        for seed in UInt64(group * 1000)..<UInt64(group * 1000 + 60) {
            let directory = try TemporaryDirectory()
            var life = try life(seed, directory, transactions: 5 + Int(seed % 40))
            let mode = Mode.allCases[Int(seed) % Mode.allCases.count]
            let bytes = damaged(life.image, mode, &life.random)
            let comment = Comment(rawValue: "seed \(seed), \(mode)")
            let wanted = life.last.filter { !$0.value.isEmpty }
            #expect(!life.image.isEmpty)
            do {
                let environment = try reopened(life, bytes)
                let found = try contents(environment)
                guard case .salvaged(let damage) = environment.origin else {
                    #expect(found == wanted, comment)
                    tally.unharmed += 1
                    continue
                }
                tally.salvaged += 1
                #expect(!damage.problems.isEmpty, comment)
                #expect([UInt8](FileManager.default.contents(atPath: damage.file) ?? Data()) == bytes, comment)
                var isMissing = false
                for (table, entries) in found {
                    for (key, value) in entries {
                        let isLast = wanted[table]?[key] == value
                        if damage.mayBeOlder {
                            #expect(isLast || life.before[table]?[key] == value, comment)
                        } else {
                            #expect(isLast, comment)
                        }
                        tally.kept += 1
                    }
                    for key in (wanted[table] ?? [:]).keys where entries[key] == nil {
                        isMissing = true
                        tally.lost += 1
                    }
                }
                if isMissing { #expect(!damage.isHarmless, comment) }
                if damage.isHarmless { #expect(found == wanted, comment) }
                // A store that was closed has both meta pages lead to all of it.
                if mode == .metas, seed % 2 == 0 {
                    #expect(found == wanted && damage.isHarmless, "\(comment), \(damage)")
                }
                tally.older += damage.mayBeOlder ? 1 : 0
                // What was salvaged is sound, and says what happened until that is acknowledged.
                try environment.acknowledgeOrigin()
                try life.live(3, in: environment)
            } catch StorageError.corrupt(let reason) {
                #expect(!reason.isEmpty, comment)
                #expect(life.bytes == bytes, "a refused file stays as it is, \(comment)")
                tally.refused += 1
            }
        }
        print("damage group \(group): \(tally)")
    }

    /// Pages of a kind, by their flags.
    private func pages(_ bytes: [UInt8], flags: UInt16) -> [Int] {
        (2..<(bytes.count / 4096)).filter { page in
            bytes[page * 4096 + 10] == UInt8(flags) && bytes[page * 4096] == UInt8(truncatingIfNeeded: page)
        }
    }

    @Test("costs the entries of a leaf, and no other, when a leaf is lost; none when a branch is")
    func kinds() throws {
        let directory = try TemporaryDirectory()
        let life = try life(77, directory)
        let whole = life.bytes
        let wanted = life.last
        var lossesOfBranches = 0
        for (flags, isBranch) in [(PageFormat.branch, true), (PageFormat.leaf, false)] {
            for page in pages(whole, flags: flags) {
                var bytes = whole
                for place in (page * 4096)..<(page * 4096 + 4096) { bytes[place] = 0xff }
                let environment = try reopened(life, bytes)
                let found = try contents(environment)
                guard case .salvaged(let damage) = environment.origin else {
                    #expect(found == wanted, "page \(page)")
                    continue
                }
                let lost = wanted.reduce(0) { $0 + $1.value.count } - found.reduce(0) { $0 + $1.value.count }
                #expect(lost < 100, "page \(page)")
                #expect(!damage.mayBeOlder)
                if isBranch { lossesOfBranches += lost }
                for (table, entries) in found {
                    for (key, value) in entries { #expect(wanted[table]?[key] == value, "page \(page)") }
                }
                let told = damage.tables.reduce(0) { $0 + Int($1.lost ?? 0) }
                #expect(damage.tables.contains { $0.lost == nil } || told == lost, "page \(page): \(damage)")
            }
        }
        #expect(lossesOfBranches == 0)
    }

    @Test("does not bring back what was deleted or replaced")
    func deleted() throws {
        let directory = try TemporaryDirectory()
        var life = try life(78, directory, transactions: 30)
        do {
            let environment = try open(life.path)
            try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
                for (table, entries) in life.last {
                    for key in entries.keys { try transaction.delete(table, key) }
                }
                for key in UInt8(0)..<40 { try transaction.put(records, [key], [UInt8](repeating: key, count: 200)) }
            }
        }
        let whole = life.bytes
        for _ in 0..<40 {
            let bytes = damaged(whole, .page, &life.random)
            guard let environment = try? reopened(life, bytes) else { continue }
            guard case .salvaged(let damage) = environment.origin, !damage.mayBeOlder else { continue }
            for (key, value) in try contents(environment)[records] ?? [:] {
                #expect(key.count == 1 && value == [UInt8](repeating: key[0], count: 200))
            }
            #expect(try contents(environment)[inbox] == nil)
        }
    }

    @Test("of a store of which nothing is left is an error, or an empty store if that is wanted")
    func nothingLeft() throws {
        let directory = try TemporaryDirectory()
        let life = try life(79, directory)
        let noise = [UInt8](repeating: 0x5a, count: 40_960)
        #expect(throws: StorageError.self) { try reopened(life, noise) }
        #expect(life.bytes == noise)
        let environment = try reopened(life, noise, refuses: false)
        guard case .salvaged(let damage) = environment.origin else {
            Issue.record("\(environment.origin)")
            return
        }
        #expect(damage.mayBeOlder && damage.concerns("records"))
        #expect(try contents(environment).isEmpty)
    }

    /// Why the store at `path` is not opened where none may be made.
    private func refusal(_ path: String) -> String {
        do throws(StorageError) {
            _ = try LMDBEnvironment(path: path, mapSize: 1 << 20, tables: tables, creates: false)
            return "it was made"
        } catch {
            if case .corrupt(let reason) = error { return reason }
            return "\(error)"
        }
    }

    @Test("that is missing or empty is a new store, or an error where none may be made")
    func missing() throws {
        let directory = try TemporaryDirectory()
        let life = try life(80, directory)
        #expect(try reopened(life, []).origin == .new)
        try Data().write(to: URL(fileURLWithPath: life.dataPath))
        #expect(refusal(life.path) == "its data file is empty")
        try FileManager.default.removeItem(atPath: life.dataPath)
        #expect(refusal(life.path) == "its data file is missing")
        #expect(!FileManager.default.fileExists(atPath: life.dataPath))
        // A cut while it was made, or while a damaged one was replaced.
        try Data([1, 2, 3]).write(to: URL(fileURLWithPath: life.dataPath + ".new"))
        #expect(try open(life.path).origin == .new)
        #expect(!FileManager.default.fileExists(atPath: life.dataPath + ".new"))
    }

    @Test("that is removed or replaced under its user is found with the next commit")
    func removed() throws {
        let directory = try TemporaryDirectory()
        for replaces in [false, true] {
            let path = directory.file("store-\(replaces)")
            let environment = try open(path)
            try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
                try transaction.put(records, [1], [1])
            }
            #expect(environment.isInPlace)
            try FileManager.default.removeItem(atPath: path + "/data.mdb")
            if replaces { try Data([1]).write(to: URL(fileURLWithPath: path + "/data.mdb")) }
            #expect(!environment.isInPlace)
            #expect(throws: StorageError.self) {
                try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
                    try transaction.put(records, [1], [2])
                }
            }
        }
    }

    @Test("is told of in words that come back as they were written")
    func words() {
        let damage = StoreDamage(
            problems: ["page 3: its bounds\tare impossible", "x"],
            tables: [
                .init(table: "home/items", kept: 3, noted: 5), .init(table: "map", kept: 7, noted: nil),
                .init(table: "roots", kept: 1, noted: 1),
            ], mayBeOlder: true, file: "/a/b")
        var clean = damage
        clean.problems[0] = "page 3: its bounds are impossible"
        #expect(StoreOrigin(text: StoreOrigin.salvaged(damage).text ?? "") == .salvaged(clean))
        #expect(StoreOrigin(text: StoreOrigin.new.text ?? "") == .new)
        #expect(
            damage.losses
                == "home/items: 2 of 5 entries; map: nobody knows how many, 7 are left; perhaps the last write")
        #expect(damage.concerns("roots") && !damage.isHarmless)
    }
}
