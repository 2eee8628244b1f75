import Glibc
import Primitives

/// A secret key in a file of its own that only its owner may read.
public enum KeyFile {
    public enum Failure: Error, Sendable, CustomStringConvertible {
        case unreadable(path: String, reason: String)
        case wrongSize(path: String, expected: Int)
        /// Others can read the file.
        case exposed(Exposure)
        /// The file is still there, or may be again after a power cut.
        case kept(path: String, reason: String)
        /// The file is gone, but its bytes may still lie on the medium.
        case notOverwritten(path: String, reason: String)

        public var description: String {
            switch self {
            case .unreadable(let path, let reason): "\(path): \(reason)"
            case .wrongSize(let path, let expected): "\(path): not a key file of \(expected) bytes"
            case .exposed(let exposure): "\(exposure)"
            case .kept(let path, let reason): "\(path): cannot be removed for good: \(reason)"
            case .notOverwritten(let path, let reason): "\(path): removed, but not overwritten: \(reason)"
            }
        }
    }

    /// The key in the file at `path`; when there is no file, a new random key is written first.
    public static func loadOrCreate(_ path: String, count: Int, entropy: inout Entropy) throws(Failure) -> SecretBytes {
        if access(path, F_OK) == 0 {
            // Of a key that was put back from elsewhere after a cut: it is a secret of nobody.
            DurableFile.discardAside(of: path)
            return try load(path, count: count)
        }
        var fresh = SecretBytes(count: count)
        fresh.withUnsafeMutableBytes { entropy.fill($0) }
        try create(path, fresh)
        return fresh
    }

    /// Writes `secret` to a new file with mode 0600, as a whole or not at all (``DurableFile``).
    public static func create(_ path: String, _ secret: borrowing SecretBytes) throws(Failure) {
        let failure = secret.withUnsafeBytes { bytes -> DurableFile.Failure? in
            do throws(DurableFile.Failure) { try DurableFile.write(bytes, to: path, ifPresent: .kept) } catch {
                return error
            }
            return nil
        }
        if let failure { throw .unreadable(path: path, reason: failure.reason) }
    }

    /// - Returns: why not all is on the medium; `nil` when it is.
    private static func writeAndSync(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> String? {
        var rest = bytes
        while !rest.isEmpty {
            errno = 0
            let written = write(descriptor, rest.baseAddress, rest.count)
            if written < 0, errno == EINTR { continue }
            guard written > 0 else { return reason(errno == 0 ? ENOSPC : errno) }
            rest = UnsafeRawBufferPointer(rebasing: rest[written...])
        }
        return fsync(descriptor) == 0 ? nil : reason(errno)
    }

    private static func syncFolder(of path: String) -> String? {
        let code = DurableFile.syncFolder(of: path)
        return code == 0 ? nil : reason(code)
    }

    private static func reason(_ code: Int32) -> String { String(cString: strerror(code)) }

    /// The key in the file at `path`.
    public static func load(_ path: String, count: Int) throws(Failure) -> SecretBytes {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .unreadable(path: path, reason: reason(errno)) }
        defer { close(descriptor) }
        if let exposure = Exposure.ofFile(descriptor, path: path) { throw .exposed(exposure) }
        var secret = SecretBytes(count: count)
        let size = secret.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
        var extra: UInt8 = 0
        guard size == count, read(descriptor, &extra, 1) == 0 else { throw .wrongSize(path: path, expected: count) }
        return secret
    }

    /// Overwrites the file with zeros and removes it, both for good; what the medium itself keeps is out of reach.
    ///
    /// What cannot be overwritten is removed all the same. A file that is not there is no failure.
    public static func destroy(_ path: String, count: Int) throws(Failure) {
        let failure = overwrite(path, count: count)
        guard unlink(path) == 0 else {
            guard errno == ENOENT else { throw .kept(path: path, reason: reason(errno)) }
            return
        }
        if let reason = syncFolder(of: path) { throw .kept(path: path, reason: reason) }
        if let failure { throw .notOverwritten(path: path, reason: failure) }
    }

    /// - Returns: why the bytes may still be on the medium; `nil` when they are not.
    private static func overwrite(_ path: String, count: Int) -> String? {
        let descriptor = open(path, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return reason(errno) }
        defer { close(descriptor) }
        return [UInt8](repeating: 0, count: count).withUnsafeBytes { writeAndSync(descriptor, $0) }
    }
}
