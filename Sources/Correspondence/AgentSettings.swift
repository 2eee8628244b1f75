import Home
import Primitives
import Records
import Storage
import Wire

/// What an agent remembers besides messages: one row.
struct AgentSettings: Sendable {
    private static let key = Array("settings".utf8)

    /// The server at which the user has, or wants, an account.
    var home: NodeID?
    var account: Bytes16?
    /// What the home wanted to see, in case it loses the account.
    var token = ""
    /// Counter of the last attachment.
    var counter: UInt64 = 0
    /// Sequence of the last record.
    var sequence: UInt64 = 0
    /// When records are published next, and the last epoch for which one is.
    var nextPublish = Timestamp(seconds: 0)
    var publishedEpoch: UInt64 = 0
    /// The gateways that this agent stays with.
    var gateways: [NodeID] = []

    var isRegistered: Bool { account != nil }

    init(_ store: borrowing some (KeyValueStore & ~Copyable)) throws(StorageError) {
        guard let bytes = try store.get(AgentCore.state, AgentSettings.key) else { return }
        do throws(WireError) {
            var reader = Reader(bytes)
            let hasHome = try reader.uint8() & 1 == 1
            let home: NodeID = try reader.fixed()
            self.home = hasHome ? home : nil
            let hasAccount = try reader.uint8() & 1 == 1
            let account: Bytes16 = try reader.fixed()
            self.account = hasAccount ? account : nil
            token = try reader.string(limit: HomeRequest.Registration.tokenLimit, field: "token")
            counter = try reader.uint64()
            sequence = try reader.uint64()
            nextPublish = Timestamp(milliseconds: try reader.uint64())
            publishedEpoch = try reader.uint64()
            for _ in 0..<min(8, try reader.uint8()) { gateways.append(try reader.fixed()) }
        } catch {
            throw .corrupt("the agent's settings: \(error)")
        }
    }

    func save(_ store: inout some (KeyValueStore & ~Copyable)) throws(StorageError) {
        var writer = Writer(capacity: 160)
        writer.uint8(home == nil ? 0 : 1)
        writer.fixed(home ?? NodeID())
        writer.uint8(account == nil ? 0 : 1)
        writer.fixed(account ?? Bytes16())
        writer.string(token)
        writer.uint64(counter)
        writer.uint64(sequence)
        writer.uint64(nextPublish.milliseconds)
        writer.uint64(publishedEpoch)
        writer.uint8(UInt8(truncatingIfNeeded: min(8, gateways.count)))
        for gateway in gateways.prefix(8) { writer.fixed(gateway) }
        try store.put(AgentCore.state, AgentSettings.key, writer.bytes)
    }
}
