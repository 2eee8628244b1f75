import Directory
import Glibc
import Primitives
import Records
import Storage
import Wire

/// Experiments in which servers talk to each other.
extension DirectoryExperiments {
    private static let minute: UInt64 = 60_000

    static func repair(
        _ nodes: Int, _ seed: UInt64, _ trials: Int, _ progress: (Double) -> Void
    ) throws(DirectoryExperimentError) -> [ResultRow] {
        // Copies for searches are not repaired, and would count as if they were.
        var configuration = DirectoryConfiguration()
        configuration.kademliaCopies = 0
        let world = try DirectoryWorld(nodes: nodes, seed: seed, configuration: configuration)
        try world.addUsers(max(1, min(trials, userLimit))) { progress($0 * 0.2) }
        world.startAll()
        try world.run(milliseconds: 5 * minute)
        progress(0.3)
        world.strike(liars: 0, conduct: [.silent], dead: 0.5)
        let goal = Placement.rings * Placement.holdersPerRing
        var open = Set(world.users.indices)
        var done = RankedSample()
        let before = world.calls
        // Twice the time allowed, so that a miss shows by how much.
        for half in 1...60 where !open.isEmpty {
            try world.run(milliseconds: minute / 2)
            let holding = world.copies(of: open)
            for user in open.sorted() where holding[user, default: 0] >= goal {
                open.remove(user)
                done.add(Double(half) / 2)
            }
            progress(0.3 + 0.7 * Double(half) / 60)
        }
        let restored = Proportion(successes: done.values.count, trials: world.users.count)
        let inTime = Proportion(successes: done.values.count { $0 <= 15 }, trials: world.users.count)
        let fewest = world.copies(of: Set(world.users.indices)).values.min() ?? 0
        let lost = world.users.count - world.copies(of: Set(world.users.indices)).count
        return [
            ResultRow("20 copies again within 15 minutes", .share(inTime)),
            ResultRow("20 copies again within 30 minutes", .share(restored)),
            ResultRow("median until 20 copies", .number(done.quantile(0.5), unit: "virtual minutes")),
            ResultRow("longest until 20 copies", .number(done.quantile(1), unit: "virtual minutes")),
            ResultRow("fewest copies at the end", .number(lost > 0 ? 0 : Double(fewest), unit: "")),
            ResultRow("records without any copy", .number(Double(lost), unit: "")),
            ResultRow("calls a server", .number(Double(world.calls - before) / Double(nodes), unit: "")),
            .virtualTime(milliseconds: world.elapsed),
        ]
    }

    /// Servers come and go: sessions of one hour in the median, absences alike, so that half are away at any time.
    /// Each comes back with an empty disk, which is harder than what happens. Nobody tells the map.
    static func churn(
        _ nodes: Int, _ seed: UInt64, _ trials: Int, _ progress: (Double) -> Void
    ) throws(DirectoryExperimentError) -> [ResultRow] {
        // One epoch from its first second, so that every record is under one key for the whole time.
        let start = Timestamp(seconds: 20_000 * Timestamp.secondsPerEpoch)
        let world = try DirectoryWorld(nodes: nodes, seed: seed, now: start)
        try world.addUsers(trials, isEarly: true) { progress($0 * 0.1) }
        world.startAll()
        let mean = 3600_000 / Glibc.log(2.0)
        for index in world.nodes.indices { world.push(index, .turn, after: UInt64(world.exponential(mean))) }
        var refresh = VirtualQueue<Int>()
        for index in world.users.indices {
            let due = UInt64(world.entropy.below(12 * 3600)) * 1000
            refresh.push(index, due: start.milliseconds + due)
        }
        world.ledger = CopyLedger(world)
        let minutes = 24 * 60
        for passed in 1...minutes {
            try world.run(
                milliseconds: minute,
                turn: { index throws(DirectoryExperimentError) in
                    try world.turn(index, keepsDisk: false)
                    world.push(index, .turn, after: UInt64(world.exponential(mean)))
                })
            // From midnight on records are under other keys.
            while world.now.epoch == start.epoch, let due = refresh.next, due <= world.now.milliseconds,
                let (_, index) = refresh.pop()
            {
                let stored = try world.refresh(index)
                world.ledger?.recount(index, in: world)
                // Agents try again every minute until half of the holders have it; here, which is harder, until one has.
                let wait = stored > 0 ? 8 * 3600 + world.entropy.below(4 * 3600) : 60
                let next = world.now.adding(seconds: UInt64(wait))
                refresh.push(index, due: next.milliseconds)
            }
            progress(0.1 + 0.9 * Double(passed) / Double(minutes))
        }
        let copies = world.copies(of: Set(world.users.indices))
        // The ledger does not see what is stored after a wait.
        let waited = world.nodes.reduce(0) { $0 + $1.core.counters.queued }
        let lost = world.ledger?.lost.count ?? trials
        let counts = world.ledger?.counts ?? []
        let wrong = counts.indices.count { counts[$0] != copies[$0, default: 0] }
        return [
            ResultRow(
                "records of which no living server had a copy at any moment",
                .share(Proportion(successes: lost, trials: world.users.count))),
            ResultRow(
                "copies of a record at the end, mean",
                .number(Double(copies.values.reduce(0, +)) / Double(world.users.count), unit: "")),
            ResultRow(
                "fewest copies of a record at any moment", .number(Double(world.ledger?.fewest ?? 0), unit: "")),
            ResultRow(
                "fewest copies later than five minutes after it was published",
                .number(Double(world.ledger?.fewestLater ?? 0), unit: "")),
            ResultRow(
                "records of which the count differs from the stores at the end", .number(Double(wrong), unit: "")),
            ResultRow("copies that waited for a check", .number(Double(waited), unit: "")),
            ResultRow(
                "calls a server and minute", .number(Double(world.calls) / Double(nodes) / (24 * 60), unit: "")),
            .virtualTime(milliseconds: world.elapsed),
        ]
    }
}

extension DirectoryWorld {
    /// Wakes every server for the first time, spread over a second.
    func startAll() {
        for index in nodes.indices {
            push(index, .wake(ticket: nodes[index].wakeTicket), after: UInt64(entropy.below(1000)))
        }
    }

    /// Living servers that hold the current record, by user; users without any are left out.
    func copies(of wanted: Set<Int>) -> [Int: Int] {
        let table = Table("directory/records")
        var out: [Int: Int] = [:]
        for index in wanted {
            let key = users[index].blindedKey.bytes.bytes
            for node in nodes where node.isUp {
                guard let held = try? node.store.get(table, key), held == users[index].record else { continue }
                out[index, default: 0] += 1
            }
        }
        return out
    }

    /// A server that was up stops; one that was down starts, on the same map.
    func turn(_ index: Int, keepsDisk: Bool) throws(DirectoryExperimentError) {
        let node = nodes[index]
        if node.isUp {
            if !keepsDisk { ledger?.stopped(node, users, now) }
            node.isUp = false
            return
        }
        try node.restart(keepsDisk: keepsDisk, configuration: configuration, now: now)
        node.core.share(listed, placements: [now.epoch: placement], links: links, checked: checked)
        node.wakeDue = 0
        schedule(index)
    }

    /// A user publishes again. What no holder has taken is not the user's record.
    /// - Returns: how many took it.
    @discardableResult
    func refresh(_ index: Int) throws(DirectoryExperimentError) -> Int {
        var user = users[index]
        user.published = max(now.seconds, user.published + 1)
        let record = try user.record(published: user.published, epoch: now.epoch)
        user.record = record.encode()
        let stored = try publish(user)
        if stored > 0 { users[index] = user }
        return stored
    }
}
