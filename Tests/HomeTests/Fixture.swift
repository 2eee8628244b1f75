import Envelope
import Primitives
import Storage
import Wire

@testable import Home

/// A home with its store, and one owner who can ask it for things.
struct Fixture: ~Copyable {
    static let noon = Timestamp(seconds: 20_000 * 86_400 + 43_200)

    let node: Bytes32
    var home: HomeCore
    var store = MemoryStore()
    var entropy: Entropy
    var now = Fixture.noon
    let owner: SigningKey
    var counter: UInt64 = 0
    private let relay: X25519PublicKey

    init(seed: UInt64, _ configuration: HomeConfiguration = HomeConfiguration()) {
        print("home seed \(seed)")
        entropy = Entropy(seed: seed)
        node = entropy.bytes()
        owner = SigningKey(&entropy)
        relay = X25519PrivateKey(&entropy).publicKey
        home = HomeCore(node: node, configuration: configuration)
    }

    var account: Bytes16 { Account.id(of: owner.publicKey) }

    mutating func block() throws -> ReplyBlock {
        let hop = Hop(node: entropy.bytes(), key: relay)
        return try ReplyBlock.make(path: [hop], handle: entropy.bytes(), id: entropy.bytes(), entropy: &entropy).block
    }

    mutating func blocks(_ count: Int) throws -> [ReplyBlock] {
        var blocks: [ReplyBlock] = []
        for _ in 0..<count { blocks.append(try block()) }
        return blocks
    }

    /// What the home sends in answer, in order.
    mutating func request(_ body: [UInt8], _ blocks: [ReplyBlock]) throws -> [(ReplyBlock, HomeAnswer)] {
        try Fixture.answers(home.handle(.request(body: body, replyBlocks: blocks), now: now, store: &store))
    }

    mutating func wake() throws -> [(ReplyBlock, HomeAnswer)] {
        try Fixture.answers(home.handle(.wake, now: now, store: &store))
    }

    /// So much time passes at once, and then as much as a leap of the clock is on trial.
    mutating func leap(seconds: UInt64) throws {
        now = now.adding(seconds: seconds)
        _ = try wake()
        now = now.adding(milliseconds: ClockWatch.trial)
    }

    static func answers(_ effects: [HomeEffect]) throws -> [(ReplyBlock, HomeAnswer)] {
        try effects.map {
            guard case .send(let block, let content) = $0 else { throw WireError.truncated }
            return (block, try HomeAnswer(decoding: content))
        }
    }

    mutating func register(token: String = "") throws -> HomeAnswer? {
        let body = HomeRequest.register(home: node, token: token, key: owner).encode()
        return try request(body, [try block()]).first?.1
    }

    func attachBody(
        _ counter: UInt64, isReturning: Bool = false, _ acknowledged: [UInt64], _ blocks: [ReplyBlock]
    ) -> [UInt8] {
        var writer = Writer()
        for block in blocks { block.encode(&writer) }
        return HomeRequest.attach(
            home: node, counter: counter, isReturning: isReturning, acknowledged: acknowledged, blocks: writer.bytes,
            key: owner
        ).encode()
    }

    mutating func attach(
        isReturning: Bool = false, acknowledging: [UInt64] = [], blocks count: Int = 3
    ) throws -> [HomeAnswer] {
        counter += 1
        let blocks = try blocks(count)
        return try request(attachBody(counter, isReturning: isReturning, acknowledging, blocks), blocks).map(\.1)
    }

    mutating func deliver(_ blob: [UInt8], id: Bytes16? = nil) throws -> [HomeAnswer] {
        let messageID = id ?? entropy.bytes()
        let body = HomeRequest.deliver(.init(account: account, messageID: messageID, blob: blob)).encode()
        return try request(body, [try block()]).map(\.1)
    }

    /// The home is rebuilt from its store.
    mutating func restart() { home = HomeCore(node: node, configuration: home.configuration) }
}

extension [HomeAnswer] {
    var items: [HomeAnswer.Item] {
        compactMap { if case .item(let item) = $0 { item } else { nil } }
    }

    var isAccepted: Bool { contains { if case .accepted = $0 { true } else { false } } }
}
