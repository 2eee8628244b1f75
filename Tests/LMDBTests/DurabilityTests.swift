import Foundation
import LMDB
import Storage
import Testing

private let records = Table("records")

private func open(_ path: String, mapSize: Int = 1 << 20) throws -> LMDBEnvironment {
    try LMDBEnvironment(path: path, mapSize: mapSize, tables: [records])
}

private func put(_ environment: LMDBEnvironment, _ key: UInt8, _ value: [UInt8]) throws {
    try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
        try transaction.put(records, [key], value)
    }
}

private func get(_ environment: LMDBEnvironment, _ key: UInt8) throws -> [UInt8]? {
    try environment.read { (transaction: inout LMDBTransaction) throws(StorageError) in
        try transaction.get(records, [key])
    }
}

@Suite("What LMDB holds on disk")
struct DurabilityTests {
    @Test("is there after closing and opening again")
    func reopen() throws {
        let directory = try TemporaryDirectory()
        do {
            let environment = try open(directory.file("store"))
            try put(environment, 1, [1, 2, 3])
        }
        #expect(try get(open(directory.file("store")), 1) == [1, 2, 3])
    }

    /// What a process leaves that is killed at this moment: the file, without anything being closed.
    @Test("holds every commit, and nothing uncommitted, when the process stops without closing")
    func killed() throws {
        let directory = try TemporaryDirectory()
        let environment = try open(directory.file("store"))
        for key in UInt8(0)..<50 {
            try put(environment, key, [key, key])
            var unfinished = try environment.begin()
            try unfinished.put(records, [200], [1])
            let copy = directory.file("copy-\(key)")
            try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: true)
            try FileManager.default.copyItem(atPath: directory.file("store/data.mdb"), toPath: copy + "/data.mdb")
            let survivor = try open(copy)
            for earlier in 0...key { #expect(try get(survivor, earlier) == [earlier, earlier]) }
            #expect(try get(survivor, 200) == nil)
        }
    }

    @Test("stays readable when the store is full, and can be freed and written again")
    func full() throws {
        let directory = try TemporaryDirectory()
        let environment = try open(directory.file("store"), mapSize: 256 << 10)
        let value = [UInt8](repeating: 9, count: 3000)
        var stored: UInt8 = 0
        var failure: StorageError?
        while failure == nil, stored < 200 {
            do {
                try put(environment, stored, value)
                stored += 1
            } catch let error as StorageError { failure = error }
        }
        #expect(failure == .full)
        #expect(stored > 20)
        #expect(environment.usedBytes > environment.mapSize / 10 * 9)
        for key in 0..<stored { #expect(try get(environment, key) == value) }
        #expect(try get(environment, stored) == nil)
        // One at a time, each in a transaction of its own: the hardest case, for each copies pages first.
        for key in 0..<stored {
            try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
                try transaction.delete(records, [key])
            }
        }
        #expect(environment.usedBytes < environment.mapSize / 2)
        try put(environment, 1, [1])
        #expect(try get(environment, 1) == [1])
        try put(environment, 2, value)
    }

