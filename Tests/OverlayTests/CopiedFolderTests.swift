import Foundation
import Node
import Testing

/// Copies of folders that run elsewhere: a thief's, a restored backup, a cloned machine.
@Suite(.serialized) struct CopiedFolderTests {
    private static func run(_ environment: [String: String], _ arguments: String...) throws -> Program.Output {
        try Program.run(arguments, environment: environment)
    }

    @Test("a user whose keys somebody else has replaced is told so, and a node of which a copy ran is heard again")
    func copies() throws {
        let overlay = try Overlay(clusters: 5, network: 223)
        try identity(overlay)
        try server(overlay)
    }

    private func identity(_ overlay: Overlay) throws {
        let alice = try User(overlay, address: "127.0.25.1")
        let bob = try User(overlay, address: "127.0.26.1")
        try alice.run("register", "--home", "cluster-1")
        try bob.run("register", "--home", "cluster-2")
        let stolen = try Folder()
        let path = try #require(alice.environment["HULDA_HOME"])
        try FileManager.default.copyItem(atPath: path, toPath: stolen.path + "/agent")
        var thief = alice.environment
        thief["HULDA_HOME"] = stolen.path + "/agent"
        thief["HULDA_BIND"] = "127.0.27.1"
        let rotation = try Self.run(thief, "id", "rotate", "--timeout", "150")
        #expect([0, 75].contains(rotation.status), "\(rotation.errors)")
        try bob.run("send", alice.id, "to whoever has the key", "--timeout", "150")

        var inbox = try Self.run(alice.environment, "inbox", "--timeout", "10")
        for _ in 0..<6 where inbox.status == 0 {
            inbox = try Self.run(alice.environment, "inbox", "--timeout", "10")
        }
        #expect(inbox.status == 77 && inbox.errors.contains("another copy"), "\(inbox.text) \(inbox.errors)")
        // Later commands say so too, without the network, and for programs.
        let stored = try Self.run(alice.environment, "inbox", "--stored", "--json")
        #expect(stored.status == 77 && stored.errors.contains(#""revokesOwn":true"#), "\(stored.errors)")

        let answer = try Self.run(alice.environment, "id", "rotate", "--timeout", "150")
        #expect(answer.status == 0, "\(answer.errors)")
        try bob.run("send", alice.id, "to the owner", "--timeout", "150")
        #expect(try alice.inbox("--wait", "1", "--timeout", "150").contains { $0.text == "to the owner" })
    }

    private func server(_ overlay: Overlay) throws {
        let copy = try Folder()
        let (original, path) = (overlay.folder.path + "/cluster-3", copy.path + "/cluster-3")
        // A store is whole while nobody writes.
        try overlay.kill(3)
        let copied = try Program.run(["-a", original, path], program: "/bin/cp")
        try #require(copied.status == 0, "\(copied.errors)")
        try overlay.restart()
        var configuration = try String(contentsOfFile: path + "/node.toml", encoding: .utf8)
        configuration = configuration.replacingOccurrences(of: original, with: path)
            .replacingOccurrences(of: "127.225.0.1", with: "127.225.0.9")
        try configuration.write(toFile: path + "/node.toml", atomically: true, encoding: .utf8)
        let run = try Program.run(
            ["8", Program.path, "node", "run", "--config", path + "/node.toml"], program: "/usr/bin/timeout")
        // It may have given up itself before it was stopped: the real one has answered.
        #expect([124, 78].contains(run.status), "\(run.errors)")

        var found: NodeStatus.Copy?
        for _ in 0..<60 {
            let output = try Program.run(["node", "status", "--config", overlay.configuration(3), "--json"])
            let statement = try JSONDecoder().decode(NodeStatus.self, from: Data(output.text.utf8))
            found = statement.server.copy
            if found != nil { break }
            Thread.sleep(forTimeInterval: 1)
        }
        #expect(found?.address.hasPrefix("127.225.0.9:") == true, "\(run.errors)")
        #expect(found?.count ?? 3 < 3, "the copy has stopped, and so the real one goes on")
    }
}
