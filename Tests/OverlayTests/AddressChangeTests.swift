import Foundation
import Testing

/// The address from which this machine connects to the loopback network.
private enum OwnAddress {
    static let first = "10.77.0.1"
    static let second = "10.77.0.2"

    static func ip(_ words: String) -> Bool {
        (try? Program.run(words.split(separator: " ").map(String.init), program: "/usr/sbin/ip").status) == 0
    }

    /// Connections to nodes on the loopback network come from this address from now on.
    static func moveTo(_ address: String, from old: String?) -> Bool {
        guard ip("addr add \(address)/32 dev lo"),
            ip("route replace local 127.0.0.0/8 dev lo table local scope host src \(address)")
        else { return false }
        return old.map { ip("addr del \($0)/32 dev lo") } ?? true
    }

    static let mayChange: Bool = {
        guard FileManager.default.isExecutableFile(atPath: "/usr/sbin/ip"), ip("addr add 10.77.0.9/32 dev lo") else {
            return false
        }
        return ip("addr del 10.77.0.9/32 dev lo")
    }()
}

/// A machine that moves to another network, with real processes and the system's own address table: the address from which
/// the follower's links come is taken from the loopback interface, and another put in its place. Needs the right to
/// change it (a network namespace of its own).
@Suite(.serialized, .enabled(if: OwnAddress.mayChange)) struct AddressChangeTests {
    @Test("a follower whose machine gets another address hears the next message soon")
    func follower() throws {
        let overlay = try Overlay(clusters: 5, network: 231)
        try #require(OwnAddress.moveTo(OwnAddress.first, from: nil))
        defer {
            _ = OwnAddress.ip("route replace local 127.0.0.0/8 dev lo table local scope host src 127.0.0.1")
            for address in [OwnAddress.first, OwnAddress.second] {
                _ = OwnAddress.ip("addr del \(address)/32 dev lo")
            }
        }
        let alice = try User(overlay, address: "127.0.22.1")
        let bob = try User(overlay, address: "")
        try alice.run("register", "--home", "cluster-1")
        try bob.run("register", "--home", "cluster-2")
        let out = bob.folder.path + "/out"
        let words = [Program.path, "inbox", "--follow"]
        var argv: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        let variables = ProcessInfo.processInfo.environment.merging(bob.environment) { _, new in new }
        var envp: [UnsafeMutablePointer<CChar>?] = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in argv + envp { free(text) } }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 1, out, O_WRONLY | O_CREAT, 0o600)
        var pid: pid_t = 0
        try #require(posix_spawn(&pid, Program.path, &actions, nil, &argv, &envp) == 0)
        defer {
            kill(pid, SIGTERM)
            var status: Int32 = 0
            waitpid(pid, &status, 0)
        }
        /// - Returns: seconds until the follower has shown it.
        func wait(for text: String) -> Double? {
            let begin = Date()
            while Date().timeIntervalSince(begin) < 30 {
                if (try? String(contentsOfFile: out, encoding: .utf8))?.contains(text) == true {
                    return Date().timeIntervalSince(begin)
                }
                usleep(50_000)
            }
            return nil
        }
        try alice.run("send", bob.id, "before")
        try #require(wait(for: "before") != nil)
        try #require(OwnAddress.moveTo(OwnAddress.second, from: OwnAddress.first))
        let moved = Date()
        try alice.run("send", bob.id, "afterwards")
        // It was more than a minute, while the links waited for the system to give them up.
        let shown = wait(for: "afterwards")
        #expect(shown != nil, "nothing came within half a minute")
        print("shown \(Date().timeIntervalSince(moved)) s after the change, \(shown ?? .nan) s after it was accepted")
    }
}
