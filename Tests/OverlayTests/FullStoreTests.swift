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
}
