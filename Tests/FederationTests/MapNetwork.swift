import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Federation

/// A cluster with its key, for descriptors.
struct TestCluster: ~Copyable {
    let key: SigningKey
    var id: VerifyingKey { key.publicKey }

    init(_ number: Int) {
        var entropy = Entropy(seed: 1_000_000 + UInt64(number))
        key = SigningKey(&entropy)
    }

    func descriptor(
        endorsing: [VerifyingKey] = [], sequence: UInt64 = 1, expiry: UInt64 = MapNetwork.start.seconds + 86_400
    ) throws -> ClusterDescriptor {
        try ClusterDescriptor(
            name: "cluster", sequence: sequence, expiry: expiry, endorsements: endorsing, contact: "", software: "test",
            policy: [], key: key)
    }

    /// The descriptor of this cluster's server of that number.
    func server(
        _ number: Int, sequence: UInt64 = 1, expiry: UInt64 = MapNetwork.start.seconds + 86_400,
        roles: ServerRoles = [.relay], prefix: (UInt8, UInt8) = (127, 0), epoch: UInt64 = MapNetwork.start.epoch
    ) throws -> ServerDescriptor {
        var entropy = Entropy(seed: 2_000_000 + UInt64(number))
        let serverKey = SigningKey(&entropy)
        let address = SocketAddress(v4: (prefix.0, prefix.1, 0, 1), port: UInt16(1 + number % 60_000))
        return try ServerDescriptor(
            certificate: ServerCertificate(
                server: serverKey.publicKey, expiry: MapNetwork.start.seconds + 30 * 86_400, cluster: key),
            sequence: sequence, expiry: expiry, linkKey: X25519PublicKey(entropy.bytes()), tcp: address, udp: address,
            roles: roles, mixKeys: [MixKeyEntry(epoch: epoch, key: X25519PublicKey(entropy.bytes()))],
            software: "test", key: serverKey)
    }
}

extension Entropy {
    /// Turns bits, cuts the end off, and puts bytes in: up to three of these.
    mutating func damage(_ bytes: inout [UInt8]) {
        for _ in 0..<below(4) where !bytes.isEmpty {
            let place = below(bytes.count)
            switch below(3) {
            case 0: bytes[place] ^= 1 << UInt8(below(8))
            case 1: bytes.removeLast(below(bytes.count + 1))
            default: bytes.insert(UInt8(below(256)), at: place)
            }
        }
    }
}

/// Many maps in one process: frames arrive in the order of their delay, drawn from a seed.
struct MapNetwork: ~Copyable {
    static let start = Timestamp(seconds: 1_800_000_000)

    private struct Frame {
        let due: UInt64
        let ticket: UInt64
        let to: Int
        let link: UInt64
        let body: [UInt8]
    }

    var cores: [MapCore] = []
    var stores: [MemoryStore] = []
    var entropy: Entropy
    var now = MapNetwork.start
    /// Seconds by which somebody's clock is ahead.
    var ahead: [Int: UInt64] = [:]
    /// Of a hundred frames so many are lost.
    var lossPercent = 0
    var largestFrame = 0
    /// Agents that were told that they have everything, and when.
    var compared: [(node: Int, link: UInt64, time: Timestamp)] = []
    /// The highest version that nodes added from now on speak.
    var pinned = MapVersion.highest
    private var frames: [Frame] = []
    /// When the last frame of each direction of a link arrives.
    private var arrivals: [UInt64: UInt64] = [:]
    private var links: [UInt64: (Int, Int)] = [:]
    private var nextTicket: UInt64 = 0
    private var nextLink: UInt64 = 0

    init(seed: UInt64) { entropy = Entropy(seed: seed) }

    @discardableResult
    mutating func addNode(
        roots: Set<VerifyingKey>, configuration: MapConfiguration = MapConfiguration()
    ) throws -> Int {
        stores.append(MemoryStore())
        var configuration = configuration
        configuration.highestVersion = min(configuration.highestVersion, pinned)
        cores.append(
            try MapCore(
                configuration: configuration, admission: Admission(roots: roots), now: now,
                store: stores[stores.count - 1]))
        return cores.count - 1
    }

    mutating func publish(_ node: Int, _ bytes: [UInt8]) throws {
        let effects = try cores[node].publish(bytes, now: clock(node), store: &stores[node])
        perform(effects, of: node)
    }

    /// Links two nodes; one that is an agent is announced as such.
    @discardableResult
    mutating func connect(_ left: Int, _ right: Int) throws -> UInt64 {
        let link = nextLink
        nextLink += 1
        links[link] = (left, right)
        for (node, other) in [(left, right), (right, left)] {
            let peer = cores[other].configuration.isAgent ? nil : Bytes32()
            try handle(.linkUp(link: link, peer: peer), node)
        }
        return link
    }

    mutating func disconnect(_ link: UInt64) throws {
        guard let (left, right) = links.removeValue(forKey: link) else { return }
        for node in [left, right] { try handle(.linkDown(link: link), node) }
    }

    /// Starts a node again from its store, with the version of now, and its links.
    mutating func restart(_ node: Int, roots: Set<VerifyingKey>) throws {
        let own = links.filter { $0.value.0 == node || $0.value.1 == node }.sorted { $0.key < $1.key }
        for (link, _) in own { try disconnect(link) }
        var configuration = cores[node].configuration
        configuration.highestVersion = pinned
        cores[node] = try MapCore(
            configuration: configuration, admission: Admission(roots: roots), now: now, store: stores[node])
        for (_, (left, right)) in own { try connect(left, right) }
    }

    func clock(_ node: Int) -> Timestamp { now.adding(seconds: ahead[node, default: 0]) }

    mutating func handle(_ event: MapEvent, _ node: Int) throws {
        let effects = try cores[node].handle(event, now: clock(node), entropy: &entropy, store: &stores[node])
        perform(effects, of: node)
    }

    private mutating func perform(_ effects: [MapEffect], of node: Int) {
        for case .compared(let link) in effects { compared.append((node, link, now)) }
        for case .send(let link, let body) in effects {
            largestFrame = max(largestFrame, body.count)
            guard let (left, right) = links[link] else { continue }
            if entropy.below(100) < lossPercent { continue }
            // Links are streams: nothing overtakes.
            let end = link << 1 | (node == left ? 0 : 1)
            let due = max(now.milliseconds + 1 + UInt64(entropy.below(100)), arrivals[end, default: 0])
            arrivals[end] = due
            frames.append(
                Frame(due: due, ticket: nextTicket, to: node == left ? right : left, link: link, body: body))
            nextTicket += 1
        }
    }

    /// Lets `milliseconds` pass.
    mutating func run(milliseconds: UInt64) throws {
        let end = now.milliseconds + milliseconds
        while now.milliseconds < end {
            now.milliseconds += 50
            let due = frames.filter { $0.due <= now.milliseconds }
                .sorted { ($0.due, $0.ticket) < ($1.due, $1.ticket) }
            frames.removeAll { $0.due <= now.milliseconds }
            for frame in due where links[frame.link] != nil {
                try handle(.message(link: frame.link, frame.body), frame.to)
            }
            for node in cores.indices {
                let clock = clock(node)
                if cores[node].isDue(clock) { try handle(.wake, node) }
            }
        }
    }

    /// The map of a node as identifiers and sequences.
    func map(_ node: Int) -> [Bytes32: UInt64] { cores[node].servers.mapValues(\.sequence) }
}
