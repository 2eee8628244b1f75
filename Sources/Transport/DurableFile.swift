import Glibc

/// Writes files as wholes: whoever reads one, also after a cut at any moment, finds all of the old or all of the new.
///
/// The bytes are written aside, under `.NAME.new` in the same folder, and synced; the file is renamed, and its folder
/// synced. What a cut leaves aside is taken over by the next write of the same file, or removed by ``sweep(_:)``.
public enum DurableFile {
    public struct Failure: Error, Sendable, CustomStringConvertible {
        public let path: String
        /// In the system's words.
        public let reason: String
        public var description: String { "\(path): \(reason)" }

        public init(path: String, reason: String) {
            self.path = path
            self.reason = reason
        }
    }

    /// What becomes of a file that is there already.
    public enum Present: Sendable {
        /// It is replaced, and keeps its mode and its owner.
        case replaced
        /// It stays, and the write fails.
        case kept
    }

    /// Writes `bytes` to the file at `path`.
    /// - Parameters:
    ///   - mode: of a file that was not there.
    ///   - present: what becomes of one that was.
    public static func write(
        _ bytes: UnsafeRawBufferPointer, to path: String, mode: mode_t = 0o600, ifPresent present: Present = .replaced
    ) throws(Failure) {
        let target = present == .replaced ? followed(path) : path
        func check(_ number: Int32) throws(Failure) {
            if number != 0 { throw Failure(path: path, reason: String(cString: strerror(number))) }
        }
        var old = stat()
        let isThere = stat(target, &old) == 0
        if isThere, present == .kept { try check(EEXIST) }
        if isThere, old.st_mode & S_IFMT != S_IFREG { try check(old.st_mode & S_IFMT == S_IFDIR ? EISDIR : EINVAL) }
        let aside = asidePath(of: target)
        let (descriptor, number) = take(aside)
        try check(number)
        defer { close(descriptor) }
        var code = write(bytes, descriptor)
        if code == 0 { code = assume(isThere ? old : nil, mode: mode, folder: folder(of: target), descriptor) }
        if code == 0, fsync(descriptor) != 0 { code = errno }
        // Nobody else writes this file while the one aside is locked.
        if code == 0, present == .kept, access(target, F_OK) == 0 { code = EEXIST }
        if code == 0, rename(aside, target) != 0 { code = errno }
        if code != 0 { unlink(aside) }
        try check(code)
        try check(syncFolder(of: target))
    }

    public static func write(
        _ bytes: [UInt8], to path: String, mode: mode_t = 0o600, ifPresent present: Present = .replaced
    ) throws(Failure) {
        var failure: Failure?
        bytes.withUnsafeBytes { raw in
            do throws(Failure) { try write(raw, to: path, mode: mode, ifPresent: present) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    public static func write(
        _ text: String, to path: String, mode: mode_t = 0o600, ifPresent present: Present = .replaced
    ) throws(Failure) {
        try write(Array(text.utf8), to: path, mode: mode, ifPresent: present)
    }

    /// Removes what cut-off writes have left aside in a folder; not what somebody writes now.
    public static func sweep(_ folder: String) {
        guard let stream = opendir(folder) else { return }
        var left: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasPrefix("."), name.hasSuffix(".new"), name.count > 5 { left.append(folder + "/" + name) }
        }
        closedir(stream)
        for path in left { discard(path) }
    }

    /// Removes what a cut-off write of the file at `path` has left aside.
    static func discardAside(of path: String) { discard(asidePath(of: path)) }

    private static func discard(_ aside: String) {
        let descriptor = open(aside, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        if flock(descriptor, LOCK_EX | LOCK_NB) == 0, isNamed(aside, descriptor) { unlink(aside) }
    }

    /// The file at the end of a symbolic link, which a rename would replace.
    private static func followed(_ path: String) -> String {
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK, let real = realpath(path, nil) else {
            return path
        }
        defer { free(real) }
        return String(cString: real)
    }

    static func asidePath(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return ".\(path).new" }
        return "\(path[...slash]).\(path[path.index(after: slash)...]).new"
    }

    private static func folder(of path: String) -> String {
        path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
    }

    /// The empty file aside, locked against others that write the same one.
    private static func take(_ aside: String) -> (descriptor: Int32, errno: Int32) {
        while true {
            let descriptor = open(aside, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0o600)
            guard descriptor >= 0 else {
                // A link or a pipe that somebody has put there.
                guard errno == ELOOP || errno == ENXIO, unlink(aside) == 0 else { return (-1, errno) }
                continue
            }
            while flock(descriptor, LOCK_EX) != 0, errno == EINTR {}
            var status = stat()
            guard fstat(descriptor, &status) == 0, isNamed(aside, descriptor) else {
                // It was renamed while the lock was waited for.
                close(descriptor)
                continue
            }
            guard status.st_mode & S_IFMT == S_IFREG, status.st_nlink == 1, status.st_uid == geteuid() else {
                // Not ours: what it is a second name of is to stay as it is.
                close(descriptor)
                guard unlink(aside) == 0 else { return (-1, errno) }
                continue
            }
            guard ftruncate(descriptor, 0) == 0 else {
                let number = errno
                close(descriptor)
                return (-1, number)
            }
            return (descriptor, 0)
        }
    }

    private static func isNamed(_ path: String, _ descriptor: Int32) -> Bool {
        var (opened, named) = (stat(), stat())
        return fstat(descriptor, &opened) == 0 && lstat(path, &named) == 0 && opened.st_ino == named.st_ino
            && opened.st_dev == named.st_dev
    }

    /// Mode and owner of the file that is replaced; what root writes for another user is to be that user's.
    private static func assume(_ old: stat?, mode: mode_t, folder: String, _ descriptor: Int32) -> Int32 {
        var owner = stat()
        if let old { owner = old } else if stat(folder, &owner) != 0 { return errno }
        if geteuid() == 0, owner.st_uid != 0, fchown(descriptor, owner.st_uid, owner.st_gid) != 0 { return errno }
        return fchmod(descriptor, (old?.st_mode ?? mode) & 0o777) == 0 ? 0 : errno
    }

    /// - Returns: what the system answered; 0 when every byte is written.
    private static func write(_ bytes: UnsafeRawBufferPointer, _ descriptor: Int32) -> Int32 {
        var rest = bytes
        while !rest.isEmpty {
            let written = Glibc.write(descriptor, rest.baseAddress, rest.count)
            if written < 0, errno == EINTR { continue }
            guard written > 0 else { return written < 0 ? errno : ENOSPC }
            rest = UnsafeRawBufferPointer(rebasing: rest[written...])
        }
        return 0
    }

    /// That a file was made, renamed or removed is on the medium when its folder is.
    /// - Returns: what the system answered, 0 when it is.
    static func syncFolder(of path: String) -> Int32 {
        let descriptor = open(folder(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return errno }
        defer { close(descriptor) }
        return fsync(descriptor) == 0 ? 0 : errno
    }
}
