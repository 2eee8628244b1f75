import Federation
import Glibc
import Primitives
import Records
import Storage
import Wire

/// The experiments behind the map's figures (specs/results/map.md).
public enum MapExperiments {
    public static let all: [DirectoryExperiment] = [
        DirectoryExperiment(
            name: "map-upkeep",
            description: "bytes a second and memory of a map in which every server renews itself once a day",
            run: { (n, s, t, p) throws(DirectoryExperimentError) in try upkeep(n, s, t, p) }),
        DirectoryExperiment(
            name: "map-difference", description: "what it costs to learn 1, 10, 100 and 1000 changes",
            run: { (n, s, t, p) throws(DirectoryExperimentError) in try difference(n, s, p) }),
    ]

    /// Maps that are simulated whole.
    private static let cores = 24
    private static let degree = 4

    private static func typed(_ error: any Error) -> DirectoryExperimentError {
        switch error {
        case let error as StorageError: .storage(error)
        case let error as DescriptorError: .descriptor(error)
        default: .storage(.corrupt("\(error)"))
        }
    }

    // MARK: Upkeep

    /// - Parameter trials: virtual seconds.
    static func upkeep(
        _ nodes: Int, _ seed: UInt64, _ trials: Int, _ progress: (Double) -> Void
    ) throws(DirectoryExperimentError) -> [ResultRow] {
        let population = MapPopulation(seed: seed, servers: nodes)
        var rows: [ResultRow] = []
        do {
            let whole = try build(population, MapConfiguration(), &rows)
            try rows.append(contentsOf: parts(whole, population))
            var world = try MapWorld(cores: cores, of: whole, seed: seed)
            var entropy = Entropy(seed: seed)
            try world.connect(degree: degree)
            try world.run(milliseconds: 120_000)
            world.forgetTraffic()
            let clock = CoreClock()
            let changes = try renew(&world, population, trials, &entropy, progress)
            rows += report(world, changes, trials, clock.seconds(), population)
        } catch { throw typed(error) }
        return rows
    }

    /// Servers renew themselves at the rate of once a day each, and clusters sign snapshot roots at the same time.
    private static func renew(
        _ world: inout MapWorld, _ population: MapPopulation, _ seconds: Int, _ entropy: inout Entropy,
        _ progress: (Double) -> Void
    ) throws -> (count: Int, bytes: Int, statements: Int) {
        let roots = try speakers(population)
        let day = Double(Timestamp.secondsPerEpoch)
        var order = Array(0..<population.servers)
        entropy.shuffle(&order)
        var changes = (count: 0, bytes: 0, statements: 0)
        var spoken = 0
        // Clusters say what they measured within these seconds of the day.
        let measuring = 75_600.0
        for second in 0..<seconds {
            progress(Double(second) / Double(seconds))
            let passed = Double(second + 1) / day
            while changes.count < min(order.count, Int(passed * Double(population.servers))) {
                let server = try population.server(order[changes.count], days: 1, at: world.now)
                changes.count += 1
                changes.bytes += server.encode().count
                try world.change(server, at: entropy.below(world.cores.count))
            }
            while spoken < min(roots.count, Int(passed * Double(roots.count))) {
                try world.speak(roots[spoken], at: entropy.below(world.cores.count))
                spoken += 1
            }
            let due = Double(second + 1) / measuring * Double(population.clusters)
            while changes.statements < min(population.clusters, Int(due)) {
                let statement = population.statement(changes.statements, epoch: world.now.epoch)
                changes.statements += 1
                try world.state(statement, at: entropy.below(world.cores.count))
            }
            try world.run(milliseconds: 1000)
        }
        return changes
    }

    /// A root of each cluster that speaks in the epoch.
    private static func speakers(_ population: MapPopulation) throws -> [SnapshotRoot] {
        let epoch = MapPopulation.start.epoch
        let ids = (0..<population.clusters).map { population.clusterKey($0).publicKey }
        let speaking = SpeakerList(epoch: epoch, value: Bytes32(), clusters: ids).speaking
        return try ids.indices.filter { speaking.contains(ids[$0]) }.map {
            try population.root($0 * MapPopulation.serversPerCluster, epoch: epoch)
        }
    }

    private static func report(
        _ world: borrowing MapWorld, _ changes: (count: Int, bytes: Int, statements: Int), _ seconds: Int,
        _ cpu: Double,
        _ population: MapPopulation
    ) -> [ResultRow] {
        let perNode = Double(seconds) * Double(world.cores.count)
        let sent = Double(world.traffic.frames * MapWorld.frameSize) / perNode
        return [
            ResultRow("clusters", .number(Double(population.clusters), unit: "")),
            ResultRow("changes to learn", .number(Double(changes.count), unit: "")),
            ResultRow(
                "their own size, learned once", .number(Double(changes.bytes) / Double(seconds), unit: "B/s")),
            ResultRow("sent by a node, in frames", .number(sent, unit: "B/s")),
            ResultRow("sent and received by a node, in frames", .number(2 * sent, unit: "B/s")),
            ResultRow("sent by a node, in messages", .number(Double(world.traffic.bytes) / perNode, unit: "B/s")),
            ResultRow("a change reaches every core, median", .number(world.spreadSeconds.quantile(0.5), unit: "s")),
            ResultRow(
                "a change reaches every core, 99th percentile",
                .number(world.spreadSeconds.quantile(0.99), unit: "s")),
            ResultRow("changes that did not, at the end", .number(Double(world.waiting), unit: "")),
            ResultRow("statements of capacity made", .number(Double(changes.statements), unit: "")),
            ResultRow("of these known to every core", .number(Double(world.statementsEverywhere), unit: "")),
            ResultRow("processor time of a node", .number(1000 * cpu / perNode, unit: "ms/s")),
        ]
    }

