import Foundation
import Testing

/// The program on a terminal of its own, whose other end is the test.
final class Pty: @unchecked Sendable {
    let pid: pid_t
    private let descriptor: Int32
    /// Everything that was printed.
    private(set) var text = ""
    private var bytes: [UInt8] = []
    /// How many of them are before the end of what was awaited last.
    private var awaited = 0
    /// POSIX_SPAWN_SETSID, which the C library declares for GNU sources only.
    private static let leadsSession: Int16 = 0x80

    init(
        _ arguments: [String], environment: [String: String], columns: UInt16 = 80, program: String = Program.path
    ) throws {
        var size = winsize(ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
        var (master, slave): (Int32, Int32) = (-1, -1)
        var path = [CChar](repeating: 0, count: 64)
        try #require(openpty(&master, &slave, &path, nil, &size) == 0)
        close(slave)
        descriptor = master
        _ = fcntl(master, F_SETFD, FD_CLOEXEC)
        let name = String(decoding: path.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // The first terminal that a leader of a session opens becomes its own.
        for number in Int32(0)...2 { posix_spawn_file_actions_addopen(&actions, number, name, O_RDWR, 0) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Pty.leadsSession)
        var variables = ProcessInfo.processInfo.environment
        for name in ["HULDA_PASSPHRASE", "HULDA_KEY_FILE"] { variables[name] = nil }
        variables.merge(environment) { _, new in new }
        var argv: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in argv + envp { free(text) } }
        var pid: pid_t = 0
        try #require(posix_spawn(&pid, program, &actions, &attributes, &argv, &envp) == 0)
        self.pid = pid
    }

    deinit {
        kill(pid, SIGKILL)
        waitpid(pid, nil, 0)
        close(descriptor)
    }

    func type(_ text: String) {
        _ = text.withCString { write(descriptor, $0, strlen($0)) }
    }

    /// Reads until `sign` has been printed after what was awaited before.
    func expect(_ sign: String, within seconds: Double = 30) throws {
        let wanted = Array(sign.utf8)
        func end() -> Int? {
            guard bytes.count >= awaited + wanted.count else { return nil }
            return (awaited...bytes.count - wanted.count).first { bytes[$0..<$0 + wanted.count] == wanted[...] }
                .map { $0 + wanted.count }
        }
        try #require(read(until: { _ in end() != nil }, seconds), "\(sign) did not come: \(text)")
        awaited = end() ?? awaited
    }

    /// Forgets what was printed, so that the next ``expect(_:within:)`` waits for new text.
    func forget() { (bytes, text, awaited) = ([], "", 0) }

    /// The exit code, negative for a signal.
    func end(within seconds: Double = 30) throws -> Int32 {
        _ = read(until: { _ in false }, seconds)
        var status: Int32 = 0
        let deadline = Date(timeIntervalSinceNow: seconds)
        while waitpid(pid, &status, WNOHANG) == 0 {
            try #require(Date() < deadline, "the program does not end: \(text)")
            usleep(10_000)
        }
        return status & 0x7f == 0 ? status >> 8 & 0xff : -(status & 0x7f)
    }

    /// Whether the terminal shows what is typed.
    var echoes: Bool {
        var settings = termios()
        tcgetattr(descriptor, &settings)
        return settings.c_lflag & tcflag_t(ECHO | ICANON | ISIG) == tcflag_t(ECHO | ICANON | ISIG)
    }

    private func read(until isEnough: (String) -> Bool, _ seconds: Double) -> Bool {
        let deadline = Date(timeIntervalSinceNow: seconds)
        var part = [UInt8](repeating: 0, count: 4096)
        while true {
            if isEnough(text) { return true }
            var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard Date() < deadline else { return false }
            guard poll(&waiting, 1, 100) > 0 else { continue }
            let count = Foundation.read(descriptor, &part, part.count)
            // The last one to have the terminal open is gone.
            guard count > 0 else { return isEnough(text) }
            bytes += part.prefix(count)
            text = String(decoding: bytes, as: UTF8.self)
        }
    }
}
