import Primitives
import Records
import Testing
import Wire

@testable import Federation

@Suite("A bootstrap list")
struct BootstrapListTests {
    private func link(_ port: UInt16) -> PeerLink {
        PeerLink(
            clusterID: TestCluster(Int(port)).id, linkKey: X25519PublicKey(Bytes32()),
            address: SocketAddress(v4: (127, 0, 0, 1), port: port))
    }

    @Test("is one link a line, with comments, empty lines and any kind of line break")
    func format() throws {
        let text =
            "# peers\r\n\r\n  \(link(1).text)  \n\t\n\(link(2).text) # the second\n#\(link(3).text)\n"
            + link(4).text
        let list = try BootstrapList(text: text)
        #expect(list.links == [link(1), link(2), link(4)])
        #expect(try BootstrapList(text: list.text) == list)
        #expect(Admission(bootstrap: list).roots == Set([1, 2, 4].map { TestCluster($0).id }))
        for empty in ["", "\n", "# nothing", "   "] { #expect(try BootstrapList(text: empty).links.isEmpty) }
    }

    @Test("names the line of the first error")
    func errors() throws {
        let cases: [(String, BootstrapList.Failure)] = [
            ("\n# x\nhulda-per:abc", .line(3, .noScheme)),
            ("\(link(1).text)\n\(link(2).text) \(link(3).text)", .line(2, .invalidHost)),
            ("\(link(1).text)\r\n\(link(2).text.dropLast(2)):0\r\n", .line(2, .invalidPort)),
            ("hulda-peer:", .line(1, .noAddress)),
        ]
        for (text, failure) in cases {
            #expect(throws: failure, "\(text)") { try BootstrapList(text: text) }
        }
        #expect(BootstrapList.Failure.line(3, .noScheme).description.contains("line 3"))
    }

    @Test("has at most 1024 links")
    func limit() throws {
        let line = link(1).text + "\n"
        #expect(try BootstrapList(text: String(repeating: line, count: 1024)).links.count == 1024)
        #expect(throws: BootstrapList.Failure.tooMany) { try BootstrapList(text: String(repeating: line, count: 1025)) }
    }
}
