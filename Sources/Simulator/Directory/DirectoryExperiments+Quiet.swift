import Directory
import Primitives
import Records
import Wire

/// Days on which nobody attacks.
extension DirectoryExperiments {
    /// Servers that come onto the map in the course of a day, and as many that leave it, of so many one.
    private static let changing = 10
    private static let leastJudged = 50

    /// `trials` days of a network that nobody attacks, each of another seed, from the first second of an epoch to its last.
    /// Every server runs by its own timers, so it looks out once an hour, refreshes its table and searches; it restarts once
    /// a day with its disk; records are refreshed after 8 to 12 hours; each hour some servers leave the map, and others
    /// come. Who raises an alarm raises a false one.
    static func quiet(
        _ nodes: Int, _ seed: UInt64, _ trials: Int, _ progress: (Double) -> Void
    ) throws(DirectoryExperimentError) -> [ResultRow] {
        // Of fewer nobody judges.
        guard nodes >= leastJudged else { throw .tooFewNodes(needed: leastJudged) }
        var tally = QuietTally()
        var time: UInt64 = 0
        for day in 0..<trials {
            let network = try QuietNetwork(nodes: nodes, seed: seed &+ UInt64(day) << 32, spare: nodes / changing)
            for hour in 0..<24 {
                try network.pass(hour: hour)
                progress((Double(day) + Double(hour + 1) / 24) / Double(trials))
            }
            tally.add(network)
            time += network.world.elapsed
        }
        return tally.rows + [.virtualTime(milliseconds: time)]
    }
}

/// What became of quiet days.
struct QuietTally {
    private(set) var days = Proportion()
    private var kinds: [EclipseWatch.Alarm.Kind: Int] = [:]
    private var (searches, restarts, changes): (UInt64, Int, Int) = (0, 0, 0)

    mutating func add(_ network: QuietNetwork) {
        let world = network.world
        days.add(
            Proportion(
                successes: Set(world.alarms.map(\.server)).count,
                trials: Int(network.serverMilliseconds / (24 * 3_600_000))))
        for (_, alarm) in world.alarms { kinds[alarm.kind, default: 0] += 1 }
        for node in world.nodes { searches += node.core.counters.searches }
        searches += network.searchesBefore
        restarts += network.restarts
        changes += network.changes
    }

    var rows: [ResultRow] {
        func number(_ name: String, _ value: Int) -> ResultRow { ResultRow(name, .number(Double(value), unit: "")) }
        return [ResultRow("nobody attacks: server-days with an alarm", .share(days))]
            + EclipseWatch.Alarm.Kind.allCases.map { number("alarms, \($0.rawValue)", kinds[$0] ?? 0) } + [
                number("searches that were judged", Int(clamping: searches)), number("restarts", restarts),
                number("servers that came onto the map or left it", changes),
            ]
    }
}

/// A network that nobody attacks, from midnight on.
final class QuietNetwork {
    private static let hour: UInt64 = 3_600_000
    /// Longest time that a server is away when it restarts, in milliseconds.
    private static let absence = 600_000
    /// Servers for each record.
    private static let recordsEach = 4

    let world: DirectoryWorld
    private let epoch: UInt64
    /// Servers on the map, and those that come later.
    private(set) var listed: [Int]
    private var spare: [Int]
    /// When each record is refreshed.
    private var refreshes = VirtualQueue<Int>()
    private(set) var restarts = 0
    private(set) var changes = 0
    /// Of lives that are over.
    private(set) var searchesBefore: UInt64 = 0
    /// For which servers were up and on the map, added up.
    private(set) var serverMilliseconds: UInt64 = 0

    init(nodes: Int, seed: UInt64, spare count: Int) throws(DirectoryExperimentError) {
        let start = Timestamp(seconds: 20_000 * Timestamp.secondsPerEpoch)
        world = try DirectoryWorld(nodes: nodes + count, seed: seed, now: start)
        epoch = start.epoch
        listed = Array(0..<nodes)
        spare = Array(nodes..<nodes + count)
        world.list(Array(world.nodes.prefix(nodes)))
        world.drawTables(of: 0..<nodes)
        for index in listed { world.fillTable(of: index) }
        for index in spare { world.nodes[index].isUp = false }
        try world.addUsers(max(1, nodes / QuietNetwork.recordsEach), isEarly: true)
        for index in listed {
            world.schedule(index)
            world.push(index, .turn, after: UInt64(world.entropy.below(Int(24 * QuietNetwork.hour))))
        }
        for index in world.users.indices {
            refreshes.push(index, due: start.milliseconds + UInt64(world.entropy.below(12 * 3600)) * 1000)
        }
    }

    /// Lets an hour pass: minute by minute, for users publish in between. At its end the map changes.
    func pass(hour: Int) throws(DirectoryExperimentError) {
        for _ in 0..<60 {
            serverMilliseconds += UInt64(listed.count { world.nodes[$0].isUp }) * (QuietNetwork.hour / 60)
            try world.run(milliseconds: QuietNetwork.hour / 60, turn: turn)
            // The last refreshes of the day are for the day after.
            while world.now.epoch == epoch, let due = refreshes.next, due <= world.now.milliseconds,
                let (_, index) = refreshes.pop()
            {
                try world.refresh(index)
                let wait = UInt64(8 * 3600 + world.entropy.below(4 * 3600))
                refreshes.push(index, due: world.now.milliseconds + wait * 1000)
            }
        }
        guard hour < 23 else { return }
        let count = (spare.count + 23 - hour) / (24 - hour)
        try change(count)
    }

    /// A server stops, or comes back with its disk.
    private func turn(_ index: Int) throws(DirectoryExperimentError) {
        guard listed.contains(index) else { return }
        let node = world.nodes[index]
        if !node.isUp { searchesBefore += node.core.counters.searches }
        try world.turn(index, keepsDisk: true)
        guard node.isUp else {
            restarts += 1
            return world.push(index, .turn, after: UInt64(1 + world.entropy.below(QuietNetwork.absence)))
        }
        try world.join(index)
    }

    /// Some servers leave the map for good and others come; all are told.
    private func change(_ count: Int) throws(DirectoryExperimentError) {
        var newcomers: [Int] = []
        for _ in 0..<count {
            guard let new = spare.popLast() else { break }
            let place = world.entropy.below(listed.count)
            world.nodes[listed[place]].isUp = false
            listed[place] = new
            newcomers.append(new)
        }
        guard !newcomers.isEmpty else { return }
        changes += 2 * newcomers.count
        try tell(listed)
        for index in newcomers {
            try world.turn(index, keepsDisk: true)
            try world.join(index)
        }
    }

    /// - Parameter members: the servers on the map now. Who is down learns it when it starts.
    func tell(_ members: [Int]) throws(DirectoryExperimentError) {
        world.know(members.map { world.nodes[$0] })
        for index in listed where world.nodes[index].isUp { try world.deliver(.map(world.listed), to: index) }
    }
}
