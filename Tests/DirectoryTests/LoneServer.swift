import Primitives
import Records
import Storage
import Wire

@testable import Directory

/// One directory server on its own, which is responsible for everything.
struct LoneServer: ~Copyable {
    let key: SigningKey
    var core: DirectoryCore
    var store = MemoryStore()
    var now = DirectoryNetwork.noon
    var entropy: Entropy
    private var token: UInt64 = 0

    init(seed: UInt64, _ configuration: DirectoryConfiguration = DirectoryConfiguration()) throws {
        print("lone server seed \(seed)")
        entropy = Entropy(seed: seed)
        key = SigningKey(&entropy)
        core = try DirectoryCore(
            serverID: key.publicKey, descriptor: [], configuration: configuration, now: now, store: store)
    }

    static func peer(_ number: Int) -> Endpoint {
        Endpoint(
            linkKey: X25519PublicKey(Bytes32()),
            address: SocketAddress(v4: (9, UInt8(number / 256), UInt8(number % 256), 1), port: 4000))
    }

    /// A peer of another prefix for each number.
    static func stranger(_ number: Int) -> Endpoint {
        Endpoint(
            linkKey: X25519PublicKey(Bytes32()),
            address: SocketAddress(v4: (UInt8(1 + number / 256), UInt8(number % 256), 1, 1), port: 4000))
    }

    /// Puts it on a map of so many, each in a prefix of its own.
    /// - Returns: the others.
    mutating func map(of count: Int) throws -> [NodeID] {
        let nodes = (0..<count).map { number in
            let endpoint = LoneServer.stranger(number)
            return Placement.Node(
                id: number == 0 ? core.own : entropy.bytes(), cluster: VerifyingKey(entropy.bytes()),
                prefix: endpoint.address.prefix, endpoint: endpoint)
        }
        _ = try core.handle(.map(nodes), now: now, entropy: &entropy, store: &store)
        return nodes.dropFirst().map(\.id)
    }

    mutating func ask(
        _ message: DirectoryMessage, from: Endpoint? = nil, isForged: Bool = false
    ) throws -> DirectoryMessage? {
        token += 1
        let effects = try core.handle(
            .request(from: from, isProven: from != nil && !isForged, token: token, message: message.encode()), now: now,
            entropy: &entropy, store: &store)
        return LoneServer.answers(effects)[token]
    }

    mutating func wake() throws -> [UInt64: DirectoryMessage] {
        LoneServer.answers(try core.handle(.wake, now: now, entropy: &entropy, store: &store))
    }

    static func answers(_ effects: [DirectoryEffect]) -> [UInt64: DirectoryMessage] {
        var out: [UInt64: DirectoryMessage] = [:]
        for case .answer(let token, let message) in effects { out[token] = try? DirectoryMessage(decoding: message) }
        return out
    }

    mutating func record(sequence: UInt64 = 1) throws -> DirectoryRecord {
        let publisher = Publisher(&entropy)
        return try publisher.record(now, sequence: sequence, entropy: &entropy)
    }
}
