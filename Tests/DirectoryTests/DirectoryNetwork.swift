import Primitives
import Records
import Storage
import Wire

@testable import Directory

/// Directory servers in one process: calls arrive after a drawn delay, or fail after a time-out.
struct DirectoryNetwork: ~Copyable {
    static let noon = Timestamp(seconds: 20_000 * 86_400 + 43_200)

    struct Member {
        let serverID: VerifyingKey
        let cluster: VerifyingKey
        let endpoint: Endpoint
        let descriptor: [UInt8]
        /// With its server key, where a test lets it sign that it has no record.
        let sign: @Sendable ([UInt8]) -> Signature
        var core: DirectoryCore
        var store = MemoryStore()
        var isUp = true
    }

    private struct Event {
        let due: UInt64
        let ticket: UInt64
        let to: Int
        let event: DirectoryEvent
    }

    var members: [Member] = []
    var entropy: Entropy
    var now = DirectoryNetwork.noon
    var lossPercent = 0
    /// Seconds by which somebody's clock is ahead.
    var ahead: [Int: UInt64] = [:]
    /// Liars who hand no record on.
    var keeping: Set<Int> = []
    /// Whether the map says where nodes answer.
    var namesEndpoints = true
    var largest = 0
    var wakes = 0
    /// Questions whether somebody lives, or who he is.
    var pings = 0
    /// Answers to requests of the test, by token.
    var answers: [UInt64: DirectoryMessage] = [:]
    /// How lookups of the test ended, by their numbers.
    var lookedUp: [UInt64: Result<LookupReport, LookupRefusal>] = [:]
    /// What somebody answers to questions for records, whatever it has.
    var lies: [Int: DirectoryMessage] = [:]
    var joined: [Int: Int] = [:]
    var alarms: [Int: [EclipseWatch.Alarm]] = [:]
    private var queue: [Event] = []
    private var nextTicket: UInt64 = 0
    private var tokens: [UInt64: (member: Int, call: UInt64)] = [:]
    private var nextToken: UInt64 = 1 << 32
    /// Who goes to whom over a session: whoever began it and was answered, and the other once it was used.
    private var sessions: Set<[Int]> = []

    init(seed: UInt64) {
        print("directory network seed \(seed)")
        entropy = Entropy(seed: seed)
    }

    @discardableResult
    mutating func add() throws -> Int {
        let index = members.count
        let cluster = SigningKey(&entropy)
        let server = SigningKey(&entropy)
        let address = SocketAddress(v4: (10, UInt8(index), 0, 1), port: 4000)
        let link = X25519PublicKey(entropy.bytes())
        let descriptor = try ServerDescriptor(
            certificate: ServerCertificate(
                server: server.publicKey, expiry: now.seconds + 30 * 86_400, cluster: cluster),
            sequence: 1, expiry: now.seconds + 2 * 86_400, linkKey: link, tcp: address, udp: address,
            roles: [.directory], mixKeys: [MixKeyEntry(epoch: now.epoch, key: X25519PublicKey(entropy.bytes()))],
            software: "test", key: server
        ).encode()
        let store = MemoryStore()
        members.append(
            Member(
                serverID: server.publicKey, cluster: cluster.publicKey,
                endpoint: Endpoint(linkKey: link, address: address), descriptor: descriptor,
                sign: { server.sign($0) },
                core: try DirectoryCore(serverID: server.publicKey, descriptor: descriptor, now: now, store: store)))
        return index
    }

    var nodes: [Placement.Node] {
        members.map {
            Placement.Node(
                id: Node.id(of: $0.serverID), cluster: $0.cluster, prefix: $0.endpoint.address.prefix,
                endpoint: namesEndpoints ? $0.endpoint : nil)
        }
    }

    mutating func map() throws {
        let nodes = nodes
        for index in members.indices where members[index].isUp { try handle(index, .map(nodes)) }
    }

    /// A network of so many that have all joined through the first.
    static func joined(seed: UInt64, _ count: Int, lossPercent: Int = 0) throws -> DirectoryNetwork {
        var network = DirectoryNetwork(seed: seed)
        network.lossPercent = lossPercent
        for index in 0..<count {
            try network.add()
            if index > 0 { try network.handle(index, .join([network.members[0].endpoint])) }
            try network.run(milliseconds: 300)
        }
        try network.map()
        try network.run(milliseconds: 10_000)
        return network
    }

    mutating func restart(_ index: Int) throws {
        members[index].isUp = true
        members[index].core = try DirectoryCore(
            serverID: members[index].serverID, descriptor: members[index].descriptor, now: now,
            store: members[index].store)
        sessions = sessions.filter { !$0.contains(index) }
        queue.removeAll { $0.to == index }
    }

    func clock(_ index: Int) -> Timestamp { now.adding(seconds: ahead[index, default: 0]) }

