import Foundation
import Testing

/// A small file system in a mount namespace of its own, where a disk can be full or read-only even for root.
private enum SmallDisk {
    static let unshare = "/usr/bin/unshare"
    static let isPossible =
        (try? Program.run(
            ["--user", "--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs none /mnt"], program: unshare))?
        .status == 0

    /// Runs a shell script with `$HULDA` the program and `$D` a file system of 3 MiB; its lines of output.
    static func run(_ script: String) throws -> [String] {
        let folder = try Folder()
        let output = try Program.run(
            [
                "--user", "--map-root-user", "--mount", "sh", "-c",
                "mount -t tmpfs -o size=3m none $D || exit 9\n" + script,
            ],
            environment: ["HULDA": Program.path, "D": folder.path, "HULDA_PASSPHRASE": "x"], program: unshare)
        #expect(output.status == 0, "\(output.errors)")
        return output.text.split(separator: "\n").map(String.init)
    }
}

@Suite struct FullStoreTests {
    private static let peer =
        "hulda-peer:huldap1ewd8nkgqyn6c6qpapppa8v0z0vdphayy8vu3ffwutuwhg5lllv325est4u0fv2mtlhznavxvsp6cm3zm8xmp6fru0txh7kf6xjejyscurvxjd@127.21.0.1:7411"
    private static let id = "hulda1q9mu4s4wvgj3hpcy34xftz75m5za0ugm0l5sgqxdr3wexajp05rg2em9tn8"

    @Test(
        "a full disk is told with exit code 74, and what was stored is there when it has room again",
        .enabled(if: SmallDisk.isPossible, "no mount namespaces here"))
    func fullDisk() throws {
        let lines = try SmallDisk.run(
            """
            export HULDA_HOME=$D/agent
            echo '\(FullStoreTests.peer)' >$D/list
            fill() { dd if=/dev/zero of=$D/filler bs=4096 2>/dev/null; }
            new() { $HULDA id new --bootstrap $D/list --fast-passphrase >$D/out 2>$D/errors; }
            fill; new; echo "new on a full disk: $?"
            rm $D/filler; new; echo "new with room: $?"
            $HULDA send \(FullStoreTests.id) first --timeout 1 2>/dev/null; echo "queued: $?"
            fill
            head -c 45000 /dev/zero | tr '\\0' a >/dev/shm/hulda-test-$$
            $HULDA send \(FullStoreTests.id) - --timeout 1 </dev/shm/hulda-test-$$ 2>/dev/shm/hulda-errors-$$
            echo "send on a full disk: $?"; grep -c 'no space is left' /dev/shm/hulda-errors-$$
            rm /dev/shm/hulda-*-$$
            $HULDA inbox --sent --json | grep -c '"text":"first"'
            rm $D/filler
            $HULDA send \(FullStoreTests.id) second --timeout 1 2>/dev/null; echo "queued: $?"
            $HULDA inbox --sent --json | grep -c '"text"'
            """)
        #expect(
            lines == [
                "new on a full disk: 74", "new with room: 0", "queued: 75", "send on a full disk: 74", "1", "1",
                "queued: 75", "2",
            ])
    }

    @Test(
        "a read-only file system and a folder below a file are refused with a reason",
        .enabled(if: SmallDisk.isPossible, "no mount namespaces here"))
    func unwritable() throws {
        let lines = try SmallDisk.run(
            """
            export HULDA_HOME=$D/agent
            echo '\(FullStoreTests.peer)' >$D/list
            $HULDA id new --bootstrap $D/list --fast-passphrase >/dev/null; echo "new: $?"
            $HULDA node init $D/node --name one --listen 127.0.33.1:7433 >/dev/null; echo "init: $?"
            $HULDA node init $D/list/node --name one --listen 127.0.33.1:7433 2>/dev/null; echo "below a file: $?"
            mount -o remount,ro $D
            $HULDA inbox --stored 2>&1 | grep -c 'Read-only file system'
            $HULDA node run --config $D/node/node.toml 2>&1 | grep -c 'Read-only file system'
            HULDA_HOME=$D/other $HULDA id new --bootstrap $D/list 2>&1 | grep -c 'Read-only file system'
            """)
        #expect(lines == ["new: 0", "init: 0", "below a file: 66", "1", "1", "1"])
    }

    @Test(
        "an unreadable folder is told apart from a missing one", .enabled(if: geteuid() != 0, "root reads everything"))
    func unreadable() throws {
        let folder = try Folder()
        let home = ["HULDA_HOME": folder.path + "/agent", "HULDA_PASSPHRASE": "x"]
        try FileManager.default.createDirectory(
            atPath: folder.path + "/agent", withIntermediateDirectories: false, attributes: [.posixPermissions: 0])
        let output = try Program.run(["inbox", "--stored"], environment: home)
        #expect(output.status == 74)
        #expect(output.errors.contains("Permission denied"))
    }

    @Test("a home whose store is full refuses and says so, and loses and doubles nothing", .timeLimit(.minutes(8)))
    func fullHome() throws {
        let overlay = try Overlay(clusters: 5, network: 130)
        _ = try Program.run(["testbed", "down", "--dir", overlay.folder.path])
        let text = try String(contentsOfFile: overlay.configuration(2), encoding: .utf8)
        let lines = text.split(separator: "\n").map { $0.hasPrefix("store_mib") ? "store_mib = 1" : String($0) }
        try lines.joined(separator: "\n").write(toFile: overlay.configuration(2), atomically: true, encoding: .utf8)
        try overlay.restart()

        let alice = try User(overlay, address: "127.130.1.1")
        let bob = try User(overlay, address: "127.130.2.1")
        try alice.run("register", "--home", "cluster-1")
        try bob.run("register", "--home", "cluster-2")
        try #require(try overlay.status(2).home.accounts.count == 1)
        // More than the store holds, so that some must be refused.
        let messages = (0..<12).map { String(format: "%02d", $0) + String(repeating: "ab", count: 30_000) }
        for message in messages {
            let output = try Program.run(
                ["send", bob.id, "-", "--timeout", "1"], environment: alice.environment, input: message)
            #expect(output.status == 0 || output.status == 75, "\(output.errors)")
        }
        var refused = 0
        for _ in 0..<3 where refused == 0 {
            // Long enough to get somewhere: a fragment whose answer was still under way is sent again by the next.
            _ = try Program.run(["inbox", "--flush", "--timeout", "60"], environment: alice.environment)
            refused = try overlay.status(2).counters["home.full", default: 0]
        }
        #expect(refused > 0)
        #expect(try overlay.status(2).counters["core.storage.failed", default: 0] == 0)

        var received: [User.Message] = []
        for _ in 0..<12 where received.count < messages.count {
            _ = try Program.run(["inbox", "--wait", "3", "--timeout", "15"], environment: bob.environment)
            _ = try Program.run(["inbox", "--flush", "--timeout", "30"], environment: alice.environment)
            received = try bob.inbox("--stored")
        }
        #expect(received.map(\.text).sorted() == messages)
    }
}
