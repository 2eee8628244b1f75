import Glibc
import NIOCore

/// How many files and sockets this process may have open.
public enum FileDescriptors {
    /// What a command needs at its start: each event loop has three, and a node has as many loops as there are processors.
    ///
    /// The rest are stores, keys, logs, sockets, the operator's connections and some links (specs/wire.md, "Bounds of links").
    public static var needed: Int { 64 + 6 * max(2, System.coreCount) }

    /// Raises the process's limit to the most that the system allows it.
    /// - Returns: the limit as it is then.
    @discardableResult
    public static func raise() -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
        if limit.rlim_cur < limit.rlim_max {
            var raised = limit
            raised.rlim_cur = limit.rlim_max
            if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &raised) == 0 { limit = raised }
        }
        return Int(clamping: limit.rlim_cur)
    }

    /// Whether this process can open `count` more: tried, since whoever started it may have left some open.
    ///
    /// An event loop that gets none ends the process (SwiftNIO traps).
    public static func areFree(_ count: Int) -> Bool {
        var taken: [Int32] = []
        defer { for descriptor in taken { close(descriptor) } }
        while taken.count < count {
            let descriptor = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            guard descriptor >= 0 else { return false }
            taken.append(descriptor)
        }
        return true
    }
}
