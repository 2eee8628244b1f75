import Directory
import Foundation
import NIOPosix
import Primitives
import Records
import Testing
import Transport
import Wire

@testable import Node

/// A node that is alone in its network, and asks itself.
@Suite("An operator's lookup")
struct NodeLookupTests {
    private static func ask(_ node: NodeRuntime, _ id: NetworkID) async throws -> [UInt8] {
        try await ControlSocket.ask(
            path: NodeFiles.socketPath(node.configuration), Array(NodeRequest.resolve(id).text.utf8),
            group: MultiThreadedEventLoopGroup.singleton, timeout: .seconds(30))
    }

    /// Asks until the node is on its own map.
    private static func resolve(_ node: NodeRuntime, _ id: NetworkID) async throws -> NodeResolution {
        for _ in 0..<100 {
            let answer = try await ask(node, id)
            let resolution = try JSONDecoder().decode(NodeResolution.self, from: Data(answer))
            if !resolution.holders.isEmpty { return resolution }
            try await Task.sleep(for: .milliseconds(100))
        }
        throw Failure()
    }

    private struct Failure: Error {}

    /// Runs `body` on the loop that owns the directory.
    private static func onCores<T: Sendable>(
        _ node: NodeRuntime, _ body: @escaping @Sendable (CoreOwner) -> T
    ) async -> T {
        await withCheckedContinuation { continuation in
            node.cores.enqueue { continuation.resume(returning: body($0)) }
        }
    }

    @Test("says what is stored and what is not; what is too much, or takes too long, is answered in a word")
    func alone() async throws {
        try await withNode("alone", at: "127.189.0.1:7411", Self.question)
    }

    private static func question(_ node: NodeRuntime) async throws {
        var entropy = Entropy(seed: 354)
        let user = SigningKey(&entropy)
        let id = NetworkID(key: user.publicKey)
        let missing = try await resolve(node, id)
        #expect(missing.result == .missing && missing.answers["missing"] == 1 && missing.record == nil)
        #expect(missing.holders.first?.place.clusterName == "alone")

        let now = Timestamp.now()
        let operational = SigningKey(&entropy)
        let body = RecordBody(
            home: node.keys.nodeID, account: entropy.bytes(), sealing: X25519PublicKey(entropy.bytes()),
            operational: operational.publicKey, operationalExpiry: now.seconds + 86_400, policy: 1, prekeys: Bytes32(),
            user: user)
        let sequence = SequenceBase(user: user.publicKey, epoch: now.epoch).sequence(at: now.seconds - 5)
        let record = try DirectoryRecord.seal(
            body: body, user: user, epoch: now.epoch, sequence: sequence, entropy: &entropy)
        let put = DirectoryMessage.put(record: record.encode()).encode()
        await onCores(node) { $0.handle(.directory(.request(from: nil, token: 0, message: put))) }
        let found = try await resolve(node, id)
        #expect(found.result == .found && found.hops == 1 && found.answers["record"] == 1)
        #expect(found.record?.sequence == sequence && found.record?.homes.first?.clusterName == "alone")
        #expect((5...65).contains(try #require(found.record?.ageSeconds)))

        let crowd = 2 * UInt64(DirectoryCore.lookupLimit)
        await onCores(node) { cores in for number in 1...crowd { cores.seekers[1000 + number] = { _ in } } }
        #expect(String(decoding: try await ask(node, id), as: UTF8.self) == #"{"refused":"busy"}"#)
        await onCores(node) { cores in for number in 1...crowd { cores.giveUp(1000 + number) } }
        #expect(try await resolve(node, id).result == .found)
        let isLate = await onCores(node) { cores in
            var isLate = false
            cores.lookUp(id, 2000) { if case .failure(.late) = $0 { isLate = true } }
            cores.giveUp(2000)
            return isLate
        }
        #expect(isLate)
    }
}
