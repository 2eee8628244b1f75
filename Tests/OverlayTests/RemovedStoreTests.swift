import Foundation
import Testing

@Suite("A store that is taken away")
struct RemovedStoreTests {
    private static let peer =
        "hulda-peer:huldap1ewd8nkgqyn6c6qpapppa8v0z0vdphayy8vu3ffwutuwhg5lllv325est4u0fv2mtlhznavxvsp6cm3zm8xmp6fru0txh7kf6xjejyscurvxjd@127.21.0.1:7411"

    private func makeNode(_ folder: Folder, _ address: String) throws -> String {
        let made = try Program.run(["node", "init", folder.path + "/node", "--name", "one", "--listen", address])
        try #require(made.status == 0, "\(made.errors)")
        return folder.path + "/node"
    }

    @Test("under a running node is noticed within a minute: it says so and ends with exit code 74")
    func node() throws {
        for removes in ["everything", "data.mdb", "replay"] {
            let folder = try Folder()
            let data = try makeNode(folder, "127.191.3.1:7411")
            let node = try Running(["node", "run", "--config", data + "/node.toml"])
            #expect(try node.says("listening"))
            switch removes {
            case "everything": try FileManager.default.removeItem(atPath: data)
            case "replay": try FileManager.default.removeItem(atPath: data + "/replay")
            default:
                try FileManager.default.removeItem(atPath: data + "/store/data.mdb")
                try Data([1, 2, 3]).write(to: URL(fileURLWithPath: data + "/store/data.mdb"))
            }
            #expect(try node.end(within: 60) == 74, "\(removes): \(node.errors)")
            #expect(node.errors.contains("the data files were removed or replaced"), "\(removes): \(node.errors)")
            #expect(node.errors.contains("were removed or replaced while the node ran"), "\(removes): \(node.errors)")
        }
    }

    @Test("under a following agent is noticed within a minute: it says so and ends with exit code 74")
    func agent() throws {
        let folder = try Folder()
        try RemovedStoreTests.peer.write(toFile: folder.path + "/list", atomically: true, encoding: .utf8)
        let environment = ["HULDA_HOME": folder.path + "/agent", "HULDA_PASSPHRASE": "x"]
        let made = try Program.run(
            ["id", "new", "--fast-passphrase", "--bootstrap", folder.path + "/list"], environment: environment)
        try #require(made.status == 0, "\(made.errors)")
        let agent = try Running(["inbox", "--follow"], environment: environment)
        #expect(try agent.says("trying again"))
        try FileManager.default.removeItem(atPath: folder.path + "/agent/store")
        #expect(try agent.end(within: 60) == 74, "\(agent.errors)")
        #expect(agent.errors.contains("was removed or replaced while it was in use"), "\(agent.errors)")
    }

    @Test("between two runs of a node is said at the start and in the status; its mix keys are made anew")
    func emptied() throws {
        let folder = try Folder()
        let data = try makeNode(folder, "127.191.4.1:7411")
        let config = data + "/node.toml"
        func keys() throws -> [Data?] {
            try FileManager.default.contentsOfDirectory(atPath: data).filter { $0.hasPrefix("mix-") }.sorted()
                .map { FileManager.default.contents(atPath: data + "/" + $0) }
        }
        func run(_ body: (Running) throws -> Void) throws {
            let node = try Running(["node", "run", "--config", config])
            #expect(try node.says("listening"), "\(node.errors)")
            try body(node)
            node.signal(SIGTERM)
            #expect(node.end() == 0)
        }
        try run { #expect(!$0.errors.contains("missing")) }
        let before = try keys()
        try run { #expect(!$0.errors.contains("missing")) }
        #expect(try keys() == before)

        try Data().write(to: URL(fileURLWithPath: data + "/store/data.mdb"))
        try run { node in
            #expect(node.errors.contains("its store was missing or empty"), "\(node.errors)")
            let status = try Program.run(["node", "status", "--config", config])
            #expect(status.text.contains("its store was missing or empty"), "\(status.text)")
        }
        #expect(try keys() == before)

        try FileManager.default.removeItem(atPath: data + "/replay")
        try run { #expect($0.errors.contains("the mix keys are made anew"), "\($0.errors)") }
        let after = try keys()
        #expect(after.count == before.count && Set(after).isDisjoint(with: before))
        try run { #expect(!$0.errors.contains("the mix keys are made anew")) }
        #expect(try keys() == after)

        try Data(repeating: 0, count: 4096).write(to: URL(fileURLWithPath: data + "/store/data.mdb"))
        let refused = try Program.run(["node", "run", "--config", config])
        #expect(refused.status == 74 && refused.errors.contains("is damaged"), "\(refused.errors)")
        #expect(refused.errors.contains("Restore the folders store and replay"), "\(refused.errors)")
    }

    @Test("between two commands of an agent is told, and none is made in its place")
    func agentStore() throws {
        let folder = try Folder()
        try RemovedStoreTests.peer.write(toFile: folder.path + "/list", atomically: true, encoding: .utf8)
        let environment = ["HULDA_HOME": folder.path + "/agent", "HULDA_PASSPHRASE": "x"]
        let made = try Program.run(
            ["id", "new", "--fast-passphrase", "--bootstrap", folder.path + "/list"], environment: environment)
        try #require(made.status == 0, "\(made.errors)")
        let path = folder.path + "/agent/store/data.mdb"
        for bytes in [Data(), nil] {
            try? FileManager.default.removeItem(atPath: path)
            try bytes?.write(to: URL(fileURLWithPath: path))
            let output = try Program.run(["inbox", "--stored"], environment: environment)
            #expect(output.status == 65, "\(output.errors)")
            #expect(output.errors.contains(bytes == nil ? "is missing" : "is empty"), "\(output.errors)")
            #expect(output.errors.contains("Restore the whole folder"))
            #expect(FileManager.default.contents(atPath: path) == bytes)
        }
    }
}
