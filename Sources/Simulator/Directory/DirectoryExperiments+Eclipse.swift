import Directory
import Primitives
import Records
import Wire

/// Attackers who choose their identities.
extension DirectoryExperiments {
    /// Identities that the published attacks need for one key (arXiv 2307.12212 section IV: 45 are enough).
    private static let sybils = 45
    private static let targets = 8

    /// Servers that no cluster of the map endorses: they answer, join, and offer themselves to everybody.
    static func sybil(
        _ nodes: Int, _ seed: UInt64, _ trials: Int, _ progress: (Double) -> Void
    ) throws(DirectoryExperimentError) -> [ResultRow] {
        let world = try joined(nodes, seed, strangers: trials) { progress($0 * 0.7) }
        let honest = 0..<nodes
        let strangers = nodes..<world.nodes.count
        let before = strangers.reduce(UInt64(0)) { $0 + world.nodes[$1].core.counters.hits }
        try publish(world, 100)
        progress(0.8)
        var found = Proportion()
        for _ in 0..<300 {
            let user = world.users[world.entropy.below(world.users.count)]
            found.count(try world.lookup(user, over: .mixed).end == .found)
        }
        var searched = Proportion()
        for _ in 0..<100 {
            searched.count(try search(world, world.users[world.entropy.below(world.users.count)]) != nil)
        }
        progress(1)
        var holding = Proportion()
        var serving: UInt64 = 0
        var asHolder = Proportion()
        for index in strangers {
            holding.count(((try? DirectoryCore.recordCount(world.nodes[index].store)) ?? 0) > 0)
            serving += world.nodes[index].core.counters.hits
        }
        for user in world.users {
            for holder in world.placement.holders(of: user.blindedKey) {
                asHolder.count(world.indices[holder].map { strangers.contains($0) } ?? true)
            }
        }
        let copies = honest.reduce(0) { $0 + ((try? DirectoryCore.recordCount(world.nodes[$1].store)) ?? 0) }
        return [
            ResultRow("strangers among holders", .share(asHolder)),
            ResultRow("strangers that store any record", .share(holding)),
            ResultRow("records served by strangers", .number(Double(serving - before), unit: "")),
            ResultRow("copies at the network's own servers", .number(Double(copies), unit: "")),
            ResultRow("lookups that found the record", .share(found)),
            ResultRow("searches without a map that found it", .share(searched)),
        ]
    }

    /// The active eclipse (arXiv 2505.01139: Sybils beside the key that answer with false but well-formed data) and that
    /// of a region (arXiv 2307.12212: Sybils fill the key's neighbourhood), against lookups by the map. The attacker is
    /// given what the map denies him: all his servers are admitted.
    static func eclipse(
        _ nodes: Int, _ seed: UInt64, _ trials: Int, _ progress: (Double) -> Void
    ) throws(DirectoryExperimentError) -> [ResultRow] {
        var rows: [ResultRow] = []
        let attacks: [(name: String, choose: Choice, honestDead: Bool)] = [
            ("active eclipse, 45 admitted Sybils beside the key", .besideKey, false),
            ("region eclipse, 45 admitted Sybils and the region's own servers silent", .besideKey, true),
            ("the same, if the next shared random value could be foreseen", .besidePlaces, false),
        ]
        for (step, attack) in attacks.enumerated() {
            var blocked = Proportion()
            for target in 0..<targets {
                let world = try DirectoryWorld(nodes: nodes, seed: seed &+ UInt64(target))
                try world.addUsers(1)
                guard let user = world.users.first else { continue }
                let seeds = world.grind(sybils, for: user, attack.choose, tries: min(60 * nodes, 60_000))
                var liars: [Int] = []
                for seed in seeds { liars.append(try world.addStranger(seed: seed)) }
                // Admitted like everybody else; the user publishes to the map that has them.
                world.list(world.nodes)
                try world.publish(user)
                if attack.honestDead { world.silenceRegion(of: user.blindedKey, nearest: 20, of: nodes) }
                for trial in 0..<max(1, trials / targets) {
                    for index in liars {
                        world.nodes[index].conduct = DirectoryConduct.lies[trial % DirectoryConduct.lies.count]
                    }
                    blocked.count(try world.lookup(user, over: .mixed).end != .found)
                }
                progress((Double(step) + Double(target + 1) / Double(targets)) / Double(attacks.count))
            }
            rows.append(ResultRow("\(attack.name): lookups blocked", .share(blocked)))
        }
        return rows
    }
}

/// Beside what an attacker wants his servers to lie.
enum Choice {
    /// The record's key in Kademlia's space.
    case besideKey
    /// The record's four indices on the circle.
    case besidePlaces
}

extension DirectoryWorld {
    /// Seeds of the identities that suit the attacker best, of so many that he tries.
    func grind(_ count: Int, for user: DirectoryUser, _ choice: Choice, tries: Int) -> [UInt64] {
        let target = DirectoryCore.kademliaTarget(of: user.blindedKey).bytes
        let shared = BLAKE2b.h(Domain("hulda/srv"), withUnsafeBytes(of: now.epoch.littleEndian) { Array($0) })
        var starts: [[UInt8]] = []
        for ring in 0..<Placement.rings {
            let index: Bytes32 = BLAKE2b.h(Domain("hulda/dir"), user.blindedKey.bytes, UInt64(ring))
            starts.append(index.bytes)
        }
        var best: [(score: [UInt8], seed: UInt64)] = []
        for _ in 0..<tries {
            let seed = entropy.uint64()
            var own = Entropy(seed: seed)
            let id = Node.id(of: SigningKey(&own).publicKey)
            switch choice {
            case .besideKey:
                let distance: [UInt8] = zip(id.bytes, target).map { $0 ^ $1 }
                best.append((distance, seed))
            case .besidePlaces:
                var hash = BLAKE2b(outputCount: 32, domain: Domain("hulda/dir-pos"))
                hash.update(id)
                hash.update(shared)
                let place: Bytes32 = hash.finalize()
                let ways: [[UInt8]] = starts.map { DirectoryWorld.clockwise(from: $0, to: place.bytes) }
                let nearest = ways.min { $0.lexicographicallyPrecedes($1) } ?? place.bytes
                best.append((nearest, seed))
            }
        }
        best.sort { $0.score.lexicographicallyPrecedes($1.score) }
        return best.prefix(count).map(\.seed)
    }

    /// The first eight bytes of the way along the circle.
    private static func clockwise(from start: [UInt8], to end: [UInt8]) -> [UInt8] {
        func word(_ bytes: [UInt8]) -> UInt64 { bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }
        return withUnsafeBytes(of: (word(end) &- word(start)).bigEndian) { Array($0) }
    }

    /// Stops the network's own servers that are closest to a key.
    func silenceRegion(of key: VerifyingKey, nearest count: Int, of own: Int) {
        let target = DirectoryCore.kademliaTarget(of: key).bytes
        var ordered: [(distance: [UInt8], node: SimulatedDirectory)] = []
        for node in nodes.prefix(own) { ordered.append((zip(node.nodeID.bytes, target).map { $0 ^ $1 }, node)) }
        ordered.sort { $0.distance.lexicographicallyPrecedes($1.distance) }
        for entry in ordered.prefix(count) { entry.node.isUp = false }
    }
}
