import Correspondence
import Directory
import Envelope
import Primitives
import Records

extension DirectoryExperiments {
    /// Servers that are down, and servers that an agent's map lacks, and has too much.
    private static let down = 0.01
    private static let mapDifference = 0.02

    /// Lookups in a healthy network: one server in a hundred is down, and maps differ by some.
    static func latency(
        _ nodes: Int, _ seed: UInt64, _ trials: Int, _ progress: (Double) -> Void
    ) throws(DirectoryExperimentError) -> [ResultRow] {
        let world = try world(nodes, seed, trials, progress)
        let median = world.latency.medianRoundTrip(&world.entropy)
        let routes: [(name: String, route: LookupRoute, hasHistory: Bool)] = [
            ("direct, by the times of answers", .direct, true), ("direct, 15 of 20", .direct, false),
            ("private, eight answers", .mixed, false),
        ]
        var rows = [ResultRow("median round trip of the world", .number(median, unit: "ms"))]
        var asked = 0.0
        for (step, way) in routes.enumerated() {
            var tally = LookupTally()
            for trial in 0..<trials {
                if isDraw(trial, of: trials) {
                    world.strike(liars: 0, conduct: [.silent], dead: down)
                    world.agentPlacement = differingPlacement(world)
                }
                let user = world.users[world.entropy.below(world.users.count)]
                tally.add(
                    try world.lookup(
                        user, over: way.route, rings: world.agentPlacement?.rings(of: user.blindedKey),
                        hasHistory: way.hasHistory))
                if trial % 256 == 0 {
                    progress(0.4 + 0.6 * (Double(step) + Double(trial) / Double(trials)) / Double(routes.count))
                }
            }
            world.revive()
            asked = tally.asked.mean
            rows += [
                ResultRow("\(way.name): in one hop", .share(tally.oneHop)),
                ResultRow(
                    "\(way.name): median", .number(tally.milliseconds.quantile(0.5) / median, unit: "round trips")),
                ResultRow(
                    "\(way.name): 99th percentile",
                    .number(tally.milliseconds.quantile(0.99) / median, unit: "round trips")),
                ResultRow("\(way.name): holders asked, mean", .number(asked, unit: "")),
            ]
        }
        return rows + bytes(asked: asked, world) + world.times
    }

    /// The map of an agent that is not quite up to date.
    private static func differingPlacement(_ world: DirectoryWorld) -> Placement {
        var nodes = world.listed.filter { _ in world.entropy.unit() > mapDifference }
        for _ in 0..<Int(Double(world.listed.count) * mapDifference) {
            let key = VerifyingKey(world.entropy.bytes())
            nodes.append(Placement.Node(id: Node.id(of: key), cluster: key, prefix: Array(key.bytes.bytes.prefix(2))))
        }
        return Placement(nodes: nodes, epoch: world.now.epoch)
    }

    /// Bytes on the agent's link, from the sizes of the real encodings.
    private static func bytes(asked: Double, _ world: DirectoryWorld) -> [ResultRow] {
        let key = world.users.first?.blindedKey ?? VerifyingKey(Bytes32())
        let request = DirectoryMessage.get(key: key, epoch: world.now.epoch).encode().count
        let answer = DirectoryMessage.missing.encode().count
        let content = Double(request + answer)
        let envelopes = Double(2 * Geometry.envelopeSize)
        return [
            ResultRow("request and answer of one holder", .number(content, unit: "bytes")),
            ResultRow("private lookup: requests and answers", .number(asked * content / 1000, unit: "kB")),
            ResultRow("private lookup with 8 holders: requests and answers", .number(8 * content / 1000, unit: "kB")),
            ResultRow(
                "private lookup: fixed overhead of envelopes beside",
                .number(asked * (envelopes - content) / 1000, unit: "kB")),
        ]
    }
}
