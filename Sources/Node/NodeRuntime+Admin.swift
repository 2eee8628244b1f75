import FoundationEssentials
import NIOCore
import Primitives
import Transport
import Wire

/// What an operator asks of a running node, over its socket.
public enum NodeRequest: String, Codable, Sendable {
    case status
    /// The list of peers has changed.
    case reload
}

extension NodeRuntime {
    func answer(_ line: [UInt8], on loop: any EventLoop) -> EventLoopFuture<[UInt8]> {
        guard let request = NodeRequest(rawValue: String(decoding: line, as: UTF8.self)) else {
            return loop.makeSucceededFuture(Array("{\"error\":\"unknown request\"}".utf8))
        }
        switch request {
        case .status:
            return statement(on: loop).map { status in
                let encoder = JSONEncoder()
                encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
                return (try? encoder.encode(status)).map { Array($0) } ?? Array("{}".utf8)
            }
        case .reload:
            do {
                try reloadPeers()
                return loop.makeSucceededFuture(Array("{\"ok\":true}".utf8))
            } catch {
                return loop.makeSucceededFuture(Array("{\"error\":\"the list of peers cannot be read\"}".utf8))
            }
        }
    }

    /// The node's own statement, made on the loops that own what it is about.
    private func statement(on loop: any EventLoop) -> EventLoopFuture<NodeStatus> {
        let promise = loop.makePromise(of: NodeStatus.self)
        let empty = NodeStatus(
            server: .init(
                cluster: keys.certificate.clusterID.bytes.hex, clusterName: configuration.clusterName,
                server: keys.nodeID.hex, listen: configuration.listen, software: NodeRuntime.software,
                uptimeSeconds: uptimeSeconds, residentKiB: NodeFiles.residentKiB(), epoch: Timestamp.now().epoch),
            counters: ledger.counters)
        let cores = self.cores
        relay.enqueue { relay in
            var status = empty
            relay.fill(&status)
            let half = status
            cores.enqueue { cores in
                var status = half
                cores.fill(&status)
                promise.succeed(status)
            }
        }
        return promise.futureResult
    }
}