    mutating func handle(_ index: Int, _ event: DirectoryEvent) throws {
        guard members[index].isUp else { return }
        for effect in try effects(of: event, at: index) { perform(effect, of: index) }
    }

    /// What comes of an event, and is not performed.
    mutating func effects(of event: DirectoryEvent, at index: Int) throws -> [DirectoryEffect] {
        var member = members[index]
        let effects = try member.core.handle(event, now: clock(index), entropy: &entropy, store: &member.store)
        members[index] = member
        return effects
    }

    private mutating func perform(_ effect: DirectoryEffect, of index: Int) {
        switch effect {
        case .call(let call, let endpoint, let message):
            largest = max(largest, message.count)
            pings += message == DirectoryMessage.ping.encode() ? 1 : 0
            if keeping.contains(index), case .put? = try? DirectoryMessage(decoding: message) {
                push(delay(), index, .answer(call: call, message: DirectoryMessage.stored(sequence: 1).encode()))
                return
            }
            let target = members.firstIndex { $0.endpoint == endpoint }
            guard let target, members[target].isUp, entropy.below(100) >= lossPercent else {
                push(1500, index, .failed(call: call))
                return
            }
            if let lie = lies[target], case .get? = try? DirectoryMessage(decoding: message) {
                push(delay(), index, .answer(call: call, message: lie.encode()))
                return
            }
            nextToken += 1
            tokens[nextToken] = (index, call)
            let isProven = sessions.contains([index, target])
            if isProven { sessions.insert([target, index]) }
            push(
                delay(), target,
                .request(
                    from: members[index].endpoint, isProven: isProven, token: nextToken, message: message))
        case .answer(let token, let message):
            largest = max(largest, message.count)
            if let (member, call) = tokens.removeValue(forKey: token) {
                sessions.insert([member, index])
                push(delay(), member, .answer(call: call, message: message))
            } else {
                answers[token] = try? DirectoryMessage(decoding: message)
            }
        case .joined(let contacts): joined[index] = contacts
        case .alarm(let alarm, _): alarms[index, default: []].append(alarm)
        case .lookedUp(let request, let result): lookedUp[request] = result
        case .send, .sharedValue, .sharedRandom: break
        }
    }

    private mutating func delay() -> UInt64 { 1 + UInt64(entropy.below(40)) }

    private mutating func push(_ delay: UInt64, _ index: Int, _ event: DirectoryEvent) {
        queue.append(Event(due: now.milliseconds + delay, ticket: nextTicket, to: index, event: event))
        nextTicket += 1
    }

    mutating func run(milliseconds: UInt64) throws {
        let end = now.milliseconds + milliseconds
        while now.milliseconds < end {
            now.milliseconds += 20
            let due = queue.filter { $0.due <= now.milliseconds }.sorted { ($0.due, $0.ticket) < ($1.due, $1.ticket) }
            queue.removeAll { $0.due <= now.milliseconds }
            for event in due { try handle(event.to, event.event) }
            for index in members.indices where members[index].isUp {
                guard members[index].core.isDue(clock(index)) else { continue }
                wakes += 1
                try handle(index, .wake)
            }
        }
    }

    /// An agent's request in an envelope; the answer when it comes at once or in time.
    mutating func ask(_ index: Int, _ message: DirectoryMessage, wait: UInt64 = 0) throws -> DirectoryMessage? {
        nextTicket += 1
        let token = nextTicket
        try handle(index, .request(from: nil, token: token, message: message.encode()))
        if wait > 0, answers[token] == nil { try run(milliseconds: wait) }
        return answers.removeValue(forKey: token)
    }

    func holders(_ key: VerifyingKey, epoch: UInt64) -> [Int] {
        let holders = Placement(nodes: nodes, epoch: epoch).holders(of: key)
        return holders.compactMap { holder in members.firstIndex { Node.id(of: $0.serverID) == holder } }
    }

    func holds(_ index: Int, _ key: VerifyingKey) throws -> Bool {
        try RecordStore.get(key, members[index].store) != nil
    }
}

/// A user with a record.
struct Publisher: ~Copyable {
    let user: SigningKey

    init(_ entropy: inout Entropy) { user = SigningKey(&entropy) }

    func record(
        _ now: Timestamp, epoch: UInt64? = nil, sequence: UInt64 = 1, entropy: inout Entropy
    ) throws -> DirectoryRecord {
        let operational = SigningKey(&entropy)
        let body = RecordBody(
            home: entropy.bytes(), account: entropy.bytes(), sealing: X25519PublicKey(entropy.bytes()),
            operational: operational.publicKey, operationalExpiry: now.seconds + 90 * 86_400, policy: 1,
            prekeys: Bytes32(), user: user)
        return try DirectoryRecord.seal(
            body: body, user: user, epoch: epoch ?? now.epoch, sequence: sequence, entropy: &entropy)
    }
}
