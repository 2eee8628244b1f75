import NIOCore
import Primitives
import Records
import Testing
import Wire

@testable import Federation
@testable import Node

/// A copy of a node's folder that runs elsewhere.
@Suite("A node of which a copy runs")
struct ServerCopyTests {
    private struct Late: Error {}

    private static func onCores<T: Sendable>(
        _ node: NodeRuntime, _ body: @escaping @Sendable (CoreOwner) -> T
    ) async -> T {
        await withCheckedContinuation { continuation in
            node.cores.enqueue { continuation.resume(returning: body($0)) }
        }
    }

    /// What the copy says of itself: at another address, newer than what is known.
    private static func announce(_ node: NodeRuntime, _ address: Wire.SocketAddress) async throws {
        let sequence = await onCores(node) {
            $0.map.nextSequence(ofServer: node.keys.nodeID, from: Timestamp.now().milliseconds)
        }
        let now = Timestamp.now()
        let descriptor = try ServerDescriptor(
            certificate: node.keys.certificate, sequence: sequence + 1000, expiry: now.seconds + 86_400,
            linkKey: node.keys.link.publicKey, tcp: address, udp: address, roles: [.relay],
            mixKeys: node.ledger.ring.publicKeys.map { MixKeyEntry(epoch: $0.epoch, key: $0.key) }, software: "copy",
            key: node.keys.server)
        let message = MapMessage.descriptor(descriptor.encode()).encode()
        await onCores(node) { $0.handle(.map(.message(link: 999, message))) }
    }

    /// Another server with a certificate of the same cluster.
    private static func addSibling(_ node: NodeRuntime, _ address: Wire.SocketAddress) async throws {
        let cluster = try #require(node.keys.cluster)
        var entropy = Entropy.system()
        let now = Timestamp.now()
        let server = SigningKey(&entropy)
        let certificate = ServerCertificate(
            server: server.publicKey, expiry: now.seconds + 86_400, cluster: cluster.key)
        let descriptor = try ServerDescriptor(
            certificate: certificate, sequence: now.milliseconds, expiry: now.seconds + 86_400,
            linkKey: X25519PrivateKey(&entropy).publicKey, tcp: address, udp: address, roles: [.relay],
            mixKeys: node.ledger.ring.publicKeys.map { MixKeyEntry(epoch: $0.epoch, key: $0.key) }, software: "copy",
            key: server)
        let message = MapMessage.descriptor(descriptor.encode()).encode()
        await onCores(node) { $0.handle(.map(.message(link: 999, message))) }
    }

    private static func becomes(_ node: NodeRuntime, _ isSo: @escaping @Sendable (CoreOwner) -> Bool) async throws {
        for _ in 0..<300 {
            if await onCores(node, isSo) { return }
            try await Task.sleep(for: .milliseconds(100))
        }
        throw Late()
    }

    @Test("says so, announces itself above the copy, and stops with a clear word when that goes on")
    func copied() async throws {
        try await withNode("copied", at: "127.189.0.5:7415") { node in
            let (own, elsewhere) = (node.keys.nodeID, Wire.SocketAddress(v4: (9, 9, 9, 9), port: 99))
            try await Self.becomes(node) { $0.map.server(own) != nil }
            let address = await Self.onCores(node) { $0.map.server(own)?.tcp }
            node.state.withLockedValue { $0.copyPatience = .milliseconds(20) }
            var entropy = Entropy.system()
            let peer: NodeID = entropy.bytes()
            await Self.onCores(node) { $0.handle(.map(.linkUp(link: 999, peer: peer))) }
            let failure = Task { await node.failures.first { _ in true } }
            for round in 1..<CopyWatch.limit {
                try await Self.announce(node, elsewhere)
                try await Self.becomes(node) { $0.copies.last?.count == round }
                try await Self.becomes(node) { $0.map.server(own)?.tcp == address }
            }
            try await Self.addSibling(node, elsewhere)
            try await Self.becomes(node) { !$0.map.siblings(at: .now()).isEmpty }
            var status = NodeStatus(
                server: .init(
                    cluster: "", clusterName: "", server: "", listen: "", software: "", uptimeSeconds: 0,
                    residentKiB: 0, epoch: 0),
                keys: .init(hasClusterKey: true, certificateEnd: 0, certificateSecondsLeft: 0), counters: [:])
            status = await Self.onCores(node) { [status] cores in
                var filled = status
                cores.fill(&filled)
                return filled
            }
            #expect(status.server.copy?.address == "\(elsewhere)" && status.server.copy?.count == CopyWatch.limit - 1)
            #expect(status.counters["map.copies"] == UInt64(CopyWatch.limit - 1))
            #expect(status.map.siblings?.map(\.address) == ["\(elsewhere)"])
            try await Self.announce(node, elsewhere)
            guard case .copied(let found)? = await failure.value else {
                Issue.record("the node goes on")
                return
            }
            #expect(found == "\(elsewhere)")
            #expect(await Self.onCores(node) { $0.map.server(own)?.tcp } == elsewhere, "it has given up")
        }
    }

    @Test("gives up at the third announcement of an hour, and forgets older ones")
    func watch() throws {
        var entropy = Entropy(seed: 421)
        let cluster = SigningKey(&entropy)
        let server = SigningKey(&entropy)
        let now = Timestamp(seconds: 20_000 * 86_400)
        let address = Wire.SocketAddress(v4: (9, 9, 9, 9), port: 99)
        let certificate = ServerCertificate(
            server: server.publicKey, expiry: now.seconds + 86_400, cluster: cluster)
        let descriptor = try ServerDescriptor(
            certificate: certificate, sequence: 1, expiry: now.seconds + 3600,
            linkKey: X25519PrivateKey(&entropy).publicKey, tcp: address, udp: address, roles: [.relay],
            mixKeys: [MixKeyEntry(epoch: now.epoch, key: X25519PrivateKey(&entropy).publicKey)],
            software: "", key: server)
        var watch = CopyWatch()
        #expect(watch.saw(descriptor, now).count == 1)
        #expect(watch.saw(descriptor, now.adding(seconds: 60)).count == 2)
        #expect(!watch.saw(descriptor, now.adding(seconds: CopyWatch.memory)).isContested)
        #expect(watch.saw(descriptor, now.adding(seconds: CopyWatch.memory + 1)).isContested)
    }
}
