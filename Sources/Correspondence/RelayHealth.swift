import Primitives
import Records
import Storage
import Wire

/// Which relays the agent's own loops come back from (specs/correspondence.md, "Relays that do not answer").
///
/// A loop that is lost counts against each of its mixes, one that returns clears them all. A relay with a row of losses
/// is not used while enough others are left; every eighth loop still goes through any relay, so that one that is back is
/// noticed. A relay that drops loops to discredit its neighbours on paths discredits itself first: it is on all of them.
struct RelayHealth: Sendable {
    /// Losses in a row after which a relay is avoided.
    static let lossLimit = 6
    /// Of so many loops one goes through any relay.
    static let probeInterval = 8
    /// Milliseconds in which a loop must be back, beside the delays of its mixes.
    static let patience: UInt64 = 4000
    private static let loopLimit = 2048
    /// Losses in a row after which a gateway is given up, if loops through another come back, and if none does.
    static let gatewayLossLimit = (others: 24, alone: 96)
    /// Milliseconds between two gateways given up, so that nobody makes an agent try them all by losing its loops.
    static let gatewayPause: UInt64 = 120_000

    /// Suspects that the next run of the agent knows.
    private static let keptLimit = 64
    private static let key = Array("suspects".utf8)

    private var loops: [Bytes16: (gateway: NodeID, mixes: [NodeID], due: Timestamp)] = [:]
    private var losses: [NodeID: Int] = [:]
    private var gatewayLosses: [NodeID: Int] = [:]
    private var nextReplacement = Timestamp(milliseconds: 0)
    /// What is on disk.
    private var kept: Set<NodeID> = []

    init(_ store: borrowing some (KeyValueStore & ~Copyable)) throws(StorageError) {
        var rest = try store.get(AgentCore.state, RelayHealth.key)?[...] ?? []
        while let node = NodeID(rest.prefix(NodeID.count)), kept.count < RelayHealth.keptLimit {
            kept.insert(node)
            losses[node] = RelayHealth.lossLimit
            rest = rest.dropFirst(NodeID.count)
        }
    }

    /// Writes down whom the next run should not have to find out again.
    mutating func save(_ store: inout some (KeyValueStore & ~Copyable)) throws(StorageError) {
        let nodes = suspects.sorted().prefix(RelayHealth.keptLimit)
        guard Set(nodes) != kept else { return }
        kept = Set(nodes)
        try store.put(AgentCore.state, RelayHealth.key, nodes.flatMap(\.bytes))
    }

    var suspects: Set<NodeID> { Set(losses.filter { $0.value >= RelayHealth.lossLimit }.keys) }

    /// - Parameter path: gateway, mixes, gateway.
    mutating func started(_ id: Bytes16, path: [NodeID], delay: UInt64, now: Timestamp) {
        guard loops.count < RelayHealth.loopLimit, let gateway = path.first else { return }
        loops[id] = (
            gateway, Array(path.dropFirst().dropLast()), now.adding(milliseconds: delay + RelayHealth.patience)
        )
    }

    /// - Returns: the gateway through which the loop went.
    mutating func returned(_ id: Bytes16) -> NodeID? {
        guard let loop = loops.removeValue(forKey: id) else { return nil }
        gatewayLosses[loop.gateway] = 0
        for mix in loop.mixes { losses[mix] = nil }
        return loop.gateway
    }

    /// Loops through a gateway whose link is gone say nothing about their mixes.
    mutating func disconnected(_ gateway: NodeID) {
        loops = loops.filter { $0.value.gateway != gateway }
        gatewayLosses[gateway] = nil
    }

    /// The clock went back: whether those under way are late, it cannot tell.
    mutating func forgetLoops() {
        loops = [:]
        nextReplacement = Timestamp(milliseconds: 0)
    }

    /// A gateway that has taken a row of loops and brought none back: it counts as dead although its link stands.
    mutating func deafGateway(_ now: Timestamp) -> NodeID? {
        guard now >= nextReplacement else { return nil }
        let limit =
            gatewayLosses.values.contains(0) ? RelayHealth.gatewayLossLimit.others : RelayHealth.gatewayLossLimit.alone
        guard let worst = gatewayLosses.max(by: { ($0.value, $0.key) < ($1.value, $1.key) }), worst.value >= limit
        else { return nil }
        gatewayLosses[worst.key] = nil
        nextReplacement = now.adding(milliseconds: RelayHealth.gatewayPause)
        return worst.key
    }

    /// Counts the loops that should be back by now.
    mutating func expire(_ now: Timestamp) {
        for (id, loop) in loops where loop.due <= now {
            loops[id] = nil
            gatewayLosses[loop.gateway, default: 0] += 1
            for mix in loop.mixes { losses[mix, default: 0] += 1 }
        }
    }

    /// Forgets relays that are not on the map any more.
    mutating func keep(_ isKnown: (NodeID) -> Bool) {
        losses = losses.filter { isKnown($0.key) }
    }
}
