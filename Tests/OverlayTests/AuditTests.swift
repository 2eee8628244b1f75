import Foundation
import Primitives
import SecondImplementation
import Testing

@Suite("hulda audit")
struct AuditTests {
    /// The files of specs/vectors/map.json.
    private func vectors() throws -> [[String: String]] {
        struct File: Decodable { let evidence, sharedEvidence: [[String: String]] }
        let file = try Peer.vectors("map", as: File.self)
        return file.evidence + file.sharedEvidence
    }

    @Test("accepts evidence of each kind, and refuses it damaged, of another kind of file, and missing")
    func evidence() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("hulda-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        for made in try vectors() {
            var bytes = try #require(Hex.decode(made["file"] ?? ""))
            try Data(bytes).write(to: URL(fileURLWithPath: path))
            let held = try Program.run(["audit", "evidence", path, "--json"])
            #expect(held.status == 0, "\(held.errors)")
            #expect(held.text.contains("\"subject\":\"\(made["subject"] ?? "?")\""))
            let text = try Program.run(["audit", "evidence", path])
            #expect(text.text.hasPrefix("The evidence holds"))
            bytes[100] ^= 1
            try Data(bytes).write(to: URL(fileURLWithPath: path))
            let damaged = try Program.run(["audit", "evidence", path])
            #expect(damaged.status == 65)
            #expect(damaged.errors.contains("proves nothing"))
        }
        try Data(repeating: 7, count: 100_000).write(to: URL(fileURLWithPath: path))
        #expect(try Program.run(["audit", "evidence", path]).status == 65)
        try FileManager.default.removeItem(atPath: path)
        #expect(try Program.run(["audit", "evidence", path]).status == 66)
        #expect(try Program.run(["audit", "evidence"]).status == 64)
        let folder = try Program.run(["audit", "evidence", "/"])
        #expect(folder.status == 66 && folder.errors.contains("directory"))
        // What is no plain file is read like one: nothing, and without end.
        for device in ["/dev/null", "/dev/zero"] {
            #expect(try Program.run(["audit", "evidence", device]).status == 65)
        }
    }
}
