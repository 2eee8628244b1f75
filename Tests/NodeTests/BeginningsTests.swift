import Directory
import Foundation
import NIOPosix
import Primitives
import Records
import Testing
import Transport
import Wire

@testable import Node

/// The servers with which a node begins, and what they say for the network that it sees.
@Suite("A node's beginning")
struct BeginningsTests {
    private static func link(_ host: String, _ entropy: inout Entropy) throws -> PeerLink {
        try PeerLink(
            clusterID: VerifyingKey(entropy.bytes()), linkKey: X25519PublicKey(entropy.bytes()), host: host, port: 7411)
    }

    @Test("asks each server once at each place and for each source, itself never, and of long lists a part")
    func once() throws {
        var entropy = Entropy(seed: 371)
        let (own, both) = (try Self.link("192.0.2.1", &entropy), try Self.link("192.0.2.2", &entropy))
        let (named, known) = (try Self.link("example.org", &entropy), try Self.link("192.0.2.4", &entropy))
        var beginnings = Beginnings(
            [.bundled: [own, both, named], .invitation: [both], .manual: [known]], own: own.linkKey, entropy: &entropy)
        func endpoint(_ link: PeerLink, _ text: String) throws -> Endpoint {
            let address = Wire.SocketAddress(text: text)
            return Endpoint(linkKey: link.linkKey, address: try #require(address))
        }
        let first = beginnings.first()
        #expect(first.map(\.source) == [.bundled, .invitation, .manual])
        let place = try endpoint(both, "192.0.2.2:7411")
        #expect(first.map(\.endpoints) == [[place], [place], [try endpoint(known, "192.0.2.4:7411")]])

        // The map has one where it was asked, one elsewhere, one by its name, and strangers.
        let stranger = try endpoint(try Self.link("192.0.2.9", &entropy), "192.0.2.9:7411")
        let (moved, found) = (try endpoint(known, "192.0.2.4:7412"), try endpoint(named, "192.0.2.3:7411"))
        let onMap = [place, stranger, moved, found, try endpoint(own, "192.0.2.1:7411")]
        let second = beginnings.found(onMap)
        #expect(second.map(\.source) == [.bundled, .manual])
        #expect(second.map(\.endpoints) == [[found], [moved]])
        #expect(beginnings.found(onMap).isEmpty)

        let many = try (0..<200).map { try Self.link("198.51.100.\($0)", &entropy) }
        var long = Beginnings([.bundled: many], own: own.linkKey, entropy: &entropy)
        #expect(long.first().map(\.endpoints.count) == [Beginnings.limit])
    }

    @Test("links of known servers are as many as allowed, whole, and lead to an address")
    func known() throws {
        var entropy = Entropy(seed: 372)
        var configuration = NodeConfiguration(
            clusterName: "one", dataDirectory: "/nowhere", listen: "127.0.0.1:1", listenDatagram: "127.0.0.1:1")
        let good = try Self.link("192.0.2.1", &entropy)
        configuration.knownServers = [good.text]
        #expect(try configuration.knownLinks() == [good])
        for (wrong, reason) in [
            ([good.text, "hulda-peer:x"], "is no peer link"),
            ([try Self.link("example.org", &entropy).text], "is a name"),
            (Array(repeating: good.text, count: 17), "at most 16"),
        ] {
            configuration.knownServers = wrong
            do throws(NodeError) {
                try configuration.validate()
                Issue.record("\(wrong) was taken")
            } catch {
                #expect("\(error)".hasPrefix("known_servers: ") && "\(error)".contains(reason), "\(error)")
            }
        }
    }

    @Test("is trusted when the list, a peer that was added and a server of the operator's own have proven themselves")
    func classes() async throws {
        let path = try folder()
        defer { try? FileManager.default.removeItem(atPath: path) }
        var nodes: [NodeRuntime] = []
        do {
            // All of one network: only different sources can speak for it.
            for number in 1...3 { nodes.append(try await Self.start(path, number)) }
            let links = try nodes.map { try NodeRuntime.peerLink($0.configuration) }
            try (links[0].text + "\n").write(toFile: path + "/list.txt", atomically: true, encoding: .utf8)
            let newcomer = try await Self.start(path, 4) {
                $0.bootstrap = path + "/list.txt"
                $0.knownServers = [links[1].text]
            }
            nodes.append(newcomer)
            var view = try await Self.view(newcomer) { $0.sources.values.reduce(0) { $0 + $1.answered } == 2 }
            #expect(view.sources["bootstrapList"]?.answered == 1 && view.sources["knownServers"]?.answered == 1)
            #expect(view.sources["addedPeers"]?.named == 0 && view.sources["lastRun"]?.named == 0)
            #expect(!view.isTrusted && view.unrelated == 1 && view.alarms.isEmpty)

            try (links[2].text + "\n").write(
                toFile: NodeFiles.peersPath(newcomer.configuration), atomically: true, encoding: .utf8)
            try newcomer.readPeers(newcomer.configuration)
            view = try await Self.view(newcomer) { $0.isTrusted }
            #expect(view.sources["addedPeers"]?.named == 1 && view.sources["addedPeers"]?.answered == 1)

            // Removed again: it speaks for nothing at once, not from the next start on.
            try "".write(
                toFile: NodeFiles.peersPath(newcomer.configuration), atomically: true, encoding: .utf8)
            try newcomer.readPeers(newcomer.configuration)
            view = try await Self.view(newcomer) { !$0.isTrusted }
            #expect(!view.isTrusted && view.sources["addedPeers"]?.named == 0)
            #expect(view.sources["bootstrapList"]?.answered == 1 && view.sources["knownServers"]?.answered == 1)
        } catch {
            for node in nodes { await node.stop() }
            throw error
        }
        for node in nodes { await node.stop() }
    }

    private static func start(
        _ path: String, _ number: Int, _ change: (inout NodeConfiguration) -> Void = { _ in }
    ) async throws -> NodeRuntime {
        try await startNode("cluster-\(number)", in: path + "/\(number)", at: "127.189.1.\(number):7411", change)
    }

    private struct Statement: Decodable {
        struct Directory: Decodable {
            let view: NodeStatus.View
        }
        let directory: Directory
    }

    /// What the node says of its view when that is as wished, or after a generous while.
    private static func view(
        _ node: NodeRuntime, when isDone: (NodeStatus.View) -> Bool
    ) async throws -> NodeStatus.View {
        var view: NodeStatus.View?
        for _ in 0..<300 {
            let answer = try await ControlSocket.ask(
                path: NodeFiles.socketPath(node.configuration), Array("status".utf8),
                group: MultiThreadedEventLoopGroup.singleton)
            view = try JSONDecoder().decode(Statement.self, from: Data(answer)).directory.view
            if let view, isDone(view) { return view }
            try await Task.sleep(for: .milliseconds(100))
        }
        return try #require(view)
    }
}
