import Directory
import Primitives
import Records

/// Attackers who choose their identities, against searches without a map, and whether they are noticed.
extension DirectoryExperiments {
    /// Of so many servers one key is attacked, all at the same time: all Sybils together are half as many as servers.
    private static let serversForKey = 100
    /// Epochs of an honest network in which every server looks out once.
    private static let quietDays = 5

    private struct Attack {
        let name: String
        let conduct: DirectoryConduct?
        /// Among all servers where twenty of the network's are expected, and not nearer than all of them.
        var isSpread = false
        var isAdmitted = false
    }

    private static let attacks = [
        Attack(name: "nobody attacks", conduct: nil),
        Attack(name: "active eclipse, 45 strangers next to the key", conduct: .wrong),
        Attack(name: "active eclipse, 45 strangers spread around the key", conduct: .wrong, isSpread: true),
        Attack(name: "region eclipse, 45 strangers next to the key", conduct: .negative),
        Attack(name: "region eclipse, 45 admitted servers next to the key", conduct: .negative, isAdmitted: true),
    ]

    /// Searches by servers of a network in which Sybils lie beside keys: blocked ones, and those that raised an alarm at
    /// the server that searched; and keys for which one of those that hold the record did within an hour.
    static func eclipseSearches(
        _ nodes: Int, _ seed: UInt64, _ trials: Int, _ progress: (Double) -> Void
    ) throws(DirectoryExperimentError) -> [ResultRow] {
        var rows: [ResultRow] = []
        var time: UInt64 = 0
        for (step, attack) in attacks.enumerated() {
            let world = try DirectoryWorld(nodes: nodes, seed: seed)
            world.roundTrip = 100
            try world.addUsers(max(4, nodes / serversForKey), publishing: false)
            if let conduct = attack.conduct {
                try world.place(sybils, conduct, isSpread: attack.isSpread)
                if attack.isAdmitted { world.list(world.nodes) }
            }
            world.drawTables()
            for user in world.users { try world.publish(user) }
            try world.run(milliseconds: 5000)
            var blocked = Proportion()
            var noticed = Proportion()
            var left = trials
            while left > 0 {
                let users = (0..<min(left, 50)).map { world.users[($0 + left) % world.users.count] }
                for search in try searches(world, users, isFresh: true) {
                    blocked.count(search.milliseconds == nil)
                    noticed.count(world.nodes[search.asker].core.isAlarmed(at: world.now))
                }
                left -= users.count
                let done = 1 - Double(left) / Double(max(1, trials))
                progress((Double(step) + done) / Double(attacks.count))
            }
            rows.append(ResultRow("\(attack.name): searches blocked", .share(blocked)))
            rows.append(ResultRow("\(attack.name): searches that raised an alarm", .share(noticed)))
            rows.append(
                ResultRow("\(attack.name): keys for which a server raised an alarm", .share(try world.holdersNotice())))
            time += world.elapsed
        }
        return rows + [try quiet(nodes, seed), .virtualTime(milliseconds: time)]
    }

    /// Every server's look at the map, in a network that nobody attacks.
    private static func quiet(_ nodes: Int, _ seed: UInt64) throws(DirectoryExperimentError) -> ResultRow {
        let world = try DirectoryWorld(nodes: nodes, seed: seed)
        var alarms = Proportion()
        for day in 0..<quietDays {
            let placement = Placement(nodes: world.listed, epoch: world.now.epoch + UInt64(day))
            for node in world.nodes {
                var watch = EclipseWatch(now: world.now)
                let keys = (0..<EclipseWatch.keyLimit).map { _ in VerifyingKey(world.entropy.bytes()) }
                alarms.count(watch.check(placement, own: node.nodeID, keys: keys, now: world.now) != nil)
            }
        }
        return ResultRow("nobody attacks: servers that raise an alarm in an epoch by the map", .share(alarms))
    }
}

extension DirectoryWorld {
    /// Grinds identities beside the key of each user, so many each. For each identity that is wanted so many are tried
    /// as the network has servers: as many on the mean until one lies nearer than any of those.
    func place(_ count: Int, _ conduct: DirectoryConduct, isSpread: Bool) throws(DirectoryExperimentError) {
        let own = nodes.count
        let pool = (0..<count * own).map { _ in
            let seed = entropy.uint64()
            var draws = Entropy(seed: seed)
            return (word: Node.id(of: SigningKey(&draws).publicKey).firstWord, seed: seed)
        }
        let region = UInt64(20 / Double(own) * 0x1p64)
        for user in users {
            let target = DirectoryCore.kademliaTarget(of: user.blindedKey).firstWord
            var near = pool.filter { $0.word ^ target < region }.sorted { $0.word ^ target < $1.word ^ target }
            if isSpread { entropy.shuffle(&near) }
            for identity in near.prefix(count) {
                let index = try addStranger(seed: identity.seed)
                nodes[index].conduct = conduct
            }
        }
        colluders = nodes[own...].map(\.nodeID).sorted()
    }

    /// Lets all honest servers that hold a record take their hourly look around.
    /// - Returns: the keys for which at least one of them raised an alarm.
    func holdersNotice() throws(DirectoryExperimentError) -> Proportion {
        for index in nodes.indices { fillTable(of: index) }
        now = now.adding(milliseconds: EclipseWatch.quiet)
        var noticed = Proportion()
        for user in users {
            var isNoticed = false
            for index in nodes.indices
            where nodes[index].conduct == .honest && CopyLedger.held(user.record, at: nodes[index]) != nil {
                try deliver(.wake, to: index)
                isNoticed = isNoticed || nodes[index].core.isAlarmed(at: now)
            }
            noticed.count(isNoticed)
        }
        return noticed
    }
}