    @Test("stays as it was when one transaction is larger than the store")
    func oversizedTransaction() throws {
        let directory = try TemporaryDirectory()
        let environment = try open(directory.file("store"), mapSize: 256 << 10)
        try put(environment, 1, [1])
        #expect(throws: StorageError.full) {
            try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
                try transaction.delete(records, [1])
                for key in UInt8(2)..<250 { try transaction.put(records, [key], [UInt8](repeating: 1, count: 3000)) }
            }
        }
        #expect(try get(environment, 1) == [1])
        #expect(try get(environment, 2) == nil)
        try put(environment, 2, [2])
        #expect(try get(environment, 2) == [2])
    }

    @Test("is refused as corrupt when the file is something else")
    func garbage() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("store")
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        var random = SeededGenerator(seed: 1)
        try Data(random.bytes(40_960)).write(to: URL(fileURLWithPath: path + "/data.mdb"))
        do {
            _ = try open(path)
            Issue.record("a file of noise was opened")
        } catch let error as StorageError {
            guard case .corrupt = error else {
                Issue.record("\(error) instead of corrupt")
                return
            }
        }
    }

    @Test("is read as far as it is there when the file was cut, or refused, without the process dying")
    func truncated() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("store")
        do {
            let environment = try open(path)
            for key in UInt8(0)..<100 { try put(environment, key, [UInt8](repeating: key, count: 1000)) }
        }
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: path + "/data.mdb"))
        try file.truncate(atOffset: 3 * 4096)
        try file.close()
        do {
            let environment = try open(path)
            guard case .salvaged(let damage) = environment.origin else {
                Issue.record("a cut file was taken for a whole one")
                return
            }
            #expect(!damage.isHarmless)
            for key in UInt8(0)..<100 {
                let value = try get(environment, key)
                #expect(value == nil || value == [UInt8](repeating: key, count: 1000))
            }
        } catch let error as StorageError {
            guard case .corrupt = error else {
                Issue.record("\(error) instead of corrupt")
                return
            }
        }
    }

    @Test("is in a directory and file that only the owner may read")
    func modes() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("store")
        let environment = try open(path)
        try put(environment, 1, [1])
        for (name, mode) in [("", 0o700), ("/data.mdb", 0o600), ("/lock", 0o600)] {
            let attributes = try FileManager.default.attributesOfItem(atPath: path + name)
            let permissions = attributes[.posixPermissions] as? NSNumber
            #expect(permissions?.intValue == mode, "\(name)")
        }
    }

    @Test("is unavailable where a file stands in the directory's place")
    func obstructed() throws {
        let directory = try TemporaryDirectory()
        try Data([1]).write(to: URL(fileURLWithPath: directory.file("file")))
        for name in ["file", "file/store"] {
            do {
                _ = try open(directory.file(name))
                Issue.record("opened under a file")
            } catch let error as StorageError {
                guard case .unavailable(let text) = error else {
                    Issue.record("\(error) instead of unavailable")
                    continue
                }
                #expect(!text.isEmpty)
            }
        }
    }

    @Test("is unavailable in an unreadable directory", .enabled(if: geteuid() != 0, "root may read everything"))
    func unreadable() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("store")
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        #expect(chmod(path, 0) == 0)
        defer { chmod(path, 0o700) }
        do {
            _ = try open(path)
            Issue.record("opened an unreadable directory")
        } catch let error as StorageError {
            guard case .unavailable = error else {
                Issue.record("\(error) instead of unavailable")
                return
            }
        }
    }

    @Test("belongs to one opener at a time when that is asked for, until it closes")
    func exclusive() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("store")
        do {
            let first = try open(path)
            #expect(throws: StorageError.unavailable("\(path) is in use by another process")) {
                try open(path)
            }
            try put(first, 1, [1])
        }
        #expect(try get(open(path), 1) == [1])
    }

    /// The lock is a lock on the file, which the system drops with the process: here another process holds it.
    @Test("is refused while another process holds the lock, and free once that process is killed")
    func otherProcess() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("store")
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        let holder = Process()
        let output = Pipe()
        holder.executableURL = URL(fileURLWithPath: "/usr/bin/flock")
        holder.arguments = ["--no-fork", path + "/lock", "sh", "-c", "echo held; exec sleep 600"]
        holder.standardOutput = output
        try #require(FileManager.default.isExecutableFile(atPath: "/usr/bin/flock"), "needs flock of util-linux")
        try holder.run()
        #expect(output.fileHandleForReading.availableData == Data("held\n".utf8))
        #expect(throws: StorageError.unavailable("\(path) is in use by another process")) {
            try open(path)
        }
        kill(holder.processIdentifier, SIGKILL)
        holder.waitUntilExit()
        _ = try open(path)
    }
}
