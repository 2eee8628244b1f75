import Glibc
import Storage

/// Keeps other processes out of a directory; the system drops it when the process ends, however it ends.
final class DirectoryLock: Sendable {
    private let descriptor: Int32

    /// - Throws: ``StorageError/unavailable(_:)`` when another process, or another part of this one, holds it.
    init(path: String) throws(StorageError) {
        let descriptor = open(path + "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw StorageError(system: errno) }
        var status = flock(descriptor, LOCK_EX | LOCK_NB)
        // Whoever only looks whether it is held holds it for a moment.
        for _ in 0..<3 where status != 0 && errno == EWOULDBLOCK {
            usleep(5000)
            status = flock(descriptor, LOCK_EX | LOCK_NB)
        }
        guard status == 0 else {
            let number = errno
            close(descriptor)
            if number == EWOULDBLOCK { throw .unavailable("\(path) is in use by another process") }
            throw StorageError(system: number)
        }
        self.descriptor = descriptor
    }

    deinit {
        close(descriptor)
    }

    /// Whether a process holds the lock now. Nothing is made where there is none.
    static func isHeld(path: String) -> Bool {
        let descriptor = open(path + "/lock", O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK
    }
}

/// Making directories.
enum Directories {
    /// Makes `path` and its missing parents, readable by the owner only.
    static func make(_ path: String) throws(StorageError) {
        let parts = path.split(separator: "/", omittingEmptySubsequences: true)
        guard !parts.isEmpty else { throw .unavailable("no directory named") }
        var current = path.hasPrefix("/") ? "" : "."
        for part in parts {
            current += "/" + part
            if mkdir(current, 0o700) != 0 {
                let number = errno
                var status = stat()
                // A parent on a read-only or foreign file system answers otherwise than EEXIST, and is there.
                guard stat(current, &status) == 0 else { throw .unavailable("\(current): \(text(of: number))") }
            }
        }
    }

    /// Whether the file that is open as `descriptor` has the name `path`.
    static func isName(_ path: String, of descriptor: Int32) -> Bool {
        var (opened, named) = (stat(), stat())
        return fstat(descriptor, &opened) == 0 && stat(path, &named) == 0 && opened.st_ino == named.st_ino
            && opened.st_dev == named.st_dev
    }

    /// That a file was made or renamed in `path` is on the medium when the directory is.
    static func sync(_ path: String) throws(StorageError) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw StorageError(system: errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw StorageError(system: errno) }
    }

    private static func text(of number: Int32) -> String { String(cString: strerror(number)) }
}
