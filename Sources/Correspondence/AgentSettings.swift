import Home
import Primitives
import Records
import Storage
import Wire

/// What an agent remembers besides messages: one row.
struct AgentSettings: Sendable {
    private static let key = Array("settings".utf8)
    /// The first version began with 0 or 1: whether there is a home.
    private static let version: UInt8 = 2

    /// The servers at which the user has, or wants, accounts; those that are named first come first.
    var homes: [HomeAccount] = []
    /// Number of the last publication: its second, or one more than the last number.
    var sequence: UInt64 = 0
    /// When records are published next.
    var nextPublish = Timestamp(seconds: 0)
    /// Number of the last publication that enough holders took.
    var publishedSequence: UInt64 = 0

    /// Whether there is a home that a record can name.
    var isRegistered: Bool { homes.contains(where: \.isListed) }

    func home(_ node: NodeID) -> HomeAccount? { homes.first { $0.node == node } }

    mutating func update(_ node: NodeID, _ change: (inout HomeAccount) -> Void) {
        guard let index = homes.firstIndex(where: { $0.node == node }) else { return }
        change(&homes[index])
    }

    /// The homes that the next record names: those that stay before those that are left.
    var listed: [HomeAccount] {
        let open = homes.filter(\.isListed)
        return Array((open.filter { $0.stage == .active } + open.filter { $0.stage == .handing }).prefix(2))
    }

    init(_ store: borrowing some (KeyValueStore & ~Copyable)) throws(StorageError) {
        guard let bytes = try store.get(AgentCore.state, AgentSettings.key) else { return }
        do throws(WireError) {
            var reader = Reader(bytes)
            switch try reader.uint8() {
            case 0: try readFirstVersion(&reader, hasHome: false)
            case 1: try readFirstVersion(&reader, hasHome: true)
            case AgentSettings.version:
                for _ in 0..<min(HomeAccount.limit, Int(try reader.uint8())) { homes.append(try HomeAccount(&reader)) }
            case let version: throw .unknownKind(version)
            }
            sequence = try reader.uint64()
            nextPublish = Timestamp(milliseconds: try reader.uint64())
            publishedSequence = try reader.uint64()
        } catch {
            throw .corrupt("the agent's settings: \(error)")
        }
    }

    /// One home, its account under the operational key itself.
    private mutating func readFirstVersion(_ reader: inout Reader, hasHome: Bool) throws(WireError) {
        let node: NodeID = try reader.fixed()
        let hasAccount = try reader.uint8() & 1 == 1
        let account: Bytes16 = try reader.fixed()
        let token = try reader.string(limit: HomeRequest.Registration.tokenLimit, field: "token")
        let counter = try reader.uint64()
        guard hasHome else { return }
        var home = HomeAccount(
            node: node, incarnation: 0, token: token, stage: hasAccount ? .active : .opening, serial: 0)
        home.account = hasAccount ? account : nil
        home.counter = counter
        homes = [home]
    }

    func save(_ store: inout some (KeyValueStore & ~Copyable)) throws(StorageError) {
        var writer = Writer(capacity: 512)
        writer.uint8(AgentSettings.version)
        writer.uint8(UInt8(truncatingIfNeeded: min(HomeAccount.limit, homes.count)))
        for home in homes.prefix(HomeAccount.limit) { home.encode(&writer) }
        writer.uint64(sequence)
        writer.uint64(nextPublish.milliseconds)
        writer.uint64(publishedSequence)
        try store.put(AgentCore.state, AgentSettings.key, writer.bytes)
    }
}
