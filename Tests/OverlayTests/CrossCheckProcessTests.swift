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

    @Test("a node proves to others who is in the snapshot that clusters signed, and anybody can check and compare")
    func membership() async throws {
        let overlay = try Overlay(clusters: 5, network: 218)
        let bootstrap = try BootstrapList(text: String(contentsOfFile: overlay.bootstrap, encoding: .utf8))
        func prove(_ question: String, by number: Int, _ name: String) throws -> Program.Output {
            try Program.run([
                "node", "map", "--prove", question, "--output", "\(overlay.folder.path)/\(name)", "--config",
                overlay.configuration(number),
            ])
        }
        // A network signs nothing on its first day.
        let early = try prove("cluster-3", by: 1, "early")
        #expect(early.status == 75, "\(early.text) \(early.errors)")
        // So the test signs, with the servers' own keys, what they hold.
        var entropy = Entropy.system()
        let keys = try (1...5).map {
            try NodeKeys(directory: "\(overlay.folder.path)/cluster-\($0)", now: .now(), entropy: &entropy)
        }
        let tree = SnapshotTree(
            keys.flatMap { keys in
                let cluster = keys.certificate.clusterID
                return [
                    SnapshotLeaf.cluster(cluster),
                    .server(keys.server.publicKey, cluster: cluster, linkKey: keys.link.publicKey),
                ]
            })
        let hash = try #require(tree.root)
        try overlay.kill(5)
        let link = try await connect(try #require(keys.last), to: bootstrap.links[0])
        for keys in keys {
            let root = try SnapshotRoot(
                epoch: Timestamp.now().epoch, root: hash, count: UInt32(tree.leaves.count),
                certificate: keys.certificate
            ) { keys.server.sign($0) }
            link.send(kind: .map, body: RootMessage.root(root.encode()).encode())
        }
        // The first node hears them from the link, the second from the first; then both prove something.
        for (number, question) in [(1, "cluster-3"), (2, keys[3].nodeID.hex)] {
            var written = try prove(question, by: number, "proof-\(number)")
            for _ in 0..<100 where written.status != 0 || !written.text.contains("5 clusters signed") {
                try? FileManager.default.removeItem(atPath: "\(overlay.folder.path)/proof-\(number)")
                try await Task.sleep(for: .milliseconds(300))
                written = try prove(question, by: number, "proof-\(number)")
            }
            #expect(written.status == 0 && written.text.contains("hulda audit membership"), "\(written.errors)")
        }
        #expect(try prove("cluster-3", by: 1, "proof-1").status == 73)
        let heard = try #require(try overlay.status(1).map.snapshot)
        #expect(heard.signed == [.init(root: hash.hex, entries: 10, clusters: 5)] && heard.own == nil)
        #expect(try prove("nobody", by: 1, "none").status == 68)
        let checked = try Program.run([
            "audit", "membership", "\(overlay.folder.path)/proof-1", "\(overlay.folder.path)/proof-2", "--bootstrap",
            overlay.bootstrap,
        ])
        #expect(checked.status == 0, "\(checked.errors)")
        #expect(checked.text.contains("All files show one snapshot"), "\(checked.text)")
        #expect(checked.text.contains("on your list: cluster-4"), "\(checked.text)")
        link.close()
    }
}
