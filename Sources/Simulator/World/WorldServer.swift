import Directory
import Envelope
import Federation
import Home
import Primitives
import Records
import Relay
import Storage
import Wire

/// A server's key where a closure wants one.
final class SharedKey: Sendable {
    private let key: SigningKey
    init(_ key: borrowing SigningKey) { self.key = key.copy() }
    func sign(_ message: [UInt8]) -> Signature { key.sign(message) }
    var publicKey: VerifyingKey { key.publicKey }
}

/// A server of a world: what is on its disk survives ``stop(_:)``, everything else does not.
final class WorldServer {
    /// What has a timer.
    enum Part: CaseIterable {
        case relay
        case home
        case directory
        case map
        /// New mix keys and descriptors at the beginning of an epoch.
        case epoch
        /// Own descriptors that are not on disk.
        case publications
        /// Measuring other relays.
        case probe
    }

    /// Who waits for a directory answer.
    struct Asker {
        enum Way {
            case envelope(ReplyBlock)
            case server(Int, call: UInt64)
        }
        let way: Way
        let request: [UInt8]
    }

    /// Effects that wait until the disk has what they tell of.
    enum Held {
        case map([MapEffect])
        case directory([DirectoryEffect])
        case home([HomeEffect])
        /// Own descriptors, and what the map makes of them.
        case published([[UInt8]], [MapEffect])
    }

    /// When a server is to crash.
    enum Doom {
        /// In so many events, while the core's transaction is open.
        case beforeCommit(Int)
        /// In so many events, when the transaction is committed and not synced.
        case beforeSync(Int)
        /// Right before so many more effects would be performed.
        case atEffect(Int)
    }

    let index: Int
    let cluster: Int
    let clusterKey: SigningKey
    let serverKey: SigningKey
    let endpoint: Endpoint
    let nodeID: NodeID
    private let mixSeed: Bytes32
    private let endorsed: () -> [VerifyingKey]
    var entropy: Entropy
    var store = FaultyStore()
    /// An earlier state of the disk, and whether descriptors are numbered by the hour: for defects.
    var backup: FaultyStore?
    var numbersByHour = false
    var journal = WorldJournal()
    /// Envelopes that left in the present second.
    private var carried: (second: UInt64, count: Int) = (0, 0)
    /// Of streams on which a liar is to stop: their other ends, whose life it is there, and frames that are left.
    var streams: [Int: (life: Int, left: Int)] = [:]
    var liar = Liar(.honest)
    /// The server's clock less the world's, in milliseconds.
    var skew: Int64 = 0
    /// When that became so.
    var clockSince = Timestamp(milliseconds: 0)
    var doom: Doom?

    var isUp = false
    var generation = 0
    var publications = Publications()
    private var ring = MixKeyRing([])
    var relay: RelayCore
    var home: HomeCore
    var directory: DirectoryCore
    var map: MapCore
    var mailboxes = WorldMailboxes()
    var askers: [UInt64: Asker] = [:]
    var calls: Set<UInt64> = []
    var held: [Held] = []
    var armed: [Part: UInt64] = [:]
    var mapChanged = false
    var paths: PathIndex?
    private var nextToken: UInt64 = 1
    private var nextEpoch = Timestamp(milliseconds: 0)
    /// Envelopes that did not open.
    var unopened = 0

    /// - Parameters:
    ///   - cluster: the number of its cluster.
    ///   - sharing: the first server of the cluster, whose key it has too.
    init(
        _ index: Int, cluster: Int, prefixes: Int, now: Timestamp, seed: UInt64, sharing: WorldServer? = nil,
        endorsed: @escaping () -> [VerifyingKey]
    ) throws {
        self.index = index
        self.cluster = cluster
        self.endorsed = endorsed
        entropy = Entropy(seed: seed)
        let drawn = SigningKey(&entropy)
        if let sharing { clusterKey = sharing.clusterKey.copy() } else { clusterKey = drawn }
        serverKey = SigningKey(&entropy)
        mixSeed = entropy.bytes()
        nodeID = Node.id(of: serverKey.publicKey)
        let part = index % prefixes
        let address = SocketAddress(
            v4: (UInt8(1 + part % 223), UInt8(part / 223 & 0xff), UInt8(index >> 8 & 0xff), UInt8(index & 0xff)),
            port: 4000)
        endpoint = Endpoint(linkKey: X25519PublicKey(entropy.bytes()), address: address)
        relay = RelayCore(entropy: &entropy)
        home = HomeCore(node: nodeID)
        map = try MapCore(admission: Admission(roots: []), now: now, store: store)
        directory = try DirectoryCore(serverID: serverKey.publicKey, descriptor: [], now: now, store: store)
    }

