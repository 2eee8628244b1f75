import Foundation
import Testing

/// Files and folders of secrets that others can get at.
@Suite struct ExposureTests {
    private func mode(_ path: String) throws -> Int? {
        try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    }

    private func initialise(_ path: String, _ address: String) throws -> Program.Output {
        try Program.run(["node", "init", path, "--name", "closed", "--listen", "\(address):7411"])
    }

    @Test(
        "an empty folder that is open to all is closed, one with something in it is refused with the command that closes it"
    )
    func folders() throws {
        let folder = try Folder()
        let (empty, used) = (folder.path + "/empty", folder.path + "/used")
        for path in [empty, used] {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            chmod(path, 0o777)
        }
        try Data([1]).write(to: URL(fileURLWithPath: used + "/something"))
        let made = try initialise(empty, "127.0.155.1")
        #expect(made.status == 0, "\(made.errors)")
        #expect(try mode(empty) == 0o700)
        let refused = try initialise(used, "127.0.155.1")
        #expect(refused.status == 77 && refused.errors.contains("chmod 700 \(used)"), "\(refused.errors)")
        #expect(try mode(used) == 0o777)
        #expect(try FileManager.default.contentsOfDirectory(atPath: used) == ["something"])

        let list = folder.path + "/list"
        let link = try #require(made.text.split(separator: "\n").first { $0.hasPrefix("hulda-peer:") })
        try String(link).write(toFile: list, atomically: true, encoding: .utf8)
        for (path, status) in [(used, Int32(77)), (folder.path + "/new", 0)] {
            let agent = try Program.run([
                "id", "new", "--home-directory", path, "--key-file", folder.path + "/key", "--bootstrap", list,
            ])
            #expect(agent.status == status, "\(agent.errors)")
        }
        #expect(try mode(folder.path + "/new") == 0o700)
        // Later too.
        chmod(folder.path + "/new", 0o770)
        let later = try Program.run([
            "inbox", "--stored", "--home-directory", folder.path + "/new", "--key-file", folder.path + "/key",
        ])
        #expect(later.status == 77 && later.errors.contains("chmod 700"), "\(later.errors)")
    }

    @Test(
        "a key, an identity or a configuration with a token that others can read is refused with the command that mends it"
    )
    func files() throws {
        let folder = try Folder()
        let node = folder.path + "/it's a node"
        let made = try initialise(node, "127.0.156.1")
        #expect(made.status == 0, "\(made.errors)")
        let list = folder.path + "/list"
        let link = try #require(made.text.split(separator: "\n").first { $0.hasPrefix("hulda-peer:") })
        try String(link).write(toFile: list, atomically: true, encoding: .utf8)
        let agent = folder.path + "/agent"
        let (key, configuration) = (folder.path + "/key", node + "/node.toml")
        let identity = ["--home-directory", agent, "--key-file", key]
        #expect(try Program.run(["id", "new", "--bootstrap", list] + identity).status == 0)

        let run = ["node", "run", "--config", configuration]
        let open = [
            (node + "/server.key", run), (node + "/cluster.key", run), (node + "/link.key", run),
            (key, ["inbox", "--stored"] + identity), (agent + "/identity.json", ["inbox", "--stored"] + identity),
        ]
        for (path, command) in open {
            #expect(try mode(path) == 0o600, "\(path)")
            for wrong in [0o644, 0o640, 0o602] {
                chmod(path, mode_t(wrong))
                let output = try Program.run(command)
                #expect(output.status == 77, "\(path) \(output.errors)")
                #expect(output.errors.contains("chmod 600 ") && output.errors.contains("(mode 0"), "\(output.errors)")
            }
            chmod(path, 0o600)
        }
        // What it says can be pasted into a shell.
        chmod(node + "/server.key", 0o644)
        let said = try Program.run(run).errors
        #expect(said.contains("chmod 600 '\(folder.path)/it'\\''s a node/server.key'"), "\(said)")
        chmod(node + "/server.key", 0o600)

        chmod(configuration, 0o644)
        #expect(try Program.run(["node", "status", "--config", configuration]).status == 69)
        let text = try String(contentsOfFile: configuration, encoding: .utf8)
        try (text + "registration_token = \"sesame\"\n").write(
            toFile: configuration, atomically: false, encoding: .utf8)
        let exposed = try Program.run(["node", "status", "--config", configuration])
        #expect(exposed.status == 77 && exposed.errors.contains("chmod 600"), "\(exposed.errors)")
        chmod(configuration, 0o600)
        #expect(try Program.run(["node", "status", "--config", configuration]).status == 69)
    }

    @Test("whatever the umask, what a node makes is its owner's alone, and so is its socket")
    func umask() throws {
        let folder = try Folder()
        let node = folder.path + "/node"
        let script = """
            umask 000
            "$1" node init "$2" --name open --listen 127.0.157.1:7411 >/dev/null
            cd "$2"
            "$1" node run --config node.toml 2>../log & p=$!
            for i in $(seq 300); do grep -q listening ../log && break; sleep 0.1; done
            find "$2" -perm /077
            stat -c %a node.sock
            kill $p; wait $p; echo "rc $?"
            """
        let output = try Program.run(["sh", "-c", script, "sh", Program.path, node], program: "/usr/bin/env")
        #expect(output.text == "600\nrc 0\n", "\(output.text) \(output.errors)")
    }

    @Test("a node answers its operator also where its directory has a long path, and makes no socket elsewhere")
    func longPaths() throws {
        let folder = try Folder()
        let node = folder.path + "/" + String(repeating: "d", count: 150)
        #expect(try initialise(node, "127.0.158.1").status == 0)
        let script = """
            cd "$2"
            "$1" node run --config node.toml 2>log & p=$!
            for i in $(seq 300); do grep -q listening log && break; sleep 0.1; done
            "$1" node status --config node.toml --json | grep -c '"clusterName":"closed"'
            ls "$TMPDIR" | grep -c sock
            ls node.sock
            kill $p; wait $p; echo "rc $?"
            ls node.sock 2>/dev/null | wc -l
            """
        let temporary = folder.path + "/tmp"
        try FileManager.default.createDirectory(atPath: temporary, withIntermediateDirectories: true)
        let output = try Program.run(
            ["sh", "-c", script, "sh", Program.path, node], environment: ["TMPDIR": temporary], program: "/usr/bin/env")
        let lines = output.text.split(separator: "\n").map(String.init)
        #expect(lines == ["1", "0", "node.sock", "rc 0", "0"], "\(output.text) \(output.errors)")
    }
}
