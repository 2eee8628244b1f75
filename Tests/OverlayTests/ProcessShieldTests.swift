import Foundation
import Testing
import Transport

/// What the program asks of the system for itself, and what it finds there.
@Suite(.serialized) struct ProcessShieldTests {
    /// Runs a script with the program as `$1` and a folder with a node's keys and configuration as `$2`.
    private func script(_ text: String, address: String, as user: UInt32? = nil) throws -> (
        output: Program.Output, folder: Folder
    ) {
        let folder = try Folder()
        let node = folder.path + "/node"
        let made = try Program.run(["node", "init", node, "--name", "shielded", "--listen", "\(address):7411"])
        try #require(made.status == 0, "\(made.errors)")
        var words = ["sh", "-c", text, "sh", Program.path, node]
        if let user {
            for path in [folder.path, node] { chown(path, user, user) }
            for name in try FileManager.default.subpathsOfDirectory(atPath: node) {
                chown("\(node)/\(name)", user, user)
            }
            words = ["setpriv", "--reuid=\(user)", "--regid=\(user)", "--clear-groups"] + words
        }
        return (try Program.run(words, program: "/usr/bin/env"), folder)
    }

    @Test("a node or agent that is killed leaves no dump of its memory, though whoever started it allowed one")
    func noDumps() throws {
        let (output, folder) = try script(
            """
            ulimit -c unlimited
            cd "$2"
            # Whether the system dumps here at all.
            mkdir control && cd control && { sleep 60 & p=$!; sleep 0.2; kill -SEGV $p; wait $p; ls | grep -c core; cd ..; }
            for signal in SEGV QUIT ABRT; do
                # What a shell starts in the background ignores SIGQUIT.
                env --default-signal=QUIT "$1" node run --config node.toml 2>log & p=$!
                for i in $(seq 300); do grep -q listening log && break; sleep 0.1; done
                grep "Max core file size" /proc/$p/limits
                kill -$signal $p; wait $p; echo "rc $?"
                grep -c rax log
            done
            """, address: "127.0.151.1")
        let lines = output.text.split(separator: "\n").map(String.init)
        #expect(lines.count { $0.split(separator: " ").suffix(3) == ["0", "0", "bytes"] } == 3, "\(output.text)")
        // 128 and the signal's number, as shells have it.
        #expect(lines.filter { $0.hasPrefix("rc ") } == ["rc 139", "rc 131", "rc 134"], "\(output.text)")
        // Nor a report with what registers point to.
        #expect(lines.dropFirst().count { $0 == "0" } == 3, "\(output.text)")
        let left = try FileManager.default.contentsOfDirectory(atPath: folder.path + "/node")
        #expect(left.allSatisfy { !$0.hasPrefix("core") }, "\(left)")
        // Where the system puts dumps elsewhere, only the limits above say that there is none.
        #expect(["0", "1"].contains(lines.first), "\(output.text)")
    }

    @Test("others of the same user cannot read a node's memory either: its files in /proc are root's")
    func unreadable() throws {
        let user: UInt32 = geteuid() == 0 ? 65534 : geteuid()
        let (output, _) = try script(
            """
            cd "$2"
            "$1" node run --config node.toml 2>log & p=$!
            for i in $(seq 300); do grep -q listening log && break; sleep 0.1; done
            stat -c %u /proc/$p/mem
            head -c 1 /proc/$p/environ >/dev/null 2>&1; echo "read $?"
            "$1" node status --config node.toml --json | grep -c '"clusterName":"shielded"'
            kill $p; wait $p; echo "rc $?"
            """, address: "127.0.152.1", as: geteuid() == 0 ? user : nil)
        let lines = output.text.split(separator: "\n").map(String.init)
        #expect(lines == ["0", "read 1", "1", "rc 0"], "\(output.text) \(output.errors)")
    }

    @Test("with too few descriptors every command says how many it needs and exits 71; with enough it works")
    func descriptors() throws {
        let needed = FileDescriptors.needed
        // Beside those that whoever runs the tests has left open for their children.
        let enough = needed + 64
        let (output, _) = try script(
            """
            cd "$2"
            # Not ulimit: the shell needs descriptors itself for what it redirects.
            for limit in 8 12 16 20 24 32 40 \(needed) \(enough); do
                limited="prlimit --nofile=$limit:$limit"
                timeout --preserve-status 3 $limited "$1" node run --config node.toml 2>log; echo "run $limit $?"
                grep -c "needs: \(needed)" log
                $limited "$1" send nobody@nowhere text --home-directory none </dev/null >/dev/null 2>&1
                echo "send $limit $?"
                $limited "$1" --help >/dev/null; echo "help $limit $?"
            done
            prlimit --nofile=20:20000 "$1" id show --home-directory none 2>/dev/null; echo "soft 20 $?"
            """, address: "127.0.153.1")
        let lines = output.text.split(separator: "\n").map(String.init)
        for limit in [8, 12, 16, 20, 24, 32, 40, needed] {
            #expect(lines.contains("run \(limit) 71") && lines.contains("send \(limit) 71"), "\(limit): \(output.text)")
            #expect(lines.contains("help \(limit) 0"), "\(limit)")
        }
        #expect(lines.count { $0 == "1" } == 8, "\(output.text)")
        // There is no identity, which is another matter.
        #expect(lines.contains("run \(enough) 0") && lines.contains("send \(enough) 66"), "\(output.text)")
        #expect(lines.contains("soft 20 66"), "\(output.text)")
    }

    @Test(
        "a node whose descriptors run out goes on, takes links again when there are some, and does not spin meanwhile")
    func exhausted() throws {
        let (output, _) = try script(
            """
            cd "$2"
            "$1" node run --config node.toml 2>log & p=$!
            for i in $(seq 300); do grep -q listening log && break; sleep 0.1; done
            prlimit --pid $p --nofile=10:20000
            python3 - <<'END'
            import socket, time
            links = []
            for i in range(50):
                s = socket.socket()
                s.settimeout(5)
                s.connect(("127.0.154.1", 7411))
                links.append(s)
            time.sleep(3)
            END
            prlimit --pid $p --nofile=20000:20000
            sleep 1
            "$1" node status --config node.toml --json
            kill $p; wait $p; echo "rc $?"
            """, address: "127.0.154.1")
        let lines = output.text.split(separator: "\n").map(String.init)
        try #require(lines.count == 2, "\(output.text) \(output.errors)")
        #expect(lines[1] == "rc 0")
        struct Counted: Decodable { let counters: [String: Int] }
        let status = try JSONDecoder().decode(Counted.self, from: Data(lines[0].utf8))
        // Every 200 ms one of the queue was tried: without a pause it would be some thousands a second.
        let refused = status.counters["link.failed.overloaded", default: 0]
        #expect((1...100).contains(refused), "\(status.counters)")
    }
}