    /// The server's own clock.
    func clock(_ now: Timestamp) -> Timestamp {
        let moment = Int64(clamping: now.milliseconds).addingReportingOverflow(skew).partialValue
        return Timestamp(milliseconds: UInt64(max(0, moment)))
    }

    /// Everything is rebuilt from the disk.
    /// - Parameter keepsJournal: false for a server that forgets which envelopes it has seen: a defect.
    func start(_ now: Timestamp, keepsJournal: Bool = true) throws {
        let clock = clock(now)
        generation += 1
        isUp = true
        relay = RelayCore(entropy: &entropy)
        if keepsJournal { for entry in journal.written { relay.restore(epoch: entry.epoch, tag: entry.tag) } }
        home = HomeCore(node: nodeID)
        map = try MapCore(admission: Admission(roots: [clusterKey.publicKey]), now: clock, store: store)
        directory = try DirectoryCore(serverID: serverKey.publicKey, descriptor: [], now: clock, store: store)
        let key = SharedKey(serverKey)
        directory.sign = { key.sign($0) }
        let signer = CertifiedSigner(certificate: certificate(clock)) { key.sign($0) }
        directory.setSigner(signer)
        map.setSigner(signer)
        try roll(now)
    }

    func stop(_ crash: FaultyStore.Crash) {
        store.crash(crash) { entropy.below($0) }
        journal.crash(isWritten: entropy.below(2) == 0)
        streams = [:]
        isUp = false
        generation += 1
        armed = [:]
        askers = [:]
        calls = []
        held = []
        doom = nil
        mapChanged = false
        paths = nil
        mailboxes = WorldMailboxes()
        publications = Publications()
    }

    /// New mix keys and descriptors. Writes nothing: the descriptors wait to be published.
    func roll(_ now: Timestamp) throws {
        let clock = clock(now)
        let epochs = [clock.epoch > 0 ? clock.epoch - 1 : 0, clock.epoch, clock.epoch + 1]
        ring = MixKeyRing(epochs.map { mixKey($0) })
        relay.forget(before: clock.epoch - 1)
        journal.forget(before: clock.epoch > 0 ? clock.epoch - 1 : 0)
        nextEpoch = Timestamp(seconds: (clock.epoch + 1) * Timestamp.secondsPerEpoch)
        let address = endpoint.address
        let least = numbersByHour ? clock.seconds / 3600 : clock.seconds
        let server = try ServerDescriptor(
            certificate: certificate(clock),
            sequence: map.nextSequence(ofServer: nodeID, from: least), expiry: clock.seconds + 2 * 86_400,
            linkKey: endpoint.linkKey, tcp: address,
            udp: address, roles: [.relay, .home, .directory, .gateway],
            mixKeys: epochs.map { MixKeyEntry(epoch: $0, key: mixKey($0).key.publicKey) },
            software: "simulator", key: serverKey)
        let cluster = try ClusterDescriptor(
            name: "c\(cluster)", sequence: map.nextSequence(ofCluster: clusterKey.publicKey, from: least),
            expiry: clock.seconds + 2 * 86_400, endorsements: endorsed(),
            contact: "", software: "simulator", policy: [.openRegistration, .openGateway], key: clusterKey)
        let descriptor = server.encode()
        directory.descriptor = descriptor
        publications.add(cluster.encode(), of: .cluster, now: clock)
        publications.add(descriptor, of: .server, now: clock)
    }

    func certificate(_ clock: Timestamp) -> ServerCertificate {
        ServerCertificate(server: serverKey.publicKey, expiry: clock.seconds + 30 * 86_400, cluster: clusterKey)
    }

    func mixKey(_ epoch: UInt64) -> MixKey {
        var entropy = Entropy(seed: BLAKE2b.h(Domain("hulda/sim-mix"), mixSeed, epoch))
        return MixKey(epoch: epoch, key: X25519PrivateKey(&entropy))
    }

