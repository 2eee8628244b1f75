import Glibc

/// A Unix socket's path as the system takes it: at most 107 bytes.
///
/// A longer one is reached through its opened folder, so the socket lies in the data directory however long its path is,
/// and never where others could have put one.
struct SocketPlace: Sendable {
    private static let longest = 100

    /// What to bind or connect to while this is open.
    let path: String
    private let folder: Int32?

    init(_ path: String) throws {
        guard path.utf8.count > SocketPlace.longest, let slash = path.lastIndex(of: "/") else {
            self.path = path
            folder = nil
            return
        }
        let descriptor = open(String(path[...slash]), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw ControlSocket.Unreachable(path: path) }
        folder = descriptor
        self.path = "/proc/self/fd/\(descriptor)/" + path[path.index(after: slash)...]
    }

    func close() {
        if let folder { Glibc.close(folder) }
    }

    /// Whose the folder of the socket at `path` is.
    static func owner(_ path: String) -> uid_t? {
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
        var state = stat()
        return stat(folder, &state) == 0 ? state.st_uid : nil
    }
}
