import Envelope
import Primitives
import Records
import Storage
import Wire

/// The gateways of an agent: which to keep links with, and which to use for what.
extension AgentCore {
    /// The gateways to keep links with.
    public var wantedGateways: [NodeID] { guards.wanted }

    /// A gateway could not be reached for long: another takes its place until it is tried again.
    public mutating func gatewayFailed(
        _ gateway: NodeID, now: Timestamp, entropy: inout Entropy, store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [AgentEffect] {
        var effects: [AgentEffect] = []
        guard wantedGateways.contains(gateway) else { return effects }
        try giveUp(gateway, isDeaf: false, now, &entropy, &effects, &store)
        return effects
    }

    mutating func giveUp(
        _ gateway: NodeID, isDeaf: Bool, _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guards.failed(gateway, isDeaf: isDeaf, now: now)
        try chooseGateways(now, &entropy, &effects, &store)
    }

    /// Chooses again, and tells the driver of a change.
    mutating func chooseGateways(
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let before = guards.wanted
        let written = guards.encode()
        let places = network.gateways
        guards.choose(
            configuration.gateways, places: places, homes: settings.homes.compactMap { network.place(of: $0.node) },
            now: now,
            entropy: &entropy)
        try guards.save(unless: written, &store)
        if guards.wanted != before { effects.append(.gatewaysChanged) }
    }

    /// A loop came back through a gateway: it works.
    mutating func gatewayWorked(
        _ gateway: NodeID, _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let written = guards.encode()
        guards.worked(gateway, now: now)
        try guards.save(unless: written, &store)
    }

    /// A gateway of another cluster than the destination's, so that no cluster is at both ends of a path, and one
    /// against which nothing is known while there is such.
    func gateway(for destination: NodeID, _ entropy: inout Entropy) -> NodeID? {
        let cluster = network.byID[destination]?.clusterID
        let usable = gateways.filter { network.byID[$0] != nil }
        let apart = usable.filter { network.byID[$0]?.clusterID != cluster }
        let choice = apart.isEmpty ? usable : apart
        let healthy = choice.filter { guards.isHealthy($0) }
        let known = healthy.isEmpty ? choice : healthy
        // One that loses much keeps its place among the guards, its link and its cover: only requests go by the other.
        let passing = known.filter { !health.suspects.contains($0) }
        let best = passing.isEmpty ? known : passing
        return best.isEmpty ? nil : best[entropy.below(best.count)]
    }

    /// Claims today's mailbox over a link that has come up.
    mutating func claimMailbox(_ gateway: NodeID, _ now: Timestamp, _ effects: inout [AgentEffect]) {
        mailboxes.claimed(at: gateway, now)
        effects.append(.claim(secret: identity.mailboxSecret(gateway: gateway, epoch: now.epoch), gateway: gateway))
    }

    /// The handle that replies through a gateway are addressed to.
    func mailboxHandle(at gateway: NodeID, _ now: Timestamp) -> Bytes16 {
        Mailbox.handle(of: identity.mailboxSecret(gateway: gateway, epoch: mailboxes.epoch(at: gateway, now)))
    }
}
