import Foundation
import Node
import Testing

@testable import hulda

/// What an operator does with a server, by the program.
@Suite(.serialized) struct OperatorTests {
    @Test("SIGHUP takes what a running server can, names what it cannot, and refuses a file that is wrong")
    func reload() throws {
        let server = try ServerTrial("reloaded", at: "127.241.0.1:7411")
        try server.start()
        try server.edit {
            $0 = $0.replacingOccurrences(of: "log_level = \"info\"", with: "log_level = \"debug\"")
                .replacingOccurrences(of: "names_per_account = 3", with: "names_per_account = 5")
                .replacingOccurrences(of: "store_mib = 1024", with: "store_mib = 64")
        }
        server.signal(SIGHUP)
        try server.waitForLog("configuration read again")
        try server.waitForLog("next start only")
        let lines = server.log.split(separator: "\n")
        let again = try #require(lines.first { $0.contains("configuration read again") })
        #expect(again.contains("names_per_account, log_level") && !again.contains("store_mib"), "\(again)")
        let left = try #require(lines.first { $0.contains("next start only") })
        #expect(left.contains("options=store_mib"), "\(left)")

        try server.edit {
            $0 = $0.replacingOccurrences(of: "loops_per_minute = 6", with: "loops_per_minute = \"many\"")
        }
        server.signal(SIGHUP)
        try server.waitForLog("configuration is not taken")
        let refused = try #require(server.log.split(separator: "\n").last { $0.contains("not taken") })
        let number = try String(contentsOfFile: server.configuration, encoding: .utf8)
            .components(separatedBy: "loops_per_minute =")[0].split(separator: "\n", omittingEmptySubsequences: false)
            .count
        #expect(refused.contains("line \(number): loops_per_minute must be a number"), "\(refused)")
        #expect(try Program.run(["node", "status", "--config", server.configuration]).status == 78)
        try server.edit {
            $0 = $0.replacingOccurrences(of: "loops_per_minute = \"many\"", with: "loops_per_minute = 0")
        }
        server.signal(SIGHUP)
        try server.waitForLog("configuration read again", times: 2)
        #expect(try server.command("status").status == 0)
        #expect(server.end() == 0)
    }

