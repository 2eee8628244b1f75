import Foundation
import Testing

/// A server of its own, started by the program as an operator would, with its log.
final class ServerTrial {
    let folder: Folder
    let link: String
    private var pid: pid_t = 0

    var configuration: String { folder.path + "/node/node.toml" }
    var data: String { folder.path + "/node" }

    /// Makes keys and a configuration; ``start(_:)`` starts it.
    init(_ name: String, at address: String, bootstrap: String? = nil) throws {
        folder = try Folder()
        var words = ["node", "init", folder.path + "/node", "--name", name, "--listen", address, "--json"]
        if let bootstrap {
            try (bootstrap + "\n").write(toFile: folder.path + "/list", atomically: true, encoding: .utf8)
            words += ["--bootstrap", folder.path + "/list"]
        }
        let output = try Program.run(words)
        try #require(output.status == 0, "\(output.errors)")
        link = try #require(try JSONDecoder().decode([String: String].self, from: Data(output.text.utf8))["peer"])
    }

    deinit { if pid > 0 { end(SIGKILL) } }

    func start(_ options: [String] = [], environment: [String: String] = [:]) throws {
        let started = log.components(separatedBy: "listening").count
        let words = [Program.path, "node", "run", "--config", configuration] + options
        var argv: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
        argv.append(nil)
        let variables = ProcessInfo.processInfo.environment.merging(environment) { _, new in new }
        var envp: [UnsafeMutablePointer<CChar>?] = variables.map { strdup("\($0.key)=\($0.value)") }
        envp.append(nil)
        defer { for text in argv + envp { free(text) } }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 2, folder.path + "/log", O_WRONLY | O_CREAT | O_APPEND, 0o600)
        try #require(posix_spawn(&pid, Program.path, &actions, nil, &argv, &envp) == 0)
        try waitForLog("listening", times: started)
    }

    func signal(_ number: Int32) { kill(pid, number) }

    /// - Returns: the exit code; a signal is told apart by a negative number.
    @discardableResult
    func end(_ number: Int32 = SIGTERM) -> Int32 {
        kill(pid, number)
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        pid = 0
        return status & 0x7f == 0 ? status >> 8 & 0xff : -(status & 0x7f)
    }

    var log: String { (try? String(contentsOfFile: folder.path + "/log", encoding: .utf8)) ?? "" }

    /// Waits, half a minute at most, until the log has the words so many times.
    func waitForLog(_ words: String, times: Int = 1) throws {
        let deadline = Date().addingTimeInterval(30)
        while log.components(separatedBy: words).count <= times {
            try #require(Date() < deadline, "no \u{201C}\(words)\u{201D} in the log:\n\(log)")
            usleep(50_000)
        }
    }

    /// Changes the configuration's text.
    func edit(_ change: (inout String) -> Void) throws {
        var text = try String(contentsOfFile: configuration, encoding: .utf8)
        change(&text)
        try text.write(toFile: configuration, atomically: true, encoding: .utf8)
    }

    func command(_ words: String...) throws -> Program.Output {
        try Program.run(["node"] + words + ["--config", configuration])
    }
}
