import FoundationEssentials
import Glibc

/// Tells the service manager how the server stands, as sd_notify(3) does: a datagram to the socket that the variable
/// NOTIFY_SOCKET names. Without one, nothing.
struct ServiceManager: Sendable {
    private let path: String?
    /// How often it wants a sign of life, halved, so that one may come late.
    private let interval: Duration?

    init(_ environment: [String: String] = ProcessInfo.processInfo.environment) {
        path = environment["NOTIFY_SOCKET"].flatMap { $0.hasPrefix("/") || $0.hasPrefix("@") ? $0 : nil }
        let isOurs = environment["WATCHDOG_PID"].map { $0 == "\(getpid())" } ?? true
        interval = environment["WATCHDOG_USEC"].flatMap { Int64($0) }.flatMap {
            $0 > 0 && isOurs ? .microseconds($0 / 2) : nil
        }
    }

    func ready() { send("READY=1") }
    func stopping() { send("STOPPING=1") }

    func reloading() {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        send("RELOADING=1\nMONOTONIC_USEC=\(now.tv_sec * 1_000_000 + now.tv_nsec / 1000)")
    }

    /// Gives signs of life as long as `turn` returns; `nil` when none are wanted.
    func watch(_ turn: @escaping @Sendable () async -> Void) -> Task<Void, Never>? {
        guard path != nil, let interval else { return nil }
        return Task {
            while !Task.isCancelled {
                await turn()
                send("WATCHDOG=1")
                try? await Task.sleep(for: interval)
            }
        }
    }

    private func send(_ state: String) {
        guard let path else { return }
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var name = sockaddr_un()
        name.sun_family = sa_family_t(AF_UNIX)
        // A name of the abstract space begins with a zero byte, which the variable writes as @.
        let bytes = Array(path.utf8.first == UInt8(ascii: "@") ? [0] + path.utf8.dropFirst() : path.utf8 + [])
        guard bytes.count < MemoryLayout.size(ofValue: name.sun_path) else { return }
        withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: bytes) }
        let size = socklen_t(MemoryLayout.offset(of: \sockaddr_un.sun_path) ?? 2) + socklen_t(bytes.count)
        withUnsafePointer(to: &name) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                _ = sendto(descriptor, state, state.utf8.count, Int32(MSG_NOSIGNAL), address, size)
            }
        }
    }
}