    @Test("the service manager is told when the server is ready, reads its configuration, lives, and stops")
    func notification() throws {
        let server = try ServerTrial("notified", at: "127.242.0.1:7411")
        let manager = try NotificationSocket(server.folder.path + "/notify")
        try server.start(environment: ["NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "200000"])
        try manager.wait("READY=1")
        try manager.wait("WATCHDOG=1")
        try manager.wait("WATCHDOG=1")
        server.signal(SIGHUP)
        #expect(try manager.wait("RELOADING=1").contains("\nMONOTONIC_USEC="))
        try manager.wait("READY=1")
        #expect(server.end() == 0)
        try manager.wait("STOPPING=1")
    }

    @Test("the log has its message first, or is lines of JSON where that was asked for")
    func log() throws {
        let server = try ServerTrial("logged", at: "127.243.0.1:7411")
        try server.start()
        let line = try #require(server.log.split(separator: "\n").first { $0.contains("listening") })
        #expect(line.split(separator: " ")[1...2].joined(separator: " ") == "notice listening", "\(line)")
        #expect(line.contains("cluster=logged"))
        #expect(server.end() == 0)
        try server.start(["--json"])
        let last = try #require(server.log.split(separator: "\n").last { $0.contains("\"listening\"") })
        struct Line: Decodable {
            let message, level, time: String
            let fields: [String: String]
        }
        let decoded = try JSONDecoder().decode(Line.self, from: Data(last.utf8))
        #expect(decoded.message == "listening" && decoded.fields["cluster"] == "logged" && decoded.level == "notice")
    }

    @Test("init copies the list, explains each option, and hides the file; the list may go missing later")
    func begin() throws {
        let friend = try ServerTrial("friend", at: "127.244.0.1:7411")
        let server = try ServerTrial("begun", at: "127.244.0.2:7411", bootstrap: friend.link + " # my friend")
        let text = try String(contentsOfFile: server.configuration, encoding: .utf8)
        #expect(text.contains("bootstrap = \"bootstrap.txt\"") && !text.contains(server.folder.path + "/list"))
        for option in NodeOption.all where option.isListed {
            #expect(text.contains("\n\(option.name) = ") || text.contains("\n# \(option.name) = "))
        }
        let mode = try FileManager.default.attributesOfItem(atPath: server.configuration)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        try FileManager.default.removeItem(atPath: server.folder.path + "/list")
        try server.start()
        try server.waitForLog("cannot connect with a server")
        #expect(server.end() == 0)
        // The whole folder is moved, and the list is lost on the way: its cluster is a trust root all the same.
        try FileManager.default.removeItem(atPath: server.data + "/bootstrap.txt")
        try server.start()
        #expect(try server.command("peer", "list").text.contains("127.244.0.1:7411"))
        try server.waitForLog("the bootstrap list is missing")
        #expect(server.end() == 0)
    }

    /// Lines that were folded at the width of a screen, as one.
    private func flat(_ text: String) -> String {
        text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    }

    @Test("check finds what would keep the server from starting, with that start's exit code")
    func check() throws {
        let server = try ServerTrial("checked", at: "127.245.0.1:7411")
        let fine = try server.command("check")
        #expect(fine.status == 0, "\(fine.text)")
        for words in ["every option", "certificate lasts", "store is whole", "replay is whole", "are free", "clock"] {
            #expect(flat(fine.text).contains(words), "\(words): \(fine.text)")
        }
        let key = server.data + "/server.key"
        chmod(key, 0o644)
        let open = try server.command("check")
        #expect(open.status == 77 && flat(open.text).contains("chmod 600 \(key)"), "\(open.text)")
        chmod(key, 0o600)
        do {
            let listener = try Listener(address: "127.245.0.1", port: 7411)
            defer { withExtendedLifetime(listener) {} }
            let busy = try server.command("check")
            #expect(busy.status == 71 && flat(busy.text).contains("in use"), "\(busy.text)")
        }
        try server.start()
        let running = try server.command("check")
        #expect(running.status == 0 && flat(running.text).contains("a server runs"), "\(running.text)")
        #expect(server.end() == 0)
        #expect(try flat(server.command("check").text).contains("store is whole"))
        let data = server.data + "/store/data.mdb"
        let whole = try Data(contentsOf: URL(fileURLWithPath: data))
        var bytes = whole
        for place in 0..<64 { bytes[place] = 0xff }
        try bytes.write(to: URL(fileURLWithPath: data))
        let damaged = try server.command("check")
        #expect(damaged.status == 1 && flat(damaged.text).contains("store is damaged"), "\(damaged.text)")
        #expect(try Data(contentsOf: URL(fileURLWithPath: data)) == bytes)
        try whole.write(to: URL(fileURLWithPath: data))
        try Data(repeating: 1, count: 31).write(to: URL(fileURLWithPath: key))
        let torn = try server.command("check")
        #expect(torn.status == 66 && flat(torn.text).contains("server.key"), "\(torn.text)")
        try server.edit { $0 += "\nno_such_option = 1\n" }
        let unknown = try server.command("check")
        #expect(unknown.status == 78 && unknown.errors.contains("there is no option no_such_option"))
        #expect(unknown.errors.contains(", line "), "\(unknown.errors)")
    }

    @Test("options of a wrong type and values out of range are named as such, with their line")
    func wrongOptions() throws {
        let folder = try Folder()
        let path = folder.path + "/node.toml"
        let start = "cluster_name = \"one\"\nlisten = \"127.0.0.1:1\"\ndata_directory = \"/nowhere\"\n"
        for (line, words) in [
            ("loops_per_minute = \"many\"", "loops_per_minute must be a number"),
            ("contact = 7", "contact must be a text in quotes"),
            ("known_servers = \"x\"", "known_servers must be a list of texts"),
            ("known_servers = [1]", "known_servers must be a list of texts"),
            ("records = 1.5", "records must be a number"),
            ("records = 1", "records must be from 1000 to 10000000"),
            ("log_level = \"loud\"", "log_level must be one of trace, "),
            ("advertise = \"nowhere\"", "advertise \u{201C}nowhere\u{201D} is not an address"),
            ("contact = \"a\\u001bb\"", "contact must have no control characters"),
            ("listem = 1", "there is no option listem"),
        ] {
            try (start + line + "\n").write(toFile: path, atomically: true, encoding: .utf8)
            let failure = #expect(throws: Failure.self, "\(line)") { try ConfigurationFile.readValid(path) }
            #expect(
                failure?.message.hasPrefix("\(path), line 4: \(words)") == true, "\(line): \(failure?.message ?? "")")
            #expect(failure?.code == SysExit.config)
        }
    }

    @Test("a testbed on addresses in use fails at once with 71, names the cluster and why, and leaves nothing running")
    func busyTestbed() throws {
        let folder = try Folder()
        let listener = try Listener(address: "127.247.0.1", port: 7411)
        defer { withExtendedLifetime(listener) {} }
        let output = try Program.run(
            ["testbed", "up", "--clusters", "3", "--network", "246", "--dir", folder.path, "--timeout", "120"])
        #expect(output.status == 71, "\(output.errors)")
        #expect(output.errors.contains("cluster-2 has ended: 127.247.0.1:7411 is in use"), "\(output.errors)")
        #expect(try Program.run(["testbed", "down", "--dir", folder.path]).text == "Stopped 0 processes.\n")
    }
}

/// The end of a service manager that listens.
private final class NotificationSocket {
    let path: String
    private let descriptor: Int32
    private var seen: [String] = []

    init(_ path: String) throws {
        self.path = path
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        var name = sockaddr_un()
        name.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: path.utf8.prefix(107)) }
        let bound = withUnsafePointer(to: &name) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(bound == 0)
        var patience = timeval(tv_sec: 30, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    /// The next datagram that begins so; those that do not are passed by.
    @discardableResult
    func wait(_ start: String) throws -> String {
        for _ in 0..<1000 {
            var buffer = [UInt8](repeating: 0, count: 512)
            let count = recv(descriptor, &buffer, buffer.count, 0)
            try #require(count > 0, "no \(start) came")
            let text = String(decoding: buffer.prefix(count), as: UTF8.self)
            if text.hasPrefix(start) { return text }
        }
        Issue.record("no \(start) came")
        return ""
    }
}
