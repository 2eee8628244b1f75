import Foundation
import Fuzz
import Logging
import Primitives
import Testing

@testable import Transport

@Suite("Files that are written as wholes")
struct DurableFileTests {
    private func withFolder(_ body: (String) throws -> Void) throws {
        let path = FileManager.default.temporaryDirectory.path + "/hulda-files-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: path) }
        try body(path)
    }

    private func names(_ folder: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
    }

    private func mode(_ path: String) throws -> Int? {
        try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    }

    @Test("a cut leaves the old file or the new one: what it left aside is taken over, and nothing of it stays")
    func cuts() throws {
        try withFolder { folder in
            let path = folder + "/list.txt"
            for left in [0, 1, 5000, 100_000] {
                try Data(repeating: 9, count: left).write(to: URL(fileURLWithPath: folder + "/.list.txt.new"))
                try DurableFile.write("whole \(left)\n", to: path)
                #expect(try String(contentsOfFile: path, encoding: .utf8) == "whole \(left)\n")
                #expect(try names(folder) == ["list.txt"])
                #expect(try mode(path) == 0o600)
            }
        }
    }

    @Test("a key that was cut off while it was written is no key: the next start makes it anew")
    func keys() throws {
        try withFolder { folder in
            var entropy = Entropy(seed: 901)
            let path = folder + "/server.key"
            for left in [0, 31, 32] {
                try Data(repeating: 7, count: left).write(to: URL(fileURLWithPath: folder + "/.server.key.new"))
                let key = try KeyFile.loadOrCreate(path, count: 32, entropy: &entropy)
                #expect(key.withUnsafeBytes { FileManager.default.contents(atPath: path) == Data($0) })
                #expect(key.withUnsafeBytes { Data($0) } != Data(repeating: 7, count: 32))
                #expect(try names(folder) == ["server.key"] && mode(path) == 0o600)
                try FileManager.default.removeItem(atPath: path)
            }
            // A key that came back from elsewhere: what the cut left is a secret of nobody.
            try Data(repeating: 1, count: 32).write(to: URL(fileURLWithPath: path))
            chmod(path, 0o600)
            try Data(repeating: 7, count: 32).write(to: URL(fileURLWithPath: folder + "/.server.key.new"))
            _ = try KeyFile.loadOrCreate(path, count: 32, entropy: &entropy).count
            #expect(try names(folder) == ["server.key"])
        }
    }

    @Test("evidence that was cut off while it was written is written again, as a whole")
    func evidence() throws {
        try withFolder { folder in
            try Data([1, 2]).write(to: URL(fileURLWithPath: folder + "/.one.new"))
            EvidenceFolder(path: folder).write("one", [1, 2, 3], Logger(label: "test"))
            #expect(FileManager.default.contents(atPath: folder + "/one") == Data([1, 2, 3]))
            #expect(try names(folder) == ["one"])
        }
    }

    @Test("a file that is replaced keeps its mode, a link leads on to it, and one that shall be kept stays")
    func present() throws {
        try withFolder { folder in
            let path = folder + "/node.toml"
            try Data("old".utf8).write(to: URL(fileURLWithPath: path))
            chmod(path, 0o640)
            try FileManager.default.createSymbolicLink(atPath: folder + "/link", withDestinationPath: path)
            try DurableFile.write("new", to: folder + "/link")
            #expect(try String(contentsOfFile: path, encoding: .utf8) == "new")
            #expect(try mode(path) == 0o640 && names(folder) == ["link", "node.toml"])
            for target in [path, folder + "/link"] {
                #expect(throws: DurableFile.Failure.self) {
                    try DurableFile.write("newer", to: target, ifPresent: .kept)
                }
            }
            #expect(try String(contentsOfFile: path, encoding: .utf8) == "new")
            for target in [folder, folder + "/none/file", "/dev/null"] {
                #expect(throws: DurableFile.Failure.self) { try DurableFile.write("x", to: target) }
            }
        }
    }

    @Test("what somebody put in the place aside is not written through")
    func traps() throws {
        try withFolder { folder in
            let (path, aside, other) = (folder + "/file", folder + "/.file.new", folder + "/other")
            let traps: [() throws -> Void] = [
                { try FileManager.default.createSymbolicLink(atPath: aside, withDestinationPath: other) },
                { try FileManager.default.linkItem(atPath: other, toPath: aside) },
                { #expect(mkfifo(aside, 0o600) == 0) },
            ]
            for trap in traps {
                try Data("other".utf8).write(to: URL(fileURLWithPath: other))
                try trap()
                try DurableFile.write("mine", to: path)
                #expect(try String(contentsOfFile: path, encoding: .utf8) == "mine")
                #expect(try String(contentsOfFile: other, encoding: .utf8) == "other")
                #expect(try names(folder) == ["file", "other"])
            }
        }
    }

    @Test("of many that write one file at once each leaves it whole")
    func crowd() async throws {
        let folder = FileManager.default.temporaryDirectory.path + "/hulda-files-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        await withTaskGroup(of: Bool.self) { group in
            for writer in UInt8(0)..<8 {
                group.addTask {
                    (0..<20).allSatisfy { _ in
                        let bytes = [UInt8](repeating: writer, count: 5000 + 1000 * Int(writer))
                        return (try? DurableFile.write(bytes, to: folder + "/file")) != nil
                    }
                }
            }
            for await isWritten in group { #expect(isWritten) }
        }
        let bytes = try #require(FileManager.default.contents(atPath: folder + "/file"))
        #expect(bytes.first.map { bytes == Data(repeating: $0, count: 5000 + 1000 * Int($0)) } == true)
        #expect(try names(folder) == ["file"])
    }

    @Test("a sweep removes what cuts have left aside, and nothing else")
    func sweep() throws {
        try withFolder { folder in
            for name in [".a.new", ".b.key.new", "c.new", ".new", ".hidden", "d"] {
                try Data([1]).write(to: URL(fileURLWithPath: folder + "/" + name))
            }
            let held = open(folder + "/.b.key.new", O_RDONLY)
            defer { close(held) }
            #expect(flock(held, LOCK_EX) == 0)
            DurableFile.sweep(folder)
            #expect(try names(folder) == [".b.key.new", ".hidden", ".new", "c.new", "d"])
        }
    }
}
