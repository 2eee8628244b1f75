import Glibc
import Primitives

/// A secret key in a file of its own that only its owner may read.
public enum KeyFile {
    public enum Failure: Error, Sendable, CustomStringConvertible {
        case unreadable(path: String, reason: String)
        case wrongSize(path: String, expected: Int)

        public var description: String {
            switch self {
            case .unreadable(let path, let reason): "\(path): \(reason)"
            case .wrongSize(let path, let expected): "\(path): not a key file of \(expected) bytes"
            }
        }
    }

    /// The key in the file at `path`; when there is no file, a new random key is written first.
    public static func loadOrCreate(_ path: String, count: Int, entropy: inout Entropy) throws(Failure) -> SecretBytes {
        if access(path, F_OK) == 0 { return try load(path, count: count) }
        var fresh = SecretBytes(count: count)
        fresh.withUnsafeMutableBytes { entropy.fill($0) }
        try create(path, fresh)
        return fresh
    }

    /// Writes `secret` to a new file with mode 0600 and syncs it.
    public static func create(_ path: String, _ secret: borrowing SecretBytes) throws(Failure) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .unreadable(path: path, reason: String(cString: strerror(errno))) }
        defer { close(descriptor) }
        errno = 0
        let written = secret.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        guard written == secret.count, fsync(descriptor) == 0 else {
            let reason = errno == 0 ? ENOSPC : errno
            // A part of a key would be taken for a damaged one at the next start.
            unlink(path)
            throw .unreadable(path: path, reason: String(cString: strerror(reason)))
        }
    }

    /// The key in the file at `path`.
    public static func load(_ path: String, count: Int) throws(Failure) -> SecretBytes {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .unreadable(path: path, reason: String(cString: strerror(errno))) }
        defer { close(descriptor) }
        var secret = SecretBytes(count: count)
        let size = secret.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
        var extra: UInt8 = 0
        guard size == count, read(descriptor, &extra, 1) == 0 else { throw .wrongSize(path: path, expected: count) }
        return secret
    }

    /// Overwrites the file with zeros and removes it; what the medium itself keeps is out of reach.
    public static func destroy(_ path: String, count: Int) {
        let descriptor = open(path, O_WRONLY | O_CLOEXEC)
        if descriptor >= 0 {
            let zeros = [UInt8](repeating: 0, count: count)
            if write(descriptor, zeros, zeros.count) == zeros.count { fsync(descriptor) }
            close(descriptor)
        }
        unlink(path)
    }
}
