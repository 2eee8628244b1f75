import Directory
import Primitives
import Records
import Wire

/// Clusters that collude on the shared random value: they hear all that honest servers show before they decide.
struct Grinder {
    enum Attack: CaseIterable {
        /// Shows those secrets that make the best of all values that can be reached.
        case choose
        /// Shows none.
        case starve
        /// Each commits to two secrets, before different servers.
        case equivocate
        /// One commits when only a part hears it in time; the others behave.
        case lateCommit
        /// One shows its secret when only a part hears it in time; the others behave.
        case lateReveal
        /// All sign the commitment of one, and show it to one honest server when no other hears it in time; else they behave.
        case chainedCommit
        /// The same with its secret.
        case chainedReveal
    }

    /// What a day's decision came to.
    struct Decision {
        /// The attackers among the participants.
        var seats = 0
        /// Values that could have been chosen; 1 without a choice.
        var choices = 1
        /// Own nodes among a key's holders: by the value with all secrets, by the one that was chosen.
        var byChance = 0
        var chosen = 0
    }

    /// How long before an end "late" is, in milliseconds: at once at those who are told, too late at the next.
    private static let margin: UInt64 = 1
    /// At most so many of the own secrets are tried in all ways.
    private static let triedLimit = 12

    let attack: Attack
    /// All directory servers, those of the attackers first.
    let circle: [Placement.Node]
    let own: Set<NodeID>

    /// Plays a whole day.
    func day(
        _ network: GrindingNetwork, _ entropy: inout Entropy
    ) throws(DirectoryExperimentError) -> (Decision, GrindingNetwork.Day) {
        try network.run(toMillisecond: 3_600_000)
        let names = Set(network.participants)
        let seats = network.attackers.filter { names.contains(SharedRandom.name(of: $0.certificate.clusterID)) }
        let epoch = network.today + 1
        var secrets: [VerifyingKey: Bytes32] = [:]
        let isLate = attack == .lateCommit || attack == .chainedCommit
        for (index, signer) in seats.enumerated() {
            let secret: Bytes32 = entropy.bytes()
            secrets[signer.certificate.clusterID] = secret
            if !isLate || index > 0 { commit(signer, secret, epoch, network, &entropy) }
        }
        if isLate, let first = seats.first, let secret = secrets[first.certificate.clusterID] {
            try tell(Grinder.commitment(first, secret, epoch), from: SharedRandom.commitTime, network, seats)
        }
        try network.run(toMillisecond: (SharedRandom.revealTime - 600) * 1000)
        let decision = try decide(network, seats, secrets, names.count, &entropy)
        return (decision, try network.endDay())
    }

    private static func commitment(
        _ signer: CertifiedSigner, _ secret: Bytes32, _ epoch: UInt64
    ) -> SharedRandom.Message {
        let content = SharedRandom.commitment(secret, of: signer.certificate.clusterID, epoch: epoch)
        return .commit(SharedRandom.Statement(.commit, epoch: epoch, content: content, by: signer))
    }

    private func commit(
        _ signer: CertifiedSigner, _ secret: Bytes32, _ epoch: UInt64, _ network: GrindingNetwork,
        _ entropy: inout Entropy
    ) {
        let half = network.honestCount / 2
        let first = Grinder.commitment(signer, secret, epoch)
        guard attack == .equivocate else { return network.tell(first) }
        network.tell(first, to: 0..<half)
        network.tell(Grinder.commitment(signer, entropy.bytes(), epoch), to: half..<network.honestCount)
    }

    /// Sends a message in the last moment of the round in which it counts: of the first to half of the honest servers, or with
    /// the signatures of all colluders to one.
    private func tell(
        _ message: SharedRandom.Message, from start: UInt64, _ network: GrindingNetwork, _ seats: [CertifiedSigner]
    ) throws(DirectoryExperimentError) {
        var version = SharedRandom.Witnessed(message)
        let isChained = attack == .chainedCommit || attack == .chainedReveal
        if isChained { for signer in seats { version.sign(by: signer) } }
        let end = start + UInt64(version.witnesses.count) * SharedRandom.step
        try network.run(toMillisecond: end * 1000 - Grinder.margin)
        network.tell(version, to: 0..<(isChained ? 1 : network.honestCount / 2))
    }

    // MARK: The decision

    private func decide(
        _ network: GrindingNetwork, _ seats: [CertifiedSigner], _ secrets: [VerifyingKey: Bytes32], _ all: Int,
        _ entropy: inout Entropy
    ) throws(DirectoryExperimentError) -> Decision {
        let epoch = network.today + 1
        let reveals = seats.compactMap { signer in
            secrets[signer.certificate.clusterID].map {
                SharedRandom.Message.reveal(participant: signer.certificate.clusterID, epoch: epoch, secret: $0)
            }
        }
        var decision = Decision()
        decision.seats = seats.count
        switch attack {
        case .choose:
            let key = VerifyingKey(entropy.bytes())
            let chosen = choose(network, secrets, all, key, &decision)
            for reveal in reveals where chosen.secrets[reveal.participant] != nil { network.tell(reveal) }
            try network.run(toMillisecond: SharedRandom.voteStart * 1000 + 60_000)
            for signer in seats {
                network.tell(.vote(SharedRandom.Statement(.vote, epoch: epoch, content: chosen.value, by: signer)))
            }
        case .starve: break
        case .equivocate, .lateCommit, .chainedCommit: for reveal in reveals { network.tell(reveal) }
        case .lateReveal, .chainedReveal:
            for reveal in reveals.dropFirst() { network.tell(reveal) }
            if let first = reveals.first { try tell(first, from: SharedRandom.revealTime, network, seats) }
        }
        return decision
    }

    /// Tries every way to withhold own secrets that leaves a value; all that are withheld count the same afterwards.
    private func choose(
        _ network: GrindingNetwork, _ secrets: [VerifyingKey: Bytes32], _ all: Int, _ key: VerifyingKey,
        _ decision: inout Decision
    ) -> (secrets: [VerifyingKey: Bytes32], value: Bytes32) {
        let epoch = network.today + 1
        let free = secrets.keys.sorted().prefix(Grinder.triedLimit)
        var best: (count: Int, secrets: [VerifyingKey: Bytes32], value: Bytes32)?
        decision.choices = 0
        // From none withheld on: the first is what chance gives.
        for way in 0..<1 << free.count {
            var shown = secrets
            for (place, cluster) in free.enumerated() where way >> place & 1 == 1 { shown[cluster] = nil }
            guard SharedRandom.isEnough(network.shown.count + shown.count, of: all) else { continue }
            let value = SharedRandom.value(
                previous: network.previous, epoch: epoch,
                secrets: network.shown.merging(shown) { first, _ in first })
            let holders = Placement(nodes: circle, epoch: epoch, shared: value).holders(of: key)
            let count = holders.count { own.contains($0) }
            if way == 0 { decision.byChance = count }
            decision.choices += 1
            if best.map({ count > $0.count }) ?? true { best = (count, shown, value) }
        }
        decision.chosen = best?.count ?? 0
        return (best?.secrets ?? secrets, best?.value ?? Bytes32())
    }
}
