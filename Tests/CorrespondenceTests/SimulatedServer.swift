import Directory
import Envelope
import Home
import Primitives
import Records
import Relay
import Storage
import Wire

/// A world's randomness: drawn by everybody in it, in the order of events.
final class Dice {
    var entropy: Entropy
    init(_ seed: UInt64) { entropy = Entropy(seed: seed) }
}

/// A server's long-lived keys; a cluster of one.
final class ServerKeys {
    let cluster: SigningKey
    let server: SigningKey
    let link: X25519PublicKey
    private let mixSeed: Bytes32

    init(_ dice: Dice) {
        cluster = SigningKey(&dice.entropy)
        server = SigningKey(&dice.entropy)
        link = X25519PublicKey(dice.entropy.bytes())
        mixSeed = dice.entropy.bytes()
    }

    func mixKey(_ epoch: UInt64) -> MixKey {
        var entropy = Entropy(seed: BLAKE2b.h(Domain("test/mix"), mixSeed, epoch))
        return MixKey(epoch: epoch, key: X25519PrivateKey(&entropy))
    }
}

/// A server's key where a closure wants one.
private final class SharedKey: Sendable {
    private let key: SigningKey
    init(_ key: borrowing SigningKey) { self.key = key.copy() }
    func sign(_ message: [UInt8]) -> Signature { key.sign(message) }

    func name(
        _ label: Bytes32, _ pointer: [UInt8], _ epoch: UInt64, _ published: UInt64
    ) -> DirectoryRecord? {
        try? NameRecord.seal(
            label: label, pointer: pointer, server: key, epoch: epoch, published: published)
    }
}

/// The gateway's mailboxes in small: replies wait in a bounded queue until the agent proves the handle.
struct SimulatedMailboxes {
    static let waitingLimit = 128
    private var agents: [Bytes16: Int] = [:]
    private var waiting: [Bytes16: [(id: Bytes16, payload: [UInt8])]] = [:]
    private(set) var dropped = 0

    mutating func claim(_ secret: Bytes32, agent: Int) -> [(id: Bytes16, payload: [UInt8])] {
        let handle = Bytes16(BLAKE2b.h(Domain("hulda/mailbox"), secret).bytes.prefix(16)) ?? Bytes16()
        agents[handle] = agent
        let replies = waiting[handle] ?? []
        waiting[handle] = []
        return replies
    }

    /// The connected agent to which the reply goes now.
    mutating func deliver(_ id: Bytes16, _ payload: [UInt8], to handle: Bytes16) -> Int? {
        if let agent = agents[handle] { return agent }
        guard let count = waiting[handle]?.count, count < SimulatedMailboxes.waitingLimit else {
            dropped += 1
            return nil
        }
        waiting[handle]?.append((id, payload))
        return nil
    }

    mutating func disconnect(_ agent: Int) { agents = agents.filter { $0.value != agent } }
}

/// A server of the world: what is on its disk survives ``stop()``, everything else does not.
struct SimulatedServer {
    enum Part: CaseIterable {
        case relay
        case home
        case directory
    }

    /// Who waits for a directory answer.
    enum Asker {
        case envelope(ReplyBlock)
        case server(Int, call: UInt64)
    }

    let keys: ServerKeys
    let nodeID: NodeID
    let endpoint: Endpoint
    var homeConfiguration = HomeConfiguration()
    var store = MemoryStore()
    /// Replay tags on disk.
    var journal: [(epoch: UInt64, tag: Bytes16)] = []

    var isUp = true
    var generation = 0
    var descriptor: ServerDescriptor
    var ring: MixKeyRing
    var relay: RelayCore
    var home: HomeCore
    var directory: DirectoryCore
    var mailboxes = SimulatedMailboxes()
    var askers: [UInt64: Asker] = [:]
    private var nextToken: UInt64 = 1
    var unopened = 0
    /// Whether it keeps its links, takes every envelope, and passes none on.
    var isDeaf = false
    /// The earliest timer set for each part.
    var armed: [Part: UInt64] = [:]

