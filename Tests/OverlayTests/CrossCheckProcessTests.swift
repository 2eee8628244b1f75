import Foundation
import NIOPosix
import Primitives
import Records
import Testing
import Transport
import Wire

@testable import Federation
@testable import Node

/// The cross-check among real processes.
@Suite struct CrossCheckProcessTests {
    /// A link of a server to a node of an overlay, over which it says what it likes.
    private func connect(_ keys: NodeKeys, to link: PeerLink) async throws -> StreamLink {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let connected = loop.makePromise(of: StreamLink.self)
        let address = try #require(link.address).nio()
        StreamLink.connect(to: .address(address), peer: link.linkKey, identity: keys.link, group: loop) { event in
            switch event {
            case .established(let link, _): connected.succeed(link)
            case .closed(_, let reason): connected.fail(reason ?? LinkClosed.early)
            case .frame, .writable: break
            }
        }
        return try await connected.futureResult.get()
    }

    private enum LinkClosed: Error { case early }

    /// Waits, a minute at most, for a file in a folder.
    private func file(in folder: String) async throws -> String {
        for _ in 0..<600 {
            if let name = try? FileManager.default.contentsOfDirectory(atPath: folder).first(where: {
                !$0.hasPrefix(".")
            }) {
                return "\(folder)/\(name)"
            }
            try await Task.sleep(for: .milliseconds(100))
        }
        return try #require(nil as String?, "no file came into \(folder)")
    }

    @Test(
        "a cluster that signs one snapshot root for some and another for others is found out by nodes that compare them, and anybody can check the evidence file"
    )
    func equivocation() async throws {
        let overlay = try Overlay(clusters: 5, network: 213)
        let bootstrap = try BootstrapList(text: String(contentsOfFile: overlay.bootstrap, encoding: .utf8))
        // The liar is the fifth cluster, with the keys of its server.
        try overlay.kill(5)
        var entropy = Entropy.system()
        let keys = try NodeKeys(directory: "\(overlay.folder.path)/cluster-5", now: .now(), entropy: &entropy)
        var said: [SnapshotRoot] = []
        var links: [StreamLink] = []
        for (number, fill) in [(0, UInt8(1)), (1, 2)] {
            let root = try SnapshotRoot(
                epoch: Timestamp.now().epoch, root: BLAKE2b.h(Domain("test/lie"), [fill]), count: 10,
                certificate: keys.certificate
            ) { keys.server.sign($0) }
            let link = try await connect(keys, to: bootstrap.links[number])
            link.send(kind: .map, body: RootMessage.root(root.encode()).encode())
            said.append(root)
            links.append(link)
        }
        // Each was told one story; they hear the other from each other, and a third from both.
        for number in 1...3 {
            let path = try await file(in: "\(overlay.folder.path)/cluster-\(number)/evidence")
            let checked = try Program.run(["audit", "evidence", path, "--json"])
            #expect(checked.status == 0, "\(checked.errors)")
            let found = try EquivocationEvidence(decoding: Array(Data(contentsOf: URL(fileURLWithPath: path))))
            #expect(found.kind == .rootsOfServer && found.clusterID == keys.certificate.clusterID)
            #expect(found == (try EquivocationEvidence(said[0], said[1])))
            #expect(try overlay.status(number).counters["map.evidence", default: 0] >= 1)
        }
        for link in links { link.close() }
    }
}
