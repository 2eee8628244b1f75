import Foundation
import Testing

@Suite("A beginning that is cut off at any moment")
struct CutBeginningTests {
    private static let peer =
        "hulda-peer:huldap1ewd8nkgqyn6c6qpapppa8v0z0vdphayy8vu3ffwutuwhg5lllv325est4u0fv2mtlhznavxvsp6cm3zm8xmp6fru0txh7kf6xjejyscurvxjd@127.21.0.1:7411"
    private static let signals = [SIGKILL, SIGTERM, SIGINT]

    /// Runs a command and ends it after so many microseconds.
    /// - Returns: whether it had ended by itself.
    private func cut(_ arguments: [String], _ environment: [String: String], after delay: useconds_t, by signal: Int32)
        throws -> Bool
    {
        let running = try Running(arguments, environment: environment)
        usleep(delay)
        running.signal(signal)
        return running.end() == 0
    }

    /// From nothing to the whole time that the command takes, in steps that a seed shifts.
    private func moments(_ count: Int, over whole: Double) -> [useconds_t] {
        (0..<count).map { useconds_t(whole * Double($0) / Double(count) * 1_200_000) }
    }

    private func duration(_ body: () throws -> Void) rethrows -> Double {
        let start = Date()
        try body()
        return Date().timeIntervalSince(start)
    }

    @Test("of an identity leaves nothing, what the next one takes over, or an identity that opens")
    func identity() throws {
        let folder = try Folder()
        let list = folder.path + "/list"
        try CutBeginningTests.peer.write(toFile: list, atomically: true, encoding: .utf8)
        let arguments = ["id", "new", "--fast-passphrase", "--bootstrap", list]
        func variables(_ name: String) -> [String: String] {
            ["HULDA_HOME": folder.path + "/" + name, "HULDA_PASSPHRASE": "x"]
        }
        let whole = try duration { _ = try Program.run(arguments, environment: variables("whole")) }
        var tally = (untouched: 0, takenOver: 0, complete: 0)
        for (number, delay) in moments(90, over: whole).enumerated() {
            let environment = variables("cut-\(number)")
            let signal = CutBeginningTests.signals[number % 3]
            _ = try cut(arguments, environment, after: delay, by: signal)
            let comment = Comment(rawValue: "signal \(signal) after \(delay) µs")
            let wasThere = FileManager.default.fileExists(atPath: folder.path + "/cut-\(number)/unfinished")
            let again = try Program.run(arguments, environment: environment)
            if again.status == 73 {
                #expect(again.errors.contains("identity"), comment)
                tally.complete += 1
            } else {
                #expect(again.status == 0, "\(comment): \(again.errors)")
                if wasThere { tally.takenOver += 1 } else { tally.untouched += 1 }
            }
            let stored = try Program.run(["inbox", "--stored"], environment: environment)
            #expect(stored.status == 0 && stored.errors.isEmpty, "\(comment): \(stored.errors)")
            let left = try FileManager.default.contentsOfDirectory(atPath: folder.path + "/cut-\(number)")
            #expect(Set(left) == ["bootstrap.txt", "id.txt", "identity.json", "store"], "\(comment): \(left)")
        }
        print("id new cut off: \(tally)")
        #expect(tally.takenOver > 0)
    }

    @Test("of an identity does not cost a store whose identity file is missing")
    func stray() throws {
        let folder = try Folder()
        let list = folder.path + "/list"
        try CutBeginningTests.peer.write(toFile: list, atomically: true, encoding: .utf8)
        let environment = ["HULDA_HOME": folder.path + "/agent", "HULDA_PASSPHRASE": "x"]
        let arguments = ["id", "new", "--fast-passphrase", "--bootstrap", list]
        #expect(try Program.run(arguments, environment: environment).status == 0)
        let (file, away) = (folder.path + "/agent/identity.json", folder.path + "/identity.json")
        try FileManager.default.moveItem(atPath: file, toPath: away)
        let refused = try Program.run(arguments, environment: environment)
        #expect(refused.status == 73 && refused.errors.contains("identity.json"), "\(refused.errors)")
        try FileManager.default.moveItem(atPath: away, toPath: file)
        #expect(try Program.run(["inbox", "--stored"], environment: environment).status == 0)
    }

    @Test("of a node's folder leaves what the next init takes over, or a node that starts and misses nothing")
    func node() throws {
        let folder = try Folder()
        func arguments(_ name: String) -> [String] {
            ["node", "init", folder.path + "/" + name, "--name", "one", "--listen", "127.191.1.1:7411"]
        }
        let whole = try duration { _ = try Program.run(arguments("whole")) }
        for (number, delay) in moments(40, over: whole).enumerated() {
            let name = "cut-\(number)"
            let signal = CutBeginningTests.signals[number % 3]
            _ = try cut(arguments(name), [:], after: delay, by: signal)
            let again = try Program.run(arguments(name))
            #expect(again.status == 0 || again.status == 73, "signal \(signal) after \(delay) µs: \(again.errors)")
            let config = "\(folder.path)/\(name)/node.toml"
            #expect(try Program.run(["node", "peer", "show", "--config", config]).status == 0)
            guard number % 5 == 0 else { continue }
            let node = try Running(["node", "run", "--config", config])
            #expect(try node.says("listening"), "\(node.errors)")
            node.signal(SIGTERM)
            #expect(node.end() == 0)
            #expect(!node.errors.contains("missing"), "\(node.errors)")
            let left = try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/\(name)")
            #expect(!left.contains { $0.hasSuffix(".new") }, "\(left)")
        }
    }

    @Test("of a list of peers leaves the list as it was or as it was to be")
    func peers() throws {
        let folder = try Folder()
        let config = folder.path + "/node/node.toml"
        #expect(
            try Program.run(["node", "init", folder.path + "/node", "--name", "one", "--listen", "127.191.2.1:7411"])
                .status == 0)
        let add = ["node", "peer", "add", CutBeginningTests.peer, "--config", config]
        let remove = ["node", "peer", "remove", CutBeginningTests.peer, "--config", config]
        let whole = try duration { _ = try Program.run(add) }
        for (number, delay) in moments(30, over: whole).enumerated() {
            _ = try cut(number % 2 == 0 ? remove : add, [:], after: delay, by: SIGKILL)
            let list = try Program.run(["node", "peer", "list", "--config", config])
            #expect(list.status == 0, "after \(delay) µs: \(list.errors)")
        }
    }

    @Test("of a registration hinders no later one")
    func registration() throws {
        let overlay = try Overlay(clusters: 5, network: 192)
        let user = try User(overlay, address: "127.192.200.1")
        let arguments = ["register", "--home", "cluster-2"]
        for delay in stride(from: useconds_t(100_000), through: 2_000_000, by: 300_000) {
            _ = try cut(arguments, user.environment, after: delay, by: delay % 200_000 == 0 ? SIGTERM : SIGKILL)
        }
        try user.run("register", "--home", "cluster-2")
        let homes = try user.run("home", "list")
        #expect(homes.contains("cluster-2"))
    }
}
