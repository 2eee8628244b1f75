import Directory
import Primitives
import Records

/// Attackers who choose their identities, against searches without a map, and whether they are noticed.
extension DirectoryExperiments {
    /// Of so many servers one key is attacked, all at the same time: all Sybils beside one place of each key are together
    /// half as many as servers.
    private static let serversForKey = 100

    private struct Attack {
        enum Place {
            /// Nearer to where searches look than the network's own servers.
            case near
            /// Anywhere among those where twenty of the network's are expected.
            case spread
            /// As ``near``, but chosen when the shared random value of the epoch was not known yet: by that of the day before.
            case early
        }

        let name: String
        let conduct: DirectoryConduct?
        var place = Place.near
        var isAdmitted = false
        /// Sybils beside each place.
        var sybils = DirectoryExperiments.sybils
        /// Whether only the first key is attacked. Where the place is not that of the day, all keys fare alike by it.
        var isAlone = false
        /// Whether it is no attack that the figures ask for: a fifth of the networks is enough.
        var isAside = false
    }

    private static let attacks = [
        Attack(name: "nobody attacks", conduct: nil, isAside: true),
        Attack(name: "active eclipse, 45 strangers next to the key", conduct: .wrong),
        Attack(
            name: "active eclipse, 45 strangers spread around the key", conduct: .wrong, place: .spread),
        Attack(name: "region eclipse, 45 strangers next to the key", conduct: .negative),
        Attack(
            name: "region eclipse, 45 servers admitted before the shared random value was known", conduct: .negative,
            place: .early, isAdmitted: true),
        Attack(
            name: "the same with one attacker of 45 servers in the network", conduct: .negative, place: .early,
            isAdmitted: true, isAlone: true),
        Attack(
            name: "the same with as many servers in gatherings of 9", conduct: .negative, place: .early,
            isAdmitted: true, sybils: 9),
        Attack(
            name: "region eclipse, 45 admitted servers next to the key, if the value could be foreseen",
            conduct: .negative, isAdmitted: true, isAside: true),
    ]

    /// What became of the searches under one attack.
    private struct Siege {
        var blocked = Proportion()
        var alarmed = Proportion()
        var keysNoticed = Proportion()
    }

    /// Searches by servers of a network in which Sybils lie beside keys: blocked ones, and those that raised an alarm at
    /// the server that searched; and keys for which one of those that hold the record did within an hour. As many networks
    /// as the keys need, each of another seed.
    static func eclipseSearches(
        _ nodes: Int, _ seed: UInt64, _ trials: Int, _ progress: (Double) -> Void
    ) throws(DirectoryExperimentError) -> [ResultRow] {
        var sieges = [Siege](repeating: Siege(), count: attacks.count)
        var time: UInt64 = 0
        let keysOfWorld = max(4, nodes / serversForKey)
        let worlds = max(1, (trials / lookupsOfKey + keysOfWorld - 1) / keysOfWorld)
        for number in 0..<worlds {
            let seed = seed &+ UInt64(number) << 32
            var entropy = Entropy(seed: seed)
            // For each identity that is wanted so many are tried as the network has servers: as many on the mean until one
            // lies nearer than any of those.
            let pool = IdentityPool(sybils * nodes, epoch: DirectoryWorld.evening.epoch, entropy: &entropy)
            for step in attacks.indices where !attacks[step].isAside || number % 5 == 0 {
                let world = try DirectoryWorld(nodes: nodes, seed: seed)
                world.roundTrip = 100
                try world.addUsers(keysOfWorld, publishing: false)
                let searches = (trials * (number + 1) / worlds) - trials * number / worlds
                try besiege(world, attacks[step], pool, searches, &sieges[step])
                time += world.elapsed
                progress((Double(number) + Double(step + 1) / Double(attacks.count)) / Double(worlds))
            }
        }
        var rows: [ResultRow] = []
        for (attack, siege) in zip(attacks, sieges) {
            rows += [
                ResultRow("\(attack.name): searches blocked", .share(siege.blocked)),
                ResultRow("\(attack.name): searches that raised an alarm", .share(siege.alarmed)),
                ResultRow("\(attack.name): keys for which a server raised an alarm", .share(siege.keysNoticed)),
            ]
        }
        return rows + [.virtualTime(milliseconds: time)]
    }

    private static func besiege(
        _ world: DirectoryWorld, _ attack: Attack, _ pool: IdentityPool, _ count: Int, _ siege: inout Siege
    ) throws(DirectoryExperimentError) {
        if let conduct = attack.conduct {
            try place(world, pool, attack, conduct)
            if attack.isAdmitted { world.list(world.nodes) }
        }
        world.drawTables()
        for user in world.users { try world.publish(user) }
        try world.run(milliseconds: 5000)
        var left = count
        while left > 0 {
            let users = (0..<min(left, 50)).map { world.users[($0 + left) % world.users.count] }
            for search in try searches(world, users, isFresh: true) {
                siege.blocked.count(search.milliseconds == nil)
                siege.alarmed.count(world.nodes[search.asker].core.isAlarmed(at: world.now))
            }
            left -= users.count
        }
        siege.keysNoticed.add(try world.holdersNotice())
    }

    /// Puts Sybils beside all places of the key of each user, or beside as many places of the day before as users have keys:
    /// then none has anything to do with a key.
    private static func place(
        _ world: DirectoryWorld, _ pool: IdentityPool, _ attack: Attack, _ conduct: DirectoryConduct
    ) throws(DirectoryExperimentError) {
        let own = world.nodes.count
        let epoch = attack.place == .early ? world.now.epoch - 1 : world.now.epoch
        // Gatherings that are smaller than those of the other attacks lie beside more keys.
        let wanted = attack.isAlone ? 1 : world.users.count * sybils / attack.sybils
        var keys = world.users.prefix(wanted).map(\.blindedKey)
        while keys.count < wanted { keys.append(VerifyingKey(world.entropy.bytes())) }
        var taken: Set<UInt64> = []
        let places: Range<UInt8> = 0..<(attack.place == .early ? 1 : Placement.searchPlaces)
        for (key, place) in keys.flatMap({ key in places.map { (key, $0) } }) {
            let target = DirectoryCore.kademliaTarget(of: key, epoch: epoch, place: place).firstWord
            var near = pool.around(target, part: 20 / Double(own)).filter { !taken.contains($0) }
            if attack.place == .spread { world.entropy.shuffle(&near) }
            for identity in near.prefix(attack.sybils) {
                taken.insert(identity)
                let index = try world.addStranger(seed: identity)
                world.nodes[index].conduct = conduct
            }
        }
        world.colluders = world.nodes[own...].map(\.nodeID).sorted()
    }
}

extension DirectoryWorld {
    /// Lets all honest servers that hold a record take their hourly look around.
    /// - Returns: the keys for which at least one of them raised an alarm.
    func holdersNotice() throws(DirectoryExperimentError) -> Proportion {
        let holders = users.map { user in
            nodes.indices.filter {
                nodes[$0].conduct == .honest && CopyLedger.held(user.record, at: nodes[$0]) != nil
            }
        }
        for index in holders.joined() { fillTable(of: index) }
        now = now.adding(milliseconds: EclipseWatch.quiet)
        var noticed = Proportion()
        for index in Set(holders.joined()).sorted() { try deliver(.wake, to: index) }
        for own in holders { noticed.count(own.contains { nodes[$0].core.isAlarmed(at: now) }) }
        return noticed
    }
}
