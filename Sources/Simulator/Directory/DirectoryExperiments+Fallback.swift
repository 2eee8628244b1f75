import Directory
import Primitives
import Records
import Wire

/// Searches without a map.
extension DirectoryExperiments {
    private static let hop: UInt64 = 100
    /// Draws of who lies.
    private static let draws = 4

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
        let world = try joined(nodes, seed) { progress($0 * 0.5) }
        var contacts = RankedSample()
        for node in world.nodes { contacts.add(Double(node.core.contactCount)) }
        var rows = [ResultRow("contacts of a server, median", .number(contacts.quantile(0.5), unit: ""))]
        let kinds: [(name: String, share: Double, conduct: [DirectoryConduct])] = [
            ("nobody lies", 0, [.silent]), ("30 % name each other", 0.3, [.negative]),
            ("30 % send false records", 0.3, [.wrong]), ("30 % silent", 0.3, [.silent]),
            ("30 % of all kinds", 0.3, [.negative, .wrong, .silent]),
        ]
        for (step, kind) in kinds.enumerated() {
            var found = Proportion()
            var rounds = RankedSample()
            for trial in 0..<trials {
                if trial % max(1, trials / draws) == 0 {
                    // They lie from the publication on.
                    world.strike(liars: kind.share, conduct: kind.conduct, dead: 0)
                    world.users = []
                    try publish(world, max(1, min(trials / draws, 50)))
                }
                let outcome = try search(world, world.users[world.entropy.below(world.users.count)])
                found.count(outcome != nil)
                if let outcome { rounds.add(Double((outcome + hop - 1) / hop)) }
                if trial % 16 == 0 {
                    progress(0.5 + 0.5 * (Double(step) + Double(trial) / Double(trials)) / Double(kinds.count))
                }
            }
            rows.append(ResultRow("\(kind.name): found", .share(found)))
            rows.append(ResultRow("\(kind.name): median", .number(rounds.quantile(0.5), unit: "round trips")))
            rows.append(ResultRow("\(kind.name): 99th percentile", .number(rounds.quantile(0.99), unit: "round trips")))
        }
        return rows
    }

    /// A search by an honest server that holds nothing of the record itself.
    /// - Returns: milliseconds until it found the current record; `nil` when it did not.
    static func search(_ world: DirectoryWorld, _ user: DirectoryUser) throws(DirectoryExperimentError) -> UInt64? {
        let holders = Set(world.placement.holders(of: user.blindedKey))
        var asked = world.entropy.below(world.listed.count)
        while world.nodes[asked].conduct != .honest || !world.nodes[asked].isUp
            || holders.contains(world.nodes[asked].nodeID)
        { asked = world.entropy.below(world.listed.count) }
        world.nextToken += 1
        let token = world.nextToken
        let started = world.now
        let request = DirectoryMessage.iterate(key: user.blindedKey, epoch: world.now.epoch)
        try world.deliver(.request(from: nil, token: token, message: request.encode()), to: asked)
        try world.run(milliseconds: 12_000, until: { world.answers[token] != nil })
        guard let answer = world.answers.removeValue(forKey: token), case .record(let bytes) = answer.message,
            let record = try? DirectoryRecord(decoding: bytes), record.sequence == user.sequence
        else { return nil }
        return answer.at.milliseconds(since: started)
    }
}
