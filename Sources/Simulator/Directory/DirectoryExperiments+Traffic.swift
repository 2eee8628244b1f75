import Directory
import Glibc
import Primitives
import Records

/// Everything at once.
extension DirectoryExperiments {
    private static let hour: UInt64 = 3_600_000
    private static let length = hour / 4
    /// Servers stop after so many hours on the mean and are away for so many milliseconds.
    private static let session = 4.0
    private static let absence = 300_000.0
    /// Lookups of each user.
    private static let lookupsEach = 2
    /// Parts of the time between which users act.
    private static let parts = 90
    /// Hours between two refreshes of a record on the mean.
    private static let refreshed = 10.0
    /// Of so many servers one is new and joins.
    private static let newcomers = 100

    /// A quarter of an hour of a network that has been running for long: every user's record is published, refreshed within
    /// 8 to 12 hours, and looked up; servers ping, search and refresh their tables, stop and come back with their disks, and
    /// repair copies meanwhile; one of a hundred is on the map and comes for the first time; round trips are the world's.
    /// `trials` are users.
    static func traffic(
        _ nodes: Int, _ seed: UInt64, _ trials: Int, _ progress: (Double) -> Void
    ) throws(DirectoryExperimentError) -> [ResultRow] {
        let world = try DirectoryWorld(nodes: nodes, seed: seed)
        let old = 0..<nodes - nodes / newcomers
        world.drawTables(of: old)
        for index in old { world.fillTable(of: index) }
        for index in old.upperBound..<nodes { world.nodes[index].isUp = false }
        try world.addUsers(trials) { progress($0 * 0.2) }
        for index in old {
            world.schedule(index)
            world.push(index, .turn, after: UInt64(world.exponential(session * Double(hour))))
        }
        for index in old.upperBound..<nodes {
            world.push(index, .turn, after: UInt64(world.entropy.below(Int(length))))
        }
        var refreshes = (0..<trials).filter { _ in world.entropy.unit() < Double(length) / (refreshed * Double(hour)) }
        world.entropy.shuffle(&refreshes)
        let refreshCount = refreshes.count
        var tally = LookupTally()
        var restarts = 0
        for part in 1...parts {
            try world.run(
                milliseconds: length / UInt64(parts),
                turn: { index throws(DirectoryExperimentError) in
                    restarts += world.nodes[index].isUp ? 1 : 0
                    try world.turn(index, keepsDisk: true)
                    if world.nodes[index].isUp { try world.join(index) }
                    let mean = world.nodes[index].isUp ? session * Double(hour) : absence
                    world.push(index, .turn, after: UInt64(world.exponential(mean)))
                })
            while refreshes.count > refreshCount * (parts - part) / parts, let user = refreshes.popLast() {
                try world.refresh(user)
            }
            while tally.found.trials < trials * lookupsEach * part / parts {
                tally.add(try world.lookup(world.users[world.entropy.below(world.users.count)], over: .mixed))
            }
            progress(0.2 + 0.8 * Double(part) / Double(parts))
        }
        return trafficRows(world, tally, restarts: restarts, refreshes: refreshCount)
    }

    /// Of those that came for the first time, who has found others.
    private static func joined(_ world: DirectoryWorld) -> Proportion {
        let new = world.nodes.suffix(world.nodes.count / newcomers).filter(\.isUp)
        return Proportion(successes: new.count { $0.core.contactCount >= 20 }, trials: new.count)
    }

    private static func trafficRows(
        _ world: DirectoryWorld, _ tally: LookupTally, restarts: Int, refreshes: Int
    ) -> [ResultRow] {
        let copies = world.copies(of: Set(world.users.indices))
        var alarms: UInt64 = 0
        var searches: UInt64 = 0
        var repairs: UInt64 = 0
        for node in world.nodes {
            alarms += node.core.counters.alarms
            searches += node.core.counters.searches
            repairs += node.core.counters.repairs
        }
        let count = Double(world.nodes.count)
        func each(_ name: String, _ number: Double, _ unit: String = "") -> ResultRow {
            ResultRow(name, .number(number / count, unit: unit))
        }
        return [
            ResultRow("lookups that found the current record", .share(tally.found)),
            ResultRow("in one hop", .share(tally.oneHop)),
            ResultRow("records without a copy at the end", .number(Double(world.users.count - copies.count), unit: "")),
            ResultRow("fewest copies of a record at the end", .number(Double(copies.values.min() ?? 0), unit: "")),
            ResultRow("records refreshed", .number(Double(refreshes), unit: "")),
            ResultRow("servers that stopped and came back", .number(Double(restarts), unit: "")),
            ResultRow("newcomers that know at least twenty others", .share(joined(world))),
            each("calls of a server to others, a second", Double(world.calls * 1000) / Double(length)),
            each("bytes of a server to others, a second", Double(world.callBytes * 1000) / Double(length)),
            each("searches of a server", Double(searches)),
            each("copies that a server handed on", Double(repairs)),
            // Each server watched for a part of a day.
            ResultRow(
                "alarms a server and day",
                .share(
                    Proportion(
                        successes: Int(clamping: alarms), trials: world.nodes.count * Int(length) / Int(24 * hour)))),
        ] + world.times
    }
}

extension DirectoryWorld {
    /// Servers of the map that a server begins with, as a node does.
    private static let doors = 40

    /// A server that has started looks for others.
    func join(_ index: Int) throws(DirectoryExperimentError) {
        let doors = (0..<DirectoryWorld.doors).map { _ in nodes[entropy.below(nodes.count)].endpoint }
        try deliver(.join(doors.filter { $0 != nodes[index].endpoint }), to: index)
    }
}
