import Primitives
import Records
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

    private var loops: [Bytes16: (gateway: NodeID, mixes: [NodeID], due: Timestamp)] = [:]
    private var losses: [NodeID: Int] = [:]

    var suspects: Set<NodeID> { Set(losses.filter { $0.value >= RelayHealth.lossLimit }.keys) }

    /// - Parameter path: gateway, mixes, gateway.
    mutating func started(_ id: Bytes16, path: [NodeID], delay: UInt64, now: Timestamp) {
        guard loops.count < RelayHealth.loopLimit, let gateway = path.first else { return }
        loops[id] = (
            gateway, Array(path.dropFirst().dropLast()), now.adding(milliseconds: delay + RelayHealth.patience)
        )
    }

    mutating func returned(_ id: Bytes16) {
        for mix in loops.removeValue(forKey: id)?.mixes ?? [] { losses[mix] = nil }
    }

    /// Loops through a gateway whose link is gone say nothing about their mixes.
    mutating func disconnected(_ gateway: NodeID) { loops = loops.filter { $0.value.gateway != gateway } }

    /// Counts the loops that should be back by now.
    mutating func expire(_ now: Timestamp) {
        for (id, loop) in loops where loop.due <= now {
            loops[id] = nil
            for mix in loop.mixes { losses[mix, default: 0] += 1 }
        }
    }

    /// Forgets relays that are not on the map any more.
    mutating func keep(_ isKnown: (NodeID) -> Bool) { losses = losses.filter { isKnown($0.key) } }
}
