import Directory
import Primitives
import Records
import Wire

/// Attackers who choose their identities.
extension DirectoryExperiments {
    /// Identities that the published attacks need for one key (arXiv 2307.12212 section IV: 45 are enough).
    static let sybils = 45
    private static let targets = 8

    /// The active eclipse (arXiv 2505.01139: Sybils beside the key that answer with false but well-formed data) and that
    /// of a region (arXiv 2307.12212: Sybils fill the key's neighbourhood), against lookups by the map. The attacker is
    /// given what the map denies him: all his servers are admitted.
    static func eclipse(
        _ nodes: Int, _ seed: UInt64, _ trials: Int, _ progress: (Double) -> Void
    ) throws(DirectoryExperimentError) -> [ResultRow] {
        var rows: [ResultRow] = []
        var time: UInt64 = 0
        let attacks: [(name: String, choose: Choice, honestDead: Bool)] = [
            ("active eclipse, 45 admitted Sybils beside the key", .besideKey, false),
            ("region eclipse, 45 admitted Sybils and the region's own servers silent", .besideKey, true),
            ("the same, if the next shared random value could be foreseen", .besidePlaces, false),
        ]
        for (step, attack) in attacks.enumerated() {
            var blocked = Proportion()
            var noticed = Proportion()
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
                noticed.count(world.isNoticed(user, by: 0..<nodes))
                if attack.honestDead { world.silenceRegion(of: user.blindedKey, nearest: 20, of: nodes) }
                for trial in 0..<max(1, trials / targets) {
                    for index in liars {
                        world.nodes[index].conduct = DirectoryConduct.lies[trial % DirectoryConduct.lies.count]
                    }
                    blocked.count(try world.lookup(user, over: .mixed).end != .found)
                }
                time += world.elapsed
                progress((Double(step) + Double(target + 1) / Double(targets)) / Double(attacks.count))
            }
            rows.append(ResultRow("\(attack.name): lookups blocked", .share(blocked)))
            rows.append(ResultRow("\(attack.name): attacks that a server noticed on the map", .share(noticed)))
        }
        return rows + [.virtualTime(milliseconds: time)]
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

    /// Whether one of these servers at least raises an alarm at its hourly look at the map: the own place, and the places of
    /// the record if it holds that.
    func isNoticed(_ user: DirectoryUser, by servers: Range<Int>) -> Bool {
        let holders = Set(placement.holders(of: user.blindedKey))
        return servers.contains { index in
            var watch = EclipseWatch(now: now)
            let keys = holders.contains(nodes[index].nodeID) ? [user.blindedKey] : []
            return watch.check(placement, own: nodes[index].nodeID, keys: keys, now: now) != nil
        }
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
