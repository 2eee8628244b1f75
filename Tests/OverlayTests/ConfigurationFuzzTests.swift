import Foundation
import Fuzz
import Node
import Testing

@testable import hulda

@Suite("A node's configuration under noise")
struct ConfigurationFuzzTests {
    @Test("is read as one that is written and read the same, or refused with exit code 66 or 78 and a reason")
    func noise() throws {
        let folder = try Folder()
        let path = folder.path + "/node.toml"
        var garbage = Garbage("node.toml", seed: 381)
        var configuration = NodeConfiguration(
            clusterName: "one", dataDirectory: "/var/lib/hulda", listen: "127.0.0.1:1", listenDatagram: "127.0.0.1:2")
        configuration.registrationToken = "a \"token\""
        configuration.bootstrap = "list.txt"
        try ConfigurationFile.write(configuration, to: path)
        let text = try String(contentsOfFile: path, encoding: .utf8)
        #expect(try ConfigurationFile.read(path) == configuration)
        var accepted = 0
        for _ in 0..<400 {
            try garbage.text(like: [text]).write(toFile: path, atomically: false, encoding: .utf8)
            do {
                let read = try ConfigurationFile.read(path)
                try ConfigurationFile.write(read, to: path)
                #expect(try ConfigurationFile.read(path) == read)
                accepted += 1
            } catch let failure as Failure {
                #expect(failure.code == SysExit.config && !failure.message.isEmpty)
            }
        }
        #expect(accepted > 0)
        try Data([0xff, 0xfe, 0]).write(to: URL(fileURLWithPath: path))
        #expect(throws: Failure.self) { try ConfigurationFile.read(path) }
    }
}
