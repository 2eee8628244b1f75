import Foundation
import Testing

/// A `hulda` process that runs beside the test, its output in files.
final class Running {
    let pid: pid_t
    private let folder: Folder
    private var ended: Int32?

    init(_ arguments: [String], environment: [String: String] = [:]) throws {
        folder = try Folder()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, folder.path + "/out", O_WRONLY | O_CREAT, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, folder.path + "/errors", O_WRONLY | O_CREAT, 0o600)
        let variables = ProcessInfo.processInfo.environment.merging(environment) { _, new in new }
        var argv: [UnsafeMutablePointer<CChar>?] = ([Program.path] + arguments).map { strdup($0) }
        argv.append(nil)
        var envp: [UnsafeMutablePointer<CChar>?] = variables.map { strdup("\($0.key)=\($0.value)") }
        envp.append(nil)
        defer { for text in argv + envp { free(text) } }
        var started: pid_t = 0
        try #require(posix_spawn(&started, Program.path, &actions, nil, &argv, &envp) == 0)
        pid = started
    }

    deinit {
        if ended == nil {
            kill(pid, SIGKILL)
            _ = end()
        }
    }

    func signal(_ number: Int32) { if ended == nil { kill(pid, number) } }

    /// Waits for its end.
    /// - Returns: its exit code; a signal is told apart by a negative number.
    func end() -> Int32 {
        if let ended { return ended }
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        return note(status)
    }

    /// Its exit code, if it ends within so many seconds.
    func end(within seconds: Int) throws -> Int32? {
        try wait(seconds) { self.hasEnded } ? ended : nil
    }

    private var hasEnded: Bool {
        guard ended == nil else { return true }
        var status: Int32 = 0
        guard waitpid(pid, &status, WNOHANG) == pid else { return false }
        _ = note(status)
        return true
    }

    private func note(_ status: Int32) -> Int32 {
        let code = status & 0x7f == 0 ? status >> 8 & 0xff : -(status & 0x7f)
        ended = code
        return code
    }

    var errors: String { (try? String(contentsOfFile: folder.path + "/errors", encoding: .utf8)) ?? "" }

    /// Whether it says `text` on standard error before it ends, within so many seconds.
    func says(_ text: String, within seconds: Int = 60) throws -> Bool {
        _ = try wait(seconds) { self.errors.contains(text) || self.hasEnded }
        return errors.contains(text)
    }

    private func wait(_ seconds: Int, _ condition: () -> Bool) throws -> Bool {
        for _ in 0..<(seconds * 50) {
            if condition() { return true }
            usleep(20_000)
        }
        return condition()
    }
}
