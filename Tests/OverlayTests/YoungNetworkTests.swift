import Foundation
import Testing

/// Users who come before the network is large enough.
@Suite(.serialized) struct YoungNetworkTests {
    @Test("an agent that came when there were three clusters says so at once, lists them, and works when five are up")
    func growing() throws {
        var nodes: [PeeringTests.Node] = []
        for number in 0..<5 {
            nodes.append(
                try PeeringTests.Node("young-\(number)", address: "127.\(236 + number).0.1:7411", bootstrap: nil))
        }
        func connect(_ left: Int, _ right: Int) throws {
            try nodes[left].peer(nodes[right])
            try nodes[right].peer(nodes[left])
        }
        for (left, right) in [(0, 1), (0, 2), (1, 2)] { try connect(left, right) }
        for number in 1...2 {
            try nodes[0].wait("cluster \(number)") { map in
                map.clusters.contains { $0.name == "young-\(number)" && $0.servers == 1 }
            }
        }

        let folder = try Folder()
        let list = folder.path + "/list"
        try (nodes[0].link + "\n" + nodes[1].link + "\n").write(toFile: list, atomically: true, encoding: .utf8)
        let environment = [
            "HULDA_HOME": folder.path + "/agent", "HULDA_PASSPHRASE": "a passphrase", "HULDA_BIND": "127.0.21.1",
        ]
        func run(_ arguments: String...) throws -> Program.Output {
            try Program.run(arguments, environment: environment)
        }
        #expect(try run("id", "new", "--bootstrap", list, "--fast-passphrase").status == 0)
        for _ in 0..<2 {
            let begin = Date()
            let output = try run("register", "--home", "young-2")
            #expect(output.status == 69 && output.errors.contains("3 of 5 clusters"), "\(output.errors)")
            print("told after \(Date().timeIntervalSince(begin)) s")
        }
        let few = try run("register", "--list")
        #expect(few.status == 0 && few.text.split(separator: "\n").count == 4, "\(few.text) \(few.errors)")

        for newcomer in [3, 4] { for root in [0, 1] { try connect(root, newcomer) } }
        for number in 3...4 {
            try nodes[0].wait("cluster \(number)") { map in
                map.clusters.contains { $0.name == "young-\(number)" && $0.servers == 1 }
            }
        }
        let begin = Date()
        var last: Program.Output?
        while Date().timeIntervalSince(begin) < 60 {
            last = try run("register", "--home", "young-2")
            if last?.status == 0 { break }
            usleep(500_000)
        }
        print("registered \(Date().timeIntervalSince(begin)) s after the fifth")
        #expect(last?.status == 0, "\(last?.errors ?? "")")
        #expect(try run("register", "--list").text.split(separator: "\n").count == 6)

        // Somebody else has no home: his message goes, and he is told that nobody can answer him.
        let id = try run("id", "show", "--json").text.components(separatedBy: "\"").first { $0.hasPrefix("hulda1") }
        let other = environment.merging(["HULDA_HOME": folder.path + "/other"]) { _, new in new }
        let made = try Program.run(["id", "new", "--bootstrap", list, "--fast-passphrase"], environment: other)
        #expect(made.status == 0)
        let sent = try Program.run(["send", try #require(id), "Who is there?"], environment: other)
        #expect(sent.status == 0 && sent.errors.contains("nobody can answer you"), "\(sent.errors)")
        // And an address that this machine does not have is named.
        let foreign = other.merging(["HULDA_BIND": "203.0.113.7"]) { _, new in new }
        let refused = try Program.run(["inbox"], environment: foreign)
        #expect(refused.status == 69 && refused.errors.contains("203.0.113.7"), "\(refused.errors)")
    }
}
