import Directory
import Primitives
import Records
import Wire

/// Searches without a map.
extension DirectoryExperiments {
    private static let hop: UInt64 = 100
    private static let day: UInt64 = 86_400_000
    /// Draws of who lies.
    private static let draws = 4
    /// Draws of who searches, before all who are able are listed.
    private static let askerDraws = 100
    /// Searches under way at a time, and milliseconds between their beginnings.
    private static let atOnce = 100
    private static let pace: UInt64 = 7
    /// In a network of so many servers routing tables are drawn: to let all join would take hours.
    private static let drawnFrom = 1000

    /// A network whose servers have all joined through three others each, and looked around for some minutes.
    static func joined(
        _ nodes: Int, _ seed: UInt64, strangers: Int = 0, _ progress: (Double) -> Void
    ) throws(DirectoryExperimentError) -> DirectoryWorld {
        var configuration = DirectoryConfiguration()
        // Tables fill in minutes of virtual time as they would in hours.
        configuration.refreshInterval = 60_000
        configuration.roundInterval = 5_000
        let world = try DirectoryWorld(nodes: nodes, seed: seed, configuration: configuration)
        world.roundTrip = hop
        for _ in 0..<strangers { _ = try world.addStranger() }
        for index in world.nodes.indices {
            var endpoints: [Endpoint] = []
            for _ in 0..<min(3, index) {
                endpoints.append(world.nodes[world.entropy.below(min(index, nodes))].endpoint)
            }
            try world.deliver(.join(endpoints), to: index)
            try world.run(milliseconds: 20)
            if index % 64 == 0 { progress(0.6 * Double(index) / Double(world.nodes.count)) }
        }
        for part in 0..<10 {
            try world.run(milliseconds: 60_000)
            progress(0.6 + 0.04 * Double(part))
        }
        return world
    }

    /// A network whose servers have known each other for long, with the round trips of the world.
    /// - Parameter isResting: whether they do nothing of their own accord, so that of a large network only those servers
    ///   take memory and time that a search or a copy comes to.
    static func drawn(
        _ nodes: Int, _ seed: UInt64, isResting: Bool = false
    ) throws(DirectoryExperimentError) -> DirectoryWorld {
        var configuration = DirectoryConfiguration()
        if isResting {
            configuration.refreshInterval = day
            configuration.livenessInterval = day
            configuration.neighbourInterval = day
            configuration.answerAge = day
        }
        let world = try DirectoryWorld(nodes: nodes, seed: seed, configuration: configuration)
        world.drawTables()
        return world
    }

    /// Users whose records are placed by the servers themselves where such searches end.
    static func publish(_ world: DirectoryWorld, _ count: Int) throws(DirectoryExperimentError) {
        for _ in 0..<count {
            try world.addUsers(1)
            try world.run(milliseconds: 300)
        }
        try world.run(milliseconds: 10_000)
    }