    init(index: Int, now: Timestamp, _ dice: Dice) throws {
        keys = ServerKeys(dice)
        nodeID = Node.id(of: keys.server.publicKey)
        let address = SocketAddress(v4: (127, UInt8(index + 1), 0, 1), port: 4000)
        endpoint = Endpoint(linkKey: keys.link, address: address)
        descriptor = try SimulatedServer.descriptor(keys, address, now)
        ring = SimulatedServer.ring(keys, now)
        relay = RelayCore(entropy: &dice.entropy)
        home = HomeCore(node: nodeID)
        directory = try DirectoryCore(
            serverID: keys.server.publicKey, descriptor: descriptor.encode(), now: now, store: store)
        signsMisses()
    }

    private mutating func signsMisses() {
        let key = SharedKey(keys.server)
        directory.sign = { key.sign($0) }
        home.nameSigner = { key.name($0, $1, $2, $3) }
    }

    private static func descriptor(
        _ keys: ServerKeys, _ address: SocketAddress, _ now: Timestamp
    ) throws -> ServerDescriptor {
        try ServerDescriptor(
            certificate: ServerCertificate(
                server: keys.server.publicKey, expiry: now.seconds + 30 * 86_400, cluster: keys.cluster),
            sequence: now.seconds, expiry: now.seconds + 86_400, linkKey: keys.link, tcp: address, udp: address,
            roles: [.relay, .home, .directory, .gateway],
            mixKeys: [now.epoch, now.epoch + 1].map { MixKeyEntry(epoch: $0, key: keys.mixKey($0).key.publicKey) },
            software: "test", key: keys.server)
    }

    private static func ring(_ keys: ServerKeys, _ now: Timestamp) -> MixKeyRing {
        MixKeyRing([now.epoch - 1, now.epoch, now.epoch + 1].map { keys.mixKey($0) })
    }

    /// New mix keys and a new descriptor, as at the beginning of an epoch.
    mutating func roll(_ now: Timestamp) throws {
        descriptor = try SimulatedServer.descriptor(keys, endpoint.address, now)
        ring = SimulatedServer.ring(keys, now)
        relay.forget(before: now.epoch - 1)
        directory.descriptor = descriptor.encode()
    }

    mutating func stop() {
        isUp = false
        generation += 1
        armed = [:]
        askers = [:]
        mailboxes = SimulatedMailboxes()
    }

    /// Everything is rebuilt from the disk.
    mutating func restart(_ now: Timestamp, _ dice: Dice) throws {
        isUp = true
        generation += 1
        relay = RelayCore(entropy: &dice.entropy)
        for entry in journal { relay.restore(epoch: entry.epoch, tag: entry.tag) }
        home = HomeCore(node: nodeID, configuration: homeConfiguration)
        directory = try DirectoryCore(
            serverID: keys.server.publicKey, descriptor: descriptor.encode(), now: now, store: store)
        signsMisses()
    }

    /// Opens an envelope and hands it to the relay.
    mutating func accept(_ envelope: [UInt8], _ now: Timestamp) -> [RelayEffect] {
        var bytes = envelope
        do {
            let ring = self.ring
            let opened = try bytes.withUnsafeMutableBytes { try ring.unwrap($0, now: now) }
            return relay.accept(
                bytes, opened.unwrapped, epoch: opened.epoch, from: .server(Bytes32()), now: now)
        } catch {
            unopened += 1
            return []
        }
    }

    mutating func handle(_ event: HomeEvent, _ now: Timestamp) throws -> [HomeEffect] {
        try home.handle(event, now: now, store: &store)
    }

    mutating func handle(_ event: DirectoryEvent, _ now: Timestamp, _ dice: Dice) throws -> [DirectoryEffect] {
        try directory.handle(event, now: now, entropy: &dice.entropy, store: &store)
    }

    mutating func token(for asker: Asker) -> UInt64 {
        defer { nextToken += 1 }
        askers[nextToken] = asker
        return nextToken
    }

    func nextWake(_ part: Part) -> Timestamp? {
        switch part {
        case .relay: relay.nextWake
        case .home: home.nextWake
        case .directory: directory.nextWake
        }
    }
}

/// Accounts on a home's disk.
enum HomeCoreAccounts {
    static func count(_ store: MemoryStore) throws -> Int { try HomeCore.accounts(store).count }
}