    // MARK: Difference

    static func difference(
        _ nodes: Int, _ seed: UInt64, _ progress: (Double) -> Void
    ) throws(DirectoryExperimentError) -> [ResultRow] {
        let population = MapPopulation(seed: seed, servers: nodes)
        var rows: [ResultRow] = []
        do {
            for version in [MapVersion.second, MapVersion.first] {
                var configuration = MapConfiguration()
                configuration.highestVersion = version
                var ignored: [ResultRow] = []
                let whole = try build(population, configuration, &ignored)
                for count in [1, 10, 100, 1000] where count <= nodes {
                    let row = try learn(count, of: population, whole, seed)
                    rows.append(
                        ResultRow("version \(version): \(count) changes, bytes by their own size", row.frames))
                    rows.append(ResultRow("version \(version): \(count) changes, without padding", row.messages))
                }
                progress(version == MapVersion.second ? 0.5 : 1)
            }
        } catch { throw typed(error) }
        return rows
    }

    /// One of two equal maps changes while they are apart; then they are linked, until they are equal again.
    private static func learn(
        _ count: Int, of population: MapPopulation, _ whole: MapCore, _ seed: UInt64
    ) throws -> (frames: ResultRow.Value, messages: ResultRow.Value) {
        var world = try MapWorld(cores: 2, of: whole, seed: seed)
        var own = 0
        for number in 0..<count {
            let server = try population.server(number, days: 1, at: world.now.adding(milliseconds: 1))
            own += server.encode().count
            try world.change(server, at: 0)
        }
        try world.connect(degree: 1)
        try world.run(milliseconds: 600_000, untilSpread: true)
        guard world.waiting == 0 else { throw StorageError.corrupt("the maps did not become equal") }
        let frames = Double(world.traffic.frames * MapWorld.frameSize) / Double(own)
        return (
            .number(frames, unit: "times"), .number(Double(world.traffic.bytes) / Double(own), unit: "times")
        )
    }

    // MARK: Building

    /// A map of the whole population, as a start reads it from the store; says what memory it takes.
    static func build(
        _ population: MapPopulation, _ configuration: MapConfiguration, _ rows: inout [ResultRow]
    ) throws(StorageError) -> MapCore {
        let before = residentBytes()
        let root = population.clusterKey(0).publicKey
        let core = try MapCore(
            configuration: configuration, admission: Admission(roots: [root]), now: MapPopulation.start,
            store: PopulationStore(population: population))
        let after = residentBytes()
        guard core.serverTotal == population.servers, core.clusterTotal == population.clusters else {
            throw .corrupt("\(core.serverTotal) servers and \(core.clusterTotal) clusters were admitted")
        }
        rows.append(
            ResultRow("memory of a map, resident", .number(Double(after - before) / 1_000_000, unit: "MB")))
        return core
    }

    /// What a node keeps of the map besides its core, each part for itself.
    private static func parts(_ core: MapCore, _ population: MapPopulation) throws(StorageError) -> [ResultRow] {
        let now = MapPopulation.start
        var store = PopulationStore()
        for epoch in [now.epoch - 1, now.epoch] {
            for cluster in 0..<population.clusters {
                let key =
                    withUnsafeBytes(of: epoch.bigEndian) { Array($0) }
                    + population.clusterKey(cluster).publicKey.bytes.bytes
                store.statements[key] = population.statement(cluster, epoch: epoch)
            }
        }
        // Kept to the end, and made without anything that is freed again, where a part would find room uncounted.
        let table = core.currentTable(at: now)
        var nodes: [ServerGlance] = []
        nodes.reserveCapacity(table.count)
        var measured = [NodeID: Double](minimumCapacity: table.count)
        for place in 0..<table.count {
            guard let server = table.glance(at: place) else { continue }
            nodes.append(server)
            measured[server.nodeID] = 1
        }
        var sizes: [(name: String, bytes: Int)] = []
        var last = residentBytes()
        func note(_ name: String) {
            let size = residentBytes()
            sizes.append((name, size - last))
            last = size
        }
        let ledger = try MapCore(admission: Admission(roots: []), now: now, store: store)
        note("statements of capacity of two days")
        let view = core.view(at: now)
        note("path view")
        let weights = RelayWeights(measured)
        note("weights of all relays")
        let index = PathIndex(view, epoch: now.epoch)
        note("path index")
        let keys = LinkKeyIndex(view.table)
        note("link keys")
        let isWhole =
            ledger.statementTotal == 2 * population.clusters && weights.count == population.servers
            && index.clusterCount == population.clusters
            && measured.count == population.servers && nodes.allSatisfy { !Array(keys.places(of: $0.linkKey)).isEmpty }
        return sizes.map {
            ResultRow("memory besides: \($0.name)", .number(Double($0.bytes) / 1_000_000, unit: "MB"))
        } + [ResultRow("all parts are whole", .number(isWhole ? 1 : 0, unit: ""))]
    }

    private static func residentBytes() -> Int {
        guard let file = fopen("/proc/self/statm", "r") else { return 0 }
        defer { fclose(file) }
        var text = [UInt8](repeating: 0, count: 128)
        let count = fread(&text, 1, text.count, file)
        let words = text.prefix(count).split(separator: UInt8(ascii: " "))
        guard words.count > 1, let pages = Int(String(decoding: words[1], as: UTF8.self)) else { return 0 }
        return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
    }
}

/// Processor time of this process.
private struct CoreClock {
    private let start = clock()

    func seconds() -> Double { Double(clock() - start) / Double(CLOCKS_PER_SEC) }
}