    static func fallback(
        _ nodes: Int, _ seed: UInt64, _ trials: Int, _ progress: (Double) -> Void
    ) throws(DirectoryExperimentError) -> [ResultRow] {
        let world =
            nodes < drawnFrom
            ? try joined(nodes, seed) { progress($0 * 0.5) } : try drawn(nodes, seed, isResting: true)
        let hops = world.medianRoundTrips()
        var rows: [ResultRow] = []
        let kinds: [(name: String, share: Double, conduct: [DirectoryConduct])] = [
            ("nobody lies", 0, [.silent]), ("30 % name each other", 0.3, [.negative]),
            ("30 % send false records", 0.3, [.wrong]), ("30 % silent", 0.3, [.silent]),
            ("30 % of all kinds", 0.3, [.negative, .wrong, .silent]),
        ]
        for (step, kind) in kinds.enumerated() {
            var found = Proportion()
            var rounds = RankedSample()
            var times = RankedSample()
            var calls = 0.0
            for draw in 0..<draws {
                // They lie from the publication on.
                world.strike(liars: kind.share, conduct: kind.conduct, dead: 0)
                world.users = []
                try publish(world, max(1, min(trials / draws, 50)))
                let before = searchCalls(world)
                var left = trials / draws
                while left > 0 {
                    let users = (0..<min(left, atOnce)).map { _ in world.users[world.entropy.below(world.users.count)] }
                    for search in try searches(world, users) {
                        found.count(search.milliseconds != nil)
                        guard let time = search.milliseconds else { continue }
                        times.add(Double(time))
                        rounds.add(Double(time) / hops[world.regions[search.asker]])
                    }
                    left -= users.count
                    let done = Double(draw) + 1 - Double(left) / Double(max(1, trials / draws))
                    progress(0.5 + 0.5 * (Double(step) + done / Double(draws)) / Double(kinds.count))
                }
                calls += searchCalls(world) - before
            }
            rows.append(ResultRow("\(kind.name): found", .share(found)))
            rows.append(ResultRow("\(kind.name): median", .number(rounds.quantile(0.5), unit: "round trips")))
            rows.append(ResultRow("\(kind.name): 99th percentile", .number(rounds.quantile(0.99), unit: "round trips")))
            rows.append(ResultRow("\(kind.name): 99th percentile of time", .number(times.quantile(0.99), unit: "ms")))
            let mean = calls / Double(max(1, found.trials))
            rows.append(ResultRow("\(kind.name): calls of a search, mean", .number(mean, unit: "")))
        }
        var contacts = RankedSample()
        for node in world.nodes where node.hasTable { contacts.add(Double(node.core.contactCount)) }
        rows.append(ResultRow("contacts of a server, median", .number(contacts.quantile(0.5), unit: "")))
        rows.append(ResultRow("servers that took part", .number(Double(contacts.values.count), unit: "")))
        return rows + [.virtualTime(milliseconds: world.elapsed)]
    }

    /// Calls that all searches for records have made.
    private static func searchCalls(_ world: DirectoryWorld) -> Double {
        Double(world.nodes.reduce(0) { $0 + $1.core.counters.searchCalls })
    }

    /// A search by an honest server that holds nothing of the record itself.
    /// - Returns: milliseconds until it found the current record; `nil` when it did not.
    static func search(_ world: DirectoryWorld, _ user: DirectoryUser) throws(DirectoryExperimentError) -> UInt64? {
        try searches(world, [user]).first?.milliseconds
    }

    /// Searches that are all under way at once, each by another server, mostly.
    /// - Parameter isFresh: whether only servers search for which no alarm holds.
    /// - Returns: who searched for each user, and what ``search(_:_:)`` returns; nothing for users whose record all who
    ///   could search hold themselves.
    static func searches(
        _ world: DirectoryWorld, _ users: [DirectoryUser], isFresh: Bool = false
    ) throws(DirectoryExperimentError) -> [(asker: Int, milliseconds: UInt64?)] {
        var begun: [(asker: Int, token: UInt64, at: Timestamp, user: DirectoryUser)] = []
        for user in users {
            guard let asker = asker(world, user, isFresh) else { continue }
            world.nextToken += 1
            world.expected.insert(world.nextToken)
            begun.append((asker, world.nextToken, world.now, user))
            let request = DirectoryMessage.iterate(key: user.blindedKey, epoch: world.now.epoch)
            try world.deliver(
                .request(from: nil, token: world.nextToken, message: request.encode()), to: asker)
            try world.run(milliseconds: pace)
        }
        try world.run(milliseconds: 12_000, until: { world.expected.isEmpty })
        world.expected = []
        return begun.map { search in
            guard let answer = world.answers.removeValue(forKey: search.token),
                case .record(let bytes) = answer.message,
                let record = try? DirectoryRecord(decoding: bytes), record.sequence == search.user.sequence
            else { return (search.asker, nil) }
            return (search.asker, answer.at.milliseconds(since: search.at))
        }
    }

    private static func asker(_ world: DirectoryWorld, _ user: DirectoryUser, _ isFresh: Bool) -> Int? {
        let holders = Set(world.placement.holders(of: user.blindedKey))
        func isAble(_ node: SimulatedDirectory) -> Bool {
            node.conduct == .honest && node.isUp && !holders.contains(node.nodeID)
                && !(isFresh && node.core.isAlarmed(at: world.now))
        }
        for _ in 0..<askerDraws {
            let asker = world.entropy.below(world.listed.count)
            if isAble(world.nodes[asker]) { return asker }
        }
        // Where few are able, or nobody is, drawing might not end.
        let able = world.listed.indices.filter { isAble(world.nodes[$0]) }
        return able.isEmpty ? nil : able[world.entropy.below(able.count)]
    }
}
