import FoundationEssentials
import Glibc

/// A file or folder of secrets that others can get at.
///
/// The rule is ssh's, for every file with a secret and every folder with such files: the file can be read by its owner
/// alone, the folder written by its owner alone, and the owner is who runs the program (or root, or anybody where root runs
/// it). What breaks the rule is refused: a warning would be read after the key was.
public struct Exposure: Error, Hashable, Sendable, CustomStringConvertible {
    enum Kind: Hashable, Sendable {
        case readable(mode: UInt32)
        case writable(mode: UInt32)
        case foreign(owner: UInt32)
    }

    public let path: String
    let kind: Kind

    public var description: String {
        switch kind {
        case .readable(let mode): "\(path) holds a secret that others can read (mode \(Exposure.octal(mode)))"
        case .writable(let mode): "others can write in \(path), which holds secrets (mode \(Exposure.octal(mode)))"
        case .foreign(let owner): "\(path) holds secrets and belongs to user \(owner)"
        }
    }

    /// What the owner has to do.
    public var remedy: String {
        switch kind {
        case .readable: "Whoever may have read it has the secret. If nobody has, run: chmod 600 \(quoted)"
        case .writable: "Run: chmod 700 \(quoted)"
        case .foreign: "Run the command as that user, or run: chown \(geteuid()) \(quoted)"
        }
    }

    private static func octal(_ mode: UInt32) -> String {
        let digits = String(mode & 0o7777, radix: 8)
        return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }

    private var quoted: String {
        let isPlain = path.utf8.allSatisfy {
            switch $0 {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "/"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "-"):
                true
            default: false
            }
        }
        return isPlain
            ? path : "'" + path.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }

    // MARK: Checks

    private static func isForeign(_ state: stat) -> Bool {
        geteuid() != 0 && state.st_uid != geteuid() && state.st_uid != 0
    }

    private init?(file state: stat, _ path: String) {
        self.path = path
        if Exposure.isForeign(state) {
            kind = .foreign(owner: state.st_uid)
        } else if state.st_mode & 0o077 != 0 {
            kind = .readable(mode: state.st_mode)
        } else {
            return nil
        }
    }

    private init?(folder state: stat, _ path: String) {
        self.path = path
        if Exposure.isForeign(state) {
            kind = .foreign(owner: state.st_uid)
        } else if state.st_mode & 0o022 != 0 {
            kind = .writable(mode: state.st_mode)
        } else {
            return nil
        }
    }

    /// Of the open file with this descriptor; `nil` when it is its owner's alone.
    public static func ofFile(_ descriptor: Int32, path: String) -> Exposure? {
        var state = stat()
        return fstat(descriptor, &state) == 0 ? Exposure(file: state, path) : nil
    }

    /// Of the file at `path`; `nil` when it is its owner's alone, or not there.
    public static func ofFile(_ path: String) -> Exposure? {
        var state = stat()
        return stat(path, &state) == 0 ? Exposure(file: state, path) : nil
    }

    /// Of the folder at `path`; `nil` when its owner alone writes there, or it is not there.
    public static func ofFolder(_ path: String) -> Exposure? {
        var state = stat()
        return stat(path, &state) == 0 ? Exposure(folder: state, path) : nil
    }

    /// Makes a folder for secrets with mode 0700. One that is there, empty and the own is tightened; another is checked.
    /// - Throws: an ``Exposure``, or the system's error.
    public static func makeFolder(_ path: String) throws {
        var state = stat()
        if stat(path, &state) != 0 {
            return try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        }
        // Others may rely on what they see in a folder that is in use, /tmp for example.
        let isEmpty = (try? FileManager.default.contentsOfDirectory(atPath: path).isEmpty) ?? false
        if isEmpty, state.st_uid == geteuid(), state.st_mode & 0o077 != 0, chmod(path, 0o700) == 0 { return }
        if let exposure = ofFolder(path) { throw exposure }
    }
}