    /// Opens an envelope and hands it to the relay.
    func accept(_ envelope: [UInt8], _ now: Timestamp) -> [RelayEffect] {
        guard envelope.count == Limits.envelopeSize else {
            unopened += 1
            return []
        }
        var bytes = envelope
        let clock = clock(now)
        do {
            let ring = self.ring
            let opened = try bytes.withUnsafeMutableBytes { try ring.unwrap($0, now: clock) }
            return relay.accept(
                bytes, opened.unwrapped, epoch: opened.epoch, from: .server(Bytes32()), now: clock)
        } catch {
            unopened += 1
            return []
        }
    }

    /// What paths of this epoch are drawn from; made when it is first asked for after a change of the map.
    func pathIndex(_ now: Timestamp) -> PathIndex {
        let clock = clock(now)
        if let paths, paths.epoch == clock.epoch { return paths }
        let made = PathIndex(map.view(at: clock), epoch: clock.epoch)
        paths = made
        return made
    }

    /// This server's own mix key of the epoch.
    func mixKey(at now: Timestamp) -> X25519PublicKey? { mixKey(clock(now).epoch).key.publicKey }

    /// Whether one more envelope leaves in this second.
    /// - Parameter limit: what each server passes on; 0 for any number.
    func carries(_ limit: Int, at now: Timestamp) -> Bool {
        let limit = liar.conduct == .boasting ? Liar.boasted : limit
        if carried.second != now.seconds { carried = (now.seconds, 0) }
        carried.count += 1
        return limit == 0 || carried.count <= limit
    }

    func token(for asker: Asker) -> UInt64 {
        defer { nextToken += 1 }
        askers[nextToken] = asker
        return nextToken
    }

    /// When a part wants to be woken, by the server's clock.
    func nextWake(_ part: Part) -> Timestamp? {
        switch part {
        case .relay: relay.nextWake
        case .home: home.nextWake
        case .directory: directory.nextWake
        case .map: map.nextWake
        case .epoch: nextEpoch
        case .publications: publications.due
        case .probe: relay.probe?.nextWake
        }
    }
}

extension WorldServer {
    /// Whether a part waits for a moment of a clock that has gone back.
    func isAhead(_ part: Part, of now: Timestamp) -> Bool {
        let clock = clock(now)
        return switch part {
        case .relay: relay.isAhead(of: clock)
        case .probe: false
        case .home: home.isAhead(of: clock)
        case .directory: directory.isAhead(of: clock)
        case .map: map.isAhead(of: clock)
        case .epoch: nextEpoch.epoch > clock.epoch + 1
        case .publications: publications.isDue(clock)
        }
    }

    /// Whether a part is to be woken: something is due, or the clock went back.
    func isDue(_ part: Part, _ now: Timestamp) -> Bool {
        isAhead(part, of: now) || nextWake(part).map { $0 <= clock(now) } ?? false
    }
}

/// A gateway's mailboxes in small: replies wait in a bounded queue until the agent proves the handle.
struct WorldMailboxes {
    static let waitingLimit = 128
    private var agents: [Bytes16: Int] = [:]
    private var waiting: [Bytes16: [(id: Bytes16, payload: [UInt8])]] = [:]
    private(set) var dropped = 0

    mutating func claim(_ secret: Bytes32, agent: Int) -> [(id: Bytes16, payload: [UInt8])] {
        let handle = Mailbox.handle(of: secret)
        agents[handle] = agent
        return waiting.updateValue([], forKey: handle) ?? []
    }

    /// The connected agent to which the reply goes now.
    mutating func deliver(_ id: Bytes16, _ payload: [UInt8], to handle: Bytes16) -> Int? {
        if let agent = agents[handle] { return agent }
        guard let count = waiting[handle]?.count, count < WorldMailboxes.waitingLimit else {
            dropped += 1
            return nil
        }
        waiting[handle]?.append((id, payload))
        return nil
    }

    mutating func disconnect(_ agent: Int) { agents = agents.filter { $0.value != agent } }
    var largestQueue: Int { waiting.values.map(\.count).max() ?? 0 }
}
