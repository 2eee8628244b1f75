import Foundation
import Fuzz
import Primitives
import Testing
import Transport
import Wire

@Suite("Texts and files of the transport under noise")
struct FileFuzzTests {
    @Test("an address is read as one that prints and reads the same, or not at all")
    func addresses() throws {
        var garbage = Garbage("socket addresses", seed: 361)
        let valid = ["127.0.0.1:7411", "[2001:db8::1]:65535", "[::ffff:1.2.3.4]:0", "0.0.0.0:1", "[::]:9"]
        for text in valid { #expect(Wire.SocketAddress(text: text) != nil, "\(text)") }
        for text in ["", ":", "1.2.3.4", "1.2.3.4:65536", "1.2.3.4:-1", "localhost:1", "[::1:5"] {
            #expect(Wire.SocketAddress(text: text) == nil, "\(text)")
        }
        for _ in 0..<5000 {
            guard let address = Wire.SocketAddress(text: garbage.text(like: valid)) else { continue }
            #expect(Wire.SocketAddress(text: address.description) == address)
        }
    }

    @Test("a key file of another size is an error, one that is destroyed is gone, and none is written over another")
    func keyFiles() throws {
        let path = FileManager.default.temporaryDirectory.path + "/hulda-key-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        var entropy = Entropy(seed: 362)
        let made = try KeyFile.loadOrCreate(path, count: 32, entropy: &entropy)
        let again = try KeyFile.load(path, count: 32)
        #expect(made.withUnsafeBytes { one in again.withUnsafeBytes { one.elementsEqual($0) } })
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        for size in [0, 1, 31, 33, 5000] {
            try Data(repeating: 7, count: size).write(to: URL(fileURLWithPath: path))
            var isRefused = false
            do { _ = try KeyFile.load(path, count: 32).count } catch { isRefused = true }
            #expect(isRefused, "\(size) bytes")
        }
        var isRefused = false
        do { try KeyFile.create(path, made) } catch { isRefused = true }
        #expect(isRefused)
        try KeyFile.destroy(path, count: 32)
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test("a key that is destroyed is overwritten before it is removed; what could not be done of that is an error")
    func destruction() throws {
        let folder = FileManager.default.temporaryDirectory.path + "/hulda-keys-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = folder + "/mix-1.key"
        func failure() -> KeyFile.Failure? {
            do throws(KeyFile.Failure) { try KeyFile.destroy(path, count: 32) } catch { return error }
            return nil
        }
        // A second name of the same file shows what became of its bytes.
        try Data(repeating: 7, count: 32).write(to: URL(fileURLWithPath: path))
        try FileManager.default.linkItem(atPath: path, toPath: folder + "/second")
        #expect(failure() == nil)
        #expect(!FileManager.default.fileExists(atPath: path))
        #expect(FileManager.default.contents(atPath: folder + "/second") == Data(repeating: 0, count: 32))
        #expect(failure() == nil, "what is not there needs no end")

        // A device that takes no byte.
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "/dev/full")
        guard case .notOverwritten(path, let full) = failure() else { return #expect(Bool(false), "no failure") }
        #expect(full.contains("No space"))
        #expect(!FileManager.default.fileExists(atPath: path))

        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        guard case .kept(path, _) = failure() else { return #expect(Bool(false), "no failure") }
        #expect(FileManager.default.fileExists(atPath: path))
    }
}
