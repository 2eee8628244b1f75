import Federation
import Foundation
import Testing

@Suite(.serialized) struct PeeringTests {
    /// A node of its own, started by the program as an operator would.
    final class Node {
        let folder: Folder
        let link: String
        let name: String
        private var pid: pid_t = 0

        var configuration: String { folder.path + "/node.toml" }

        init(_ name: String, address: String, bootstrap: String?) throws {
            self.name = name
            folder = try Folder()
            var arguments = ["node", "init", folder.path, "--name", name, "--listen", address, "--json"]
            if let bootstrap {
                let path = folder.path + "/bootstrap.txt"
                try (bootstrap + "\n").write(toFile: path, atomically: true, encoding: .utf8)
                arguments += ["--bootstrap", path]
            }
            let output = try Program.run(arguments)
            try #require(output.status == 0, "\(output.errors)")
            link = try #require(
                try JSONDecoder().decode([String: String].self, from: Data(output.text.utf8))["peer"])
            let words = [Program.path, "node", "run", "--config", folder.path + "/node.toml"]
            var argv: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
            argv.append(nil)
            defer { for text in argv { free(text) } }
            var actions = posix_spawn_file_actions_t()
            posix_spawn_file_actions_init(&actions)
            defer { posix_spawn_file_actions_destroy(&actions) }
            posix_spawn_file_actions_addopen(&actions, 2, folder.path + "/log", O_WRONLY | O_CREAT, 0o600)
            try #require(posix_spawn(&pid, Program.path, &actions, nil, &argv, environ) == 0)
        }

        deinit {
            kill(pid, SIGKILL)
            var status: Int32 = 0
            waitpid(pid, &status, 0)
        }

        func peer(_ other: Node) throws {
            let output = try Program.run(["node", "peer", "add", other.link, "--config", configuration])
            try #require(output.status == 0, "\(output.errors)")
        }

        func map() throws -> MapGraph? {
            let output = try Program.run(["node", "map", "--json", "--config", configuration])
            // The node may not have started yet.
            guard output.status == 0 else { return nil }
            return try JSONDecoder().decode(MapGraph.self, from: Data(output.text.utf8))
        }

        /// Waits, a minute at most, until the map is as wished.
        func wait(_ wish: String, _ isFulfilled: (MapGraph) -> Bool) throws {
            let deadline = Date().addingTimeInterval(60)
            var last: MapGraph?
            while Date() < deadline {
                last = try map() ?? last
                if let last, isFulfilled(last) { return }
                usleep(300_000)
            }
            Issue.record("\(name): \(wish); the last map was \(String(describing: last))")
        }
    }

    @Test("peering is one command on each side; a fifth cluster needs a second peering, and the map says so")
    func peering() throws {
        let first = try Node("first", address: "127.171.0.1:7411", bootstrap: nil)
        var others: [Node] = []
        for (number, name) in ["second", "third", "fourth"].enumerated() {
            let node = try Node(name, address: "127.\(172 + number).0.1:7411", bootstrap: first.link)
            others.append(node)
            try first.peer(node)
        }
        let standing = { (graph: MapGraph, name: String) in graph.clusters.first { $0.name == name }?.standing }
        let servers = { (graph: MapGraph, name: String) in graph.clusters.first { $0.name == name }?.servers }
        try others[0].wait("the third is admitted by one path") {
            standing($0, "third") == .admitted && servers($0, "third") == 1
        }
        // The fifth peers with the fourth only. For the second it hangs on that, and so do third and fourth on the
        // first, which the second trusts: one root's endorsement is one path.
        let fifth = try Node("fifth", address: "127.175.0.1:7411", bootstrap: others[2].link)
        try others[2].peer(fifth)
        try others[0].wait("the fifth is refused") { standing($0, "fifth") == .refused }
        let refused = try #require(try others[0].map()?.clusters.first { $0.name == "fifth" })
        #expect(refused.servers == 0)
        let text = try Program.run(["node", "map", "fifth", "--config", others[0].configuration]).text
        #expect(text.contains("needs a"), "\(text)")
        // A second peering, one command on each side, closes a ring over the fourth and the fifth.
        try fifth.peer(others[1])
        try others[1].peer(fifth)
        for name in ["third", "fourth", "fifth"] {
            try others[0].wait("\(name) is admitted by two paths") {
                standing($0, name) == .admitted && servers($0, name) == 1
                    && $0.clusters.first { $0.name == name }?.paths.count == 2
            }
        }
        let picture = try Program.run(["node", "map", "--dot", "--config", others[0].configuration]).text
        #expect(picture.hasPrefix("graph map {"))
        #expect(picture.contains("fifth"))
    }
}
