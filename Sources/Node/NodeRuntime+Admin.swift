import Federation
import FoundationEssentials
import NIOCore
import Primitives
import Records
import Transport
import Wire

/// What an operator asks of a running node, over its socket.
public enum NodeRequest: Equatable, Sendable {
    case status
    /// The list of peers has changed.
    case reload
    /// The clusters of the map whose name or ID begins so, and why each is admitted or is not.
    case map(matching: String)
    /// A direct lookup: the node asks all holders itself (specs/directory.md, "Direct lookups").
    case resolve(NetworkID)
    /// With whom the cluster peers.
    case peers
    /// A proof that the one cluster or server of that name or ID stood in the last snapshot.
    case prove(String)

    /// The longest question about the map, in bytes: a key in hexadecimal, or a name.
    public static let questionLimit = 64

    public var text: String {
        switch self {
        case .status: "status"
        case .reload: "reload"
        case .peers: "peers"
        case .map(let question): question.isEmpty ? "map" : "map \(question)"
        case .resolve(let id): "resolve \(id.text)"
        case .prove(let question): "prove \(question)"
        }
    }

    init?(text: String) {
        let parts = text.split(separator: " ", maxSplits: 1)
        switch parts.first {
        case "status" where parts.count == 1: self = .status
        case "reload" where parts.count == 1: self = .reload
        case "peers" where parts.count == 1: self = .peers
        case "map":
            let question = parts.count > 1 ? String(parts[1]) : ""
            guard question.utf8.count <= NodeRequest.questionLimit else { return nil }
            self = .map(matching: question)
        case "resolve":
            guard parts.count > 1, let id = try? NetworkID(text: String(parts[1])) else { return nil }
            self = .resolve(id)
        case "prove":
            guard parts.count > 1, parts[1].utf8.count <= NodeRequest.questionLimit else { return nil }
            self = .prove(String(parts[1]))
        default: return nil
        }
    }
}

extension NodeRuntime {
    func answer(_ line: [UInt8], on loop: any EventLoop) -> EventLoopFuture<[UInt8]> {
        guard let request = NodeRequest(text: String(decoding: line, as: UTF8.self)) else {
            return loop.makeSucceededFuture(Array("{\"error\":\"unknown request\"}".utf8))
        }
        switch request {
        case .status:
            return statement(on: loop).map(NodeRuntime.encode)
        case .map(let question):
            let promise = loop.makePromise(of: NodeMap.self)
            cores.enqueue { promise.succeed($0.nodeMap(matching: question)) }
            return promise.futureResult.map(NodeRuntime.encode)
        case .resolve(let id):
            return resolve(id, on: loop)
        case .prove(let question):
            let promise = loop.makePromise(of: [UInt8].self)
            cores.enqueue { promise.succeed($0.membership(of: question)) }
            return promise.futureResult
        case .peers:
            let promise = loop.makePromise(of: NodePeers.self)
            let (links, own, hasKey) = (peerLinks, keys.certificate.clusterID, keys.cluster != nil)
            cores.enqueue { promise.succeed($0.peers(links, of: own, hasClusterKey: hasKey)) }
            return promise.futureResult.map(NodeRuntime.encode)
        case .reload:
            do {
                try readPeers(configuration)
                return loop.makeSucceededFuture(Array("{\"ok\":true}".utf8))
            } catch {
                return loop.makeSucceededFuture(Array("{\"error\":\"the list of peers cannot be read\"}".utf8))
            }
        }
    }

    /// An answer in any case: a turn of the cores' loop that its store spoils loses what it had to say.
    private func resolve(_ id: NetworkID, on loop: any EventLoop) -> EventLoopFuture<[UInt8]> {
        let promise = loop.makePromise(of: [UInt8].self)
        let request = state.withLockedValue { state in
            state.lookups += 1
            return state.lookups
        }
        cores.enqueue { cores in
            cores.lookUp(id, request) { result in
                switch result {
                case .success(let resolution): promise.succeed(NodeRuntime.encode(resolution))
                case .failure(let refusal): promise.succeed(NodeRuntime.encode(["refused": refusal]))
                }
            }
        }
        loop.scheduleTask(in: .milliseconds(Int64(NodeResolution.deadline))) { [cores] in
            cores.enqueue { $0.giveUp(request) }
        }
        return promise.futureResult
    }

    static func encode(_ answer: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(answer)).map { Array($0) } ?? Array("{}".utf8)
    }

    /// The node's own statement, made on the loops that own what it is about.
    private func statement(on loop: any EventLoop) -> EventLoopFuture<NodeStatus> {
        let promise = loop.makePromise(of: NodeStatus.self)
        let empty = NodeStatus(
            server: .init(
                cluster: keys.certificate.clusterID.bytes.hex, clusterName: configuration.clusterName,
                server: keys.nodeID.hex, listen: configuration.listen, software: NodeRuntime.software,
                uptimeSeconds: uptimeSeconds, residentKiB: NodeFiles.residentKiB(), epoch: Timestamp.now().epoch),
            keys: keys.status(at: .now()), counters: ledger.counters)
        let (cores, findings) = (self.cores, stores.findings)
        let paths = ledger.paths(epoch: Timestamp.now().epoch)
        let keysTrouble = state.withLockedValue { $0.keysRefusal.trouble(.now()) }
        let layer = paths.layer(of: keys.server.publicKey).map { $0 + 1 }
        relay.enqueue { relay in
            var status = empty
            status.store.keysTrouble = keysTrouble
            status.store.findings = findings.isEmpty ? nil : findings
            relay.fill(&status)
            let half = status
            cores.enqueue { cores in
                var status = half
                cores.fill(&status)
                status.mix.layer = layer
                status.verdict = NodeVerdict(status)
                promise.succeed(status)
            }
        }
        return promise.futureResult
    }
}
