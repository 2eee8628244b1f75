import Directory
import Primitives
import Records
import Wire

/// Attackers who choose their identities.
extension DirectoryExperiments {
    /// Identities that the published attacks need for one key (arXiv 2307.12212 section IV: 45 are enough).
    static let sybils = 45
    /// Lookups of one key.
    static let lookupsOfKey = 3
    /// Identities that the attacker tries.
    private static let tries = 60_000

    /// The active eclipse (arXiv 2505.01139: Sybils beside the key that answer with false but well-formed data) and that
    /// of a region (arXiv 2307.12212: Sybils fill the key's neighbourhood), against lookups by the map. The attacker is
    /// given what the map denies him: all his servers are admitted. One key is attacked at a time.
    static func eclipse(
        _ nodes: Int, _ seed: UInt64, _ trials: Int, _ progress: (Double) -> Void
    ) throws(DirectoryExperimentError) -> [ResultRow] {
        var rows: [ResultRow] = []
        let attacks: [(name: String, choose: IdentityPool.Choice, honestDead: Bool)] = [
            ("active eclipse, 45 admitted Sybils beside the key", .besideKey, false),
            ("region eclipse, 45 admitted Sybils and the region's own servers silent", .besideKey, true),
            ("the same, if the next shared random value could be foreseen", .besidePlaces, false),
        ]
        let world = try DirectoryWorld(nodes: nodes, seed: seed)
        let keys = max(1, trials / lookupsOfKey)
        try world.addUsers(keys, publishing: false)
        let pool = IdentityPool(min(60 * nodes, tries), epoch: world.now.epoch, entropy: &world.entropy)
        for (step, attack) in attacks.enumerated() {
            var blocked = Proportion()
            var noticed = Proportion()
            for (index, user) in world.users.enumerated() {
                let seeds = pool.best(sybils, for: user.blindedKey, attack.choose)
                try world.besiege(user, by: seeds, own: nodes, isRegionDead: attack.honestDead) {
                    (isNoticed, lookups) in
                    noticed.count(isNoticed)
                    blocked.add(lookups)
                }
                progress((Double(step) + Double(index + 1) / Double(keys)) / Double(attacks.count))
            }
            rows.append(ResultRow("\(attack.name): lookups blocked", .share(blocked)))
            rows.append(ResultRow("\(attack.name): attacks that a server noticed on the map", .share(noticed)))
        }
        return rows + world.times
    }
}

extension DirectoryWorld {
    /// Admits these identities like everybody else, lets the user publish to the map that has them, looks up, and takes
    /// them away again.
    /// - Parameter report: told whether an honest server notices the attack on the map, and lookups that failed.
    fileprivate func besiege(
        _ user: DirectoryUser, by seeds: [UInt64], own: Int, isRegionDead: Bool,
        _ report: (Bool, Proportion) -> Void
    ) throws(DirectoryExperimentError) {
        for seed in seeds { _ = try addStranger(seed: seed) }
        list(nodes)
        try publish(user)
        let isNoticed = isNoticed(user, by: 0..<own)
        if isRegionDead { silenceRegion(of: user.blindedKey, nearest: 20, of: own) }
        var blocked = Proportion()
        for trial in 0..<DirectoryExperiments.lookupsOfKey {
            for index in own..<nodes.count {
                nodes[index].conduct = DirectoryConduct.lies[(trial + index) % DirectoryConduct.lies.count]
            }
            blocked.count(try lookup(user, over: .mixed).end != .found)
        }
        report(isNoticed, blocked)
        removeStrangers(from: own)
        revive()
    }

    /// Whether one of these servers at least raises an alarm at its hourly look at the map: the own place, and the places of
    /// the record if it holds that.
    func isNoticed(_ user: DirectoryUser, by servers: Range<Int>) -> Bool {
        let holders = Set(placement.holders(of: user.blindedKey))
        return servers.contains { index in
            var watch = EclipseWatch(now: now)
            let keys = holders.contains(nodes[index].nodeID) ? [user.blindedKey] : []
            return watch.check(placement, own: nodes[index].nodeID, keys: keys, now: now) != nil
        }
    }

    /// Stops the network's own servers that are closest to a key.
    private func silenceRegion(of key: VerifyingKey, nearest count: Int, of own: Int) {
        let target = DirectoryCore.kademliaTarget(of: key, epoch: now.epoch).firstWord
        let ordered = nodes.prefix(own).map { (distance: $0.nodeID.firstWord ^ target, node: $0) }
            .sorted { $0.distance < $1.distance }
        for entry in ordered.prefix(count) { entry.node.isUp = false }
    }
}
