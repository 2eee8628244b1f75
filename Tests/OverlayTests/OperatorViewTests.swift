import Foundation
import Node
import Testing

@testable import hulda

/// What an operator sees of a network.
@Suite(.serialized) struct OperatorViewTests {
    @Test("a network of five is of use: its servers say so, in eighty columns, and one that stops is missed by name")
    func five() throws {
        let overlay = try Overlay(clusters: 5, network: 231)
        let config = ["--config", overlay.configuration(1)]
        var last: Program.Output?
        let deadline = Date().addingTimeInterval(90)
        repeat {
            last = try Program.run(["node", "status", "--check"] + config)
            if last?.status == 0 { break }
            usleep(500_000)
        } while Date() < deadline
        #expect(last?.status == 0, "\(last?.text ?? "")")
        #expect(
            last?.text.hasPrefix("healthy: 5 clusters on the map, links with 4 servers") == true, "\(last?.text ?? "")")

        for options in [["status"], ["status", "--accounts", "--counters"], ["peer", "list"], ["map"]] {
            let text = try Program.run(["node"] + options + config).text
            #expect(!text.isEmpty && text.split(separator: "\n").allSatisfy { $0.count <= 80 }, "\(text)")
        }
        let status = try Program.run(["node", "status"] + config).text
        #expect(status.hasPrefix("healthy: ") && !status.contains("map.learned"), "\(status)")
        #expect(try Program.run(["node", "status", "--counters"] + config).text.contains("  map.learned "))
        #expect(try Program.run(["node", "status", "--prometheus"] + config).text.contains("\nhulda_state 0\n"))
        let map = try Program.run(["node", "map"] + config).text
        #expect(map.contains("127.233.0.1:7411  link up") && map.contains("127.231.0.1:7411  this server"), "\(map)")

        try overlay.kill(3)
        let node = OperatorViewTests.log(overlay, 1)
        try waitFor("the loss of a link") { try node().contains("lost the link with a server after=") }
        try waitFor("the map to show it") {
            try Program.run(["node", "map", "cluster-3"] + config).text.contains("127.233.0.1:7411  link down")
        }
        let line = try #require(try node().split(separator: "\n").first { $0.contains("lost the link") })
        #expect(line.contains("cluster=cluster-3") && line.contains("reason="), "\(line)")
        #expect(try node().contains("connected with a server cluster=cluster-3"))
        #expect(try Program.run(["node", "peer", "list"] + config).text.contains("down"))
    }

    @Test("a network of three is not of use yet: status says how many clusters are missing, and monitoring hears it")
    func three() throws {
        let overlay = try Overlay(clusters: 3, network: 236)
        let check = try Program.run(["node", "status", "--check", "--config", overlay.configuration(1)])
        #expect(check.status == 2)
        #expect(check.text.hasPrefix("not usable: 3 of the 5 clusters that a message path needs are on the map"))
        let status = try Program.run(["node", "status", "--json", "--config", overlay.configuration(1)])
        #expect(status.status == 0 && status.text.contains("\"bootstrapList\""))
        #expect(try Program.run(["testbed", "down", "--dir", overlay.folder.path]).status == 0)
        let down = try Program.run(["node", "status", "--check", "--config", overlay.configuration(1)])
        #expect(down.status == 2 && down.text.hasPrefix("not usable: "), "\(down.text)")
        #expect(try Program.run(["node", "status", "--config", overlay.configuration(1)]).status == 69)
    }

    @Test("a peer is removed by its name; a name that two have is refused, and both are named")
    func ambiguous() throws {
        func peer(_ digits: String, _ name: String?, isAdded: Bool = true) throws -> NodePeers.Peer {
            let json = """
                {"link": "l\(digits)", "isAdded": \(isAdded), "cluster": "\(digits)", "address": "192.0.2.1:1",
                 "isEndorsed": true, "endorsesBack": false\(name.map { ", \"name\": \"\($0)\"" } ?? "")}
                """
            return try JSONDecoder().decode(NodePeers.Peer.self, from: Data(json.utf8))
        }
        let peers = [
            try peer("aabb0011223344", "boje"), try peer("aacc0011223344", "boje"), try peer("ddee0011223344", "coral"),
            try peer("ffee0011223344", "listed", isAdded: false),
        ]
        #expect(try PeerChoice.one("coral", of: peers).cluster == "ddee0011223344")
        #expect(try PeerChoice.one("AABB", of: peers).cluster == "aabb0011223344")
        let both = #expect(throws: Failure.self) { try PeerChoice.one("boje", of: peers) }
        #expect(both?.message.contains("aabb00112233") == true && both?.message.contains("aacc00112233") == true)
        for (question, words) in [("listed", "bootstrap list"), ("nobody", "no peer"), ("aa", "no peer")] {
            let failure = #expect(throws: Failure.self) { try PeerChoice.one(question, of: peers) }
            #expect(failure?.message.contains(words) == true && failure?.code == SysExit.noHost, "\(question)")
        }
    }

    private static func log(_ overlay: Overlay, _ number: Int) -> () throws -> String {
        { try String(contentsOfFile: "\(overlay.folder.path)/cluster-\(number)/node.log", encoding: .utf8) }
    }

    private func waitFor(_ what: String, _ isThere: () throws -> Bool) throws {
        let deadline = Date().addingTimeInterval(60)
        while try !isThere() {
            try #require(Date() < deadline, "waited in vain for \(what)")
            usleep(200_000)
        }
    }
}
