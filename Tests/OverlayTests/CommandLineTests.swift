import Foundation
import Node
import Testing

@testable import hulda

@Suite struct CommandLineTests {
    private func folder(_ text: String) throws -> (Folder, String) {
        let folder = try Folder()
        let path = folder.path + "/file"
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        // As init writes a configuration, which may hold a token.
        chmod(path, 0o600)
        return (folder, path)
    }

    private static let peer =
        "hulda-peer:huldap1ewd8nkgqyn6c6qpapppa8v0z0vdphayy8vu3ffwutuwhg5lllv325est4u0fv2mtlhznavxvsp6cm3zm8xmp6fru0txh7kf6xjejyscurvxjd@127.21.0.1:7411"

    @Test("a wrong passphrase is refused with exit code 77 and the identity is unharmed")
    func wrongPassphrase() throws {
        let (list, path) = try folder(CommandLineTests.peer)
        let home = list.path + "/agent"
        let right = ["HULDA_HOME": home, "HULDA_PASSPHRASE": "right"]
        #expect(
            try Program.run(["id", "new", "--bootstrap", path, "--fast-passphrase"], environment: right).status == 0)
        let wrong = try Program.run(
            ["inbox", "--stored"], environment: ["HULDA_HOME": home, "HULDA_PASSPHRASE": "wrong"])
        #expect(wrong.status == 77)
        #expect(wrong.errors.contains("passphrase"))
        #expect(try Program.run(["inbox", "--stored"], environment: right).status == 0)
        let again = try Program.run(["id", "new", "--bootstrap", path], environment: right)
        #expect(again.status == 73)
    }

    @Test("an identity under a key file opens with that file only")
    func keyFile() throws {
        let (list, path) = try folder(CommandLineTests.peer)
        let home = ["HULDA_HOME": list.path + "/agent"]
        let key = list.path + "/key"
        #expect(try Program.run(["id", "new", "--bootstrap", path, "--key-file", key], environment: home).status == 0)
        #expect(try Program.run(["inbox", "--stored", "--key-file", key], environment: home).status == 0)
        try Data(repeating: 7, count: 32).write(to: URL(fileURLWithPath: list.path + "/other"))
        let other = try Program.run(["inbox", "--stored", "--key-file", list.path + "/other"], environment: home)
        #expect(other.status == 77)
        #expect(
            try Program.run(["inbox", "--stored", "--key-file", list.path + "/missing"], environment: home).status == 66
        )
    }

    @Test("arguments that cannot be understood are an error in JSON where JSON was asked for, and text elsewhere")
    func argumentErrors() throws {
        for arguments in [
            ["id", "new", "--json", "--no-such-option"], ["resolve", "--json"],
            ["node", "status", "--json", "--wait=x"],
        ] {
            let output = try Program.run(arguments)
            #expect(output.status == 64, "\(arguments)")
            #expect(output.text.isEmpty)
            let error = try JSONDecoder().decode([String: String].self, from: Data(output.errors.utf8))
            #expect(error["error"]?.isEmpty == false && error["next"]?.contains("--help") == true, "\(error)")
        }
        let text = try Program.run(["id", "new", "--no-such-option"])
        #expect(text.status == 64)
        #expect(text.errors.hasPrefix("Error: "))
        let help = try Program.run(["id", "new", "--json", "--help"])
        #expect(help.status == 0 && help.text.contains("USAGE"))
    }

    @Test("a server that is asked for a friendly address says who can look it up")
    func friendlyAddressOfNode() throws {
        let output = try Program.run(["node", "resolve", "ada@cluster-1"])
        #expect(output.status == 64)
        #expect(output.errors.contains("friendly address") && output.errors.contains("hulda resolve ada@cluster-1"))
    }

    @Test("a mistyped ID is recognised as such")
    func mistypedID() throws {
        let id = "hulda1q9mu4s4wvgj3hpcy34xftz75m5za0ugm0l5sgqxdr3wexajp05rg2em9tn8"
        #expect(try Program.run(["id", "show", id, "--no-qr"]).status == 0)
        for position in [8, 20, 40, 60] {
            var characters = Array(id)
            characters[position] = characters[position] == "q" ? "p" : "q"
            let output = try Program.run(["id", "show", String(characters)])
            #expect(output.status == 64)
            #expect(output.errors.contains("is not a network ID"))
            #expect(output.errors.contains("look at character \(position + 1) of the ID"))
        }
        #expect(try Program.run(["id", "show", "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"]).status == 64)
    }

    @Test("an ID's link and QR code are shown without a passphrase")
    func show() throws {
        let id = "hulda1q9mu4s4wvgj3hpcy34xftz75m5za0ugm0l5sgqxdr3wexajp05rg2em9tn8"
        let output = try Program.run(["id", "show", id, "--name", "Ada Byron"])
        #expect(output.text.contains("hulda:\(id)?n=Ada%20Byron"))
        #expect(output.text.contains("\u{2588}") || output.text.contains("\u{2580}"))
    }

    @Test("no identity, no bootstrap list, a damaged list: each says what to do next")
    func missingFiles() throws {
        let empty = try Folder()
        let home = ["HULDA_HOME": empty.path + "/agent", "HULDA_PASSPHRASE": "x"]
        let none = try Program.run(["inbox", "--stored"], environment: home)
        #expect(none.status == 66)
        #expect(none.errors.contains("hulda id new"))
        let noList = try Program.run(["id", "new", "--bootstrap", empty.path + "/nothing"], environment: home)
        #expect(noList.status == 66)
        let (list, path) = try folder("# fine\nhulda-peer:nonsense@127.0.0.1:1\n")
        defer { withExtendedLifetime(list) {} }
        let damaged = try Program.run(["id", "new", "--bootstrap", path], environment: home)
        #expect(damaged.status == 66)
        #expect(damaged.errors.contains("line 2"))
    }

    @Test("a busy port, a wrong configuration and a folder in use are told apart")
    func nodeStart() throws {
        let folder = try Folder()
        let node = folder.path + "/node"
        let made = try Program.run(["node", "init", node, "--name", "one", "--listen", "127.0.31.1:7431"])
        #expect(made.status == 0)
        #expect(made.text.contains("hulda-peer:"))
        #expect(try Program.run(["node", "init", node, "--name", "one", "--listen", "127.0.31.1:7431"]).status == 73)
        #expect(try Program.run(["node", "status", "--config", node + "/node.toml"]).status == 69)
        #expect(try Program.run(["node", "run", "--config", folder.path + "/none.toml"]).status == 66)

        let wrong = folder.path + "/wrong.toml"
        try "cluster_name = 7\n".write(toFile: wrong, atomically: true, encoding: .utf8)
        let output = try Program.run(["node", "run", "--config", wrong])
        #expect(output.status == 78)
        #expect(output.errors.contains("cluster_name"))

        let listener = try Listener(address: "127.0.31.1", port: 7431)
        defer { withExtendedLifetime(listener) {} }
        let busy = try Program.run(["node", "run", "--config", node + "/node.toml"])
        #expect(busy.status == 71)
        #expect(busy.errors.contains("in use"))
    }

    @Test("the sample configuration is what init writes, and every option in it is accepted")
    func sampleConfiguration() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let sample = try String(contentsOf: root.appendingPathComponent("bootstrap/node.toml"), encoding: .utf8)
        var configuration = NodeConfiguration(
            clusterName: "example", dataDirectory: "/var/lib/hulda", listen: "198.51.100.7:7411",
            listenDatagram: "198.51.100.7:7411")
        configuration.contact = "operator@example.org"
        #expect(sample == ConfigurationText.of(configuration))
        let (folder, path) = try folder(sample)
        defer { withExtendedLifetime(folder) {} }
        #expect(try ConfigurationFile.readValid(path) == configuration)

        let everything = sample.split(separator: "\n").map(String.init).map { line in
            let isOption = NodeOption.all.contains { line.hasPrefix("# \($0.name) = ") }
            return isOption ? String(line.dropFirst(2)) : line
        }
        try everything.joined(separator: "\n").write(toFile: path, atomically: false, encoding: .utf8)
        let full = try ConfigurationFile.read(path)
        for option in NodeOption.all where option.isListed {
            #expect(option.value(full) == option.sample, "\(option.name)")
        }
        #expect(throws: Failure.self) {
            try "\(sample)\nno_such_option = 1\n".write(toFile: path, atomically: false, encoding: .utf8)
            _ = try ConfigurationFile.read(path)
        }
    }

    @Test("a server that listens everywhere must say where others reach it; its peer link can be shown again")
    func advertise() throws {
        let folder = try Folder()
        let words = ["node", "init", folder.path + "/node", "--name", "one", "--listen", "0.0.0.0:7433"]
        let refused = try Program.run(words)
        #expect(refused.status == 78)
        #expect(refused.errors.contains("advertise"))
        let made = try Program.run(words + ["--advertise", "192.0.2.7:7411", "--json"])
        #expect(made.status == 0)
        let link = try #require(try JSONDecoder().decode([String: String].self, from: Data(made.text.utf8))["peer"])
        #expect(link.hasSuffix("@192.0.2.7:7411"))
        let config = ["--config", folder.path + "/node/node.toml"]
        #expect(try Program.run(["node", "peer", "show"] + config).text == link + "\n")
    }

    @Test("without a network a command ends with 69 in its time; options that contradict each other are refused")
    func offline() throws {
        let (list, path) = try folder(CommandLineTests.peer)
        let home = ["HULDA_HOME": list.path + "/agent", "HULDA_PASSPHRASE": "x"]
        #expect(
            try Program.run(["id", "new", "--bootstrap", path, "--fast-passphrase"], environment: home).status == 0)
        // Nobody listens at the list's one address; and no interface of this machine has the other address.
        for (address, reason) in [
            ("127.0.31.9", "no gateway"), ("192.0.2.1", "is not an address of this machine"),
        ] {
            let bound = home.merging(["HULDA_BIND": address]) { _, new in new }
            let inbox = try Program.run(["inbox", "--timeout", "2"], environment: bound)
            #expect(inbox.status == 69 && inbox.errors.contains(reason), "\(address): \(inbox.errors)")
        }
        #expect(try Program.run(["inbox", "--follow", "--sent"], environment: home).status == 64)
        for time in [["--timeout=-1"], ["--timeout", "-1"]] {
            let negative = try Program.run(["inbox"] + time, environment: home)
            #expect(negative.status == 64)
            #expect(negative.errors.contains("'-1'"), "\(negative.errors)")
        }
    }

    @Test("output that cannot be written ends a command with 74; an empty message is refused with 65")
    func output() throws {
        let (list, path) = try folder(CommandLineTests.peer)
        let home = ["HULDA_HOME": list.path + "/agent", "HULDA_PASSPHRASE": "x"]
        #expect(
            try Program.run(["id", "new", "--bootstrap", path, "--fast-passphrase"], environment: home).status == 0)
        let full = try Program.run(
            ["-c", "\"$0\" id show > /dev/full", Program.path], environment: home, program: "/bin/sh")
        #expect(full.status == 74)
        #expect(full.errors.contains("No space left"))
        let id = "hulda1q9mu4s4wvgj3hpcy34xftz75m5za0ugm0l5sgqxdr3wexajp05rg2em9tn8"
        #expect(try Program.run(["send", id], environment: home, input: "").status == 65)
        let bytes = try Program.run(
            ["-c", #"printf 'a\377b' | "$0" send \#(id) -"#, Program.path], environment: home, program: "/bin/sh")
        #expect(bytes.status == 65)
        #expect(bytes.errors.contains("UTF-8"))
        let unread = try Program.run(
            ["-c", #""$0" send \#(id) - < /"#, Program.path], environment: home, program: "/bin/sh")
        #expect(unread.status == 66)
        #expect(unread.errors.contains("directory"))
    }

    @Test("a folder without a name, or without a testbed, is refused, and nothing is written")
    func folders() throws {
        let empty = try Folder()
        for words in [
            "node init '' --name one --listen 127.0.33.1:7433", "testbed up --dir ''", "testbed down --dir ''",
        ] {
            let output = try Program.run(
                ["-c", "cd '\(empty.path)' && \"$0\" \(words)", Program.path], program: "/bin/sh")
            #expect(output.status == 64, "\(words)")
            #expect(output.errors.contains("empty"))
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: empty.path).isEmpty)
        for verb in ["down", "status"] {
            #expect(try Program.run(["testbed", verb, "--dir", empty.path + "/nowhere"]).status == 66)
        }
    }

    @Test("a server without agents says so, and one with some says where they are")
    func agents() {
        #expect(StatusText.list([], "agents", " at") == "no agents")
        #expect(StatusText.list(["192.0.2.1", "192.0.2.2"], "agents", " at") == "agents at 192.0.2.1 192.0.2.2")
    }

    private struct Added: Decodable {
        let added, cluster: String
        let running, isNew, endorsed: Bool
    }

    @Test("peers are added, listed and removed; a mistyped peer link is refused")
    func peers() throws {
        let folder = try Folder()
        let node = folder.path + "/node"
        _ = try Program.run(["node", "init", node, "--name", "one", "--listen", "127.0.32.1:7432"])
        let config = ["--config", node + "/node.toml"]
        let added = try Program.run(["node", "peer", "add", CommandLineTests.peer, "--json"] + config)
        let report = try JSONDecoder().decode(Added.self, from: Data(added.text.utf8))
        #expect(report.added == CommandLineTests.peer && !report.running && report.isNew && report.endorsed)
        let own = try Program.run(["node", "peer", "show"] + config).text.trimmingCharacters(
            in: .whitespacesAndNewlines)
        let again = try Program.run(["node", "peer", "add", CommandLineTests.peer] + config)
        #expect(
            again.text.contains(own) && again.text.hasPrefix("Already a peer: cluster \(report.cluster.prefix(12))"))
        #expect(again.text.contains("trust root"))
        #expect(try Program.run(["node", "peer", "add", own] + config).status == 64)
        #expect(try Program.run(["node", "peer", "list", "--json"] + config).text.contains(CommandLineTests.peer))
        #expect(try Program.run(["node", "peer", "list"] + config).text.contains("127.21.0.1:7411"))
        #expect(try Program.run(["node", "peer", "remove", "boje"] + config).status == 68)
        #expect(try Program.run(["node", "peer", "remove", String(report.cluster.prefix(12))] + config).status == 0)
        #expect(try Program.run(["node", "peer", "add", CommandLineTests.peer] + config).status == 0)
        #expect(try Program.run(["node", "peer", "remove", CommandLineTests.peer] + config).status == 0)
        #expect(try Program.run(["node", "peer", "remove", CommandLineTests.peer] + config).status == 68)
        #expect(try Program.run(["node", "peer", "add", "hulda-peer:huldap1xyz@127.0.0.1:1"] + config).status == 64)
        // Without the cluster's key nothing is endorsed, and that is said.
        try FileManager.default.removeItem(atPath: node + "/cluster.key")
        let keyless = try Program.run(["node", "peer", "add", CommandLineTests.peer] + config)
        #expect(keyless.status == 66 && keyless.errors.contains("not endorsed: cluster.key"), "\(keyless.errors)")
    }

    @Test("every command explains itself, and completion scripts are made")
    func help() throws {
        for command in [
            ["node", "init"], ["node", "run"], ["node", "status"], ["node", "peer", "add"],
            ["node", "peer", "show"], ["node", "peer", "remove"], ["node", "map"], ["node", "resolve"], ["id", "new"],
            ["id", "show"], ["register"], ["resolve"], ["send"], ["inbox"], ["testbed", "up"], ["testbed", "down"],
            ["testbed", "status"],
        ] {
            let output = try Program.run(command + ["--help"])
            #expect(output.status == 0)
            #expect(output.text.contains("OVERVIEW"))
            // A user who reads no further finds what to type, or what an option means.
            #expect(output.text.contains("Example") || output.text.contains("hulda node peer list"), "\(command)")
        }
        for shell in ["bash", "zsh", "fish"] {
            #expect(try Program.run(["--generate-completion-script", shell]).text.contains("hulda"))
        }
    }
}

/// Occupies a TCP port.
final class Listener: Sendable {
    private let descriptor: Int32

    init(address: String, port: UInt16) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = port.bigEndian
        inet_pton(AF_INET, address, &name.sin_addr)
        let status = withUnsafePointer(to: &name) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(status == 0)
        try #require(listen(descriptor, 1) == 0)
    }

    deinit { close(descriptor) }
}
