import Primitives
import Records
import Testing
import Wire

@testable import Directory

/// A user, its twenty holders, and records of any age.
struct TwentyHolders: ~Copyable {
    static let start = Timestamp(seconds: 20_000 * 86_400 + 50_000)

    var entropy: Entropy
    let user: SigningKey
    let nodes: [NodeID]
    let id: BlindedID
    let seeds: [Bytes32]

    init(seed: UInt64) throws {
        print("seed \(seed)")
        entropy = Entropy(seed: seed)
        let user = SigningKey(&entropy)
        id = try BlindedID(NetworkID(key: user.publicKey), epoch: TwentyHolders.start.epoch)
        self.user = user
        var seeds: [Bytes32] = []
        var nodes: [NodeID] = []
        for _ in 0..<20 {
            let seed = entropy.bytes(Bytes32.self)
            var own = Entropy(seed: seed)
            seeds.append(seed)
            nodes.append(Node.id(of: SigningKey(&own).publicKey))
        }
        self.seeds = seeds
        self.nodes = nodes
    }

    var rings: [[NodeID]] { (0..<4).map { Array(nodes[5 * $0..<5 * $0 + 5]) } }

    mutating func lookup() -> Lookup<RecordBody> {
        Lookup(user: id, rings: rings, directories: nodes, now: TwentyHolders.start, entropy: &entropy)
    }

    /// - Parameter times: of earlier answers.
    mutating func direct(_ times: AnswerTimes = AnswerTimes()) -> DirectLookup {
        DirectLookup(
            user: id, rings: rings, searchers: [nodes[0]], times: times, now: TwentyHolders.start, entropy: &entropy)
    }

    func absence(_ node: NodeID) throws -> DirectoryMessage {
        let index = try #require(nodes.firstIndex(of: node))
        var own = Entropy(seed: seeds[index])
        let server = SigningKey(&own)
        let time = TwentyHolders.start.seconds
        let digest = Absence.digest(
            server: server.publicKey, key: id.key, epoch: TwentyHolders.start.epoch, time: time)
        return .absent(Absence(serverID: server.publicKey, time: time, signature: server.sign(digest)))
    }

    mutating func record(age: UInt64) throws -> DirectoryMessage {
        let published = TwentyHolders.start.seconds - age
        let operational = SigningKey(&entropy)
        let body = RecordBody(
            home: entropy.bytes(), account: entropy.bytes(), sealing: X25519PublicKey(entropy.bytes()),
            operational: operational.publicKey, operationalExpiry: published + 86_400, policy: 1,
            prekeys: Bytes32(), user: user)
        return .record(
            try DirectoryRecord.seal(
                body: body, user: user, epoch: TwentyHolders.start.epoch,
                sequence: id.sequences.sequence(at: published), entropy: &entropy
            ).encode())
    }
}
