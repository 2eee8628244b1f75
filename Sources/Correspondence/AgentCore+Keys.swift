import Primitives
import Records
import Storage
import Wire

/// Replacing the operational, sealing and mailbox keys (specs/agent.md, "Replacing keys").
extension AgentCore {
    /// Seconds for which a sealing key that was replaced is kept at least: records with it expire within 30 hours, and
    /// an hour is for clocks and what is under way.
    static let retiredLeast: UInt64 = DirectoryRecord.lifetime + 3600
    /// Seconds after which it is destroyed in any case: what was sealed to it has expired at every home.
    static let retiredMost: UInt64 = 31 * 86_400

    mutating func rotate(
        _ request: UInt64, _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard settings.isRegistered else {
            effects.append(.failed(request: request, .notRegistered))
            return
        }
        identity = identity.rotated(above: ownRecords.highestSerial, now, &entropy)
        try identity.save(&store)
        let (serial, incarnation) = (identity.serial, freshIncarnation(now))
        for home in settings.homes {
            settings.update(home.node) {
                // An account of the first version gets a key of its own now.
                if $0.incarnation == 0 { $0.incarnation = incarnation }
                // One that is still being opened is opened under the new key.
                if $0.account == nil { $0.serial = serial }
            }
            // Whoever waits for an account that is being opened goes on waiting.
            registrations[home.node] = Registration(request: registrations[home.node]?.request ?? 0, now)
        }
        settings.nextPublish = now
        try settings.save(&store)
        awaitingPublication.append(
            AwaitedRecord(request: request, started: now, change: .rotated(after: settings.sequence)))
        mailboxes.replaceAll(now)
    }

    /// Homes that do not have the present key of their account yet.
    public var pendingTakeOvers: Int { settings.homes.count { $0.account != nil && $0.serial < identity.serial } }

    /// Destroys sealing keys that nothing can be under way for any more.
    mutating func destroyRetiredKeys(
        _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let homes = settings.homes.filter { $0.account != nil }.map(\.node)
        let isOver = { (key: Identity.Retired) -> Bool in
            let since = Timestamp(seconds: key.since)
            if now >= since.adding(seconds: AgentCore.retiredMost) { return true }
            let due = since.adding(seconds: AgentCore.retiredLeast)
            return now >= due && homes.allSatisfy { homeContacts[$0]?.lastEmpty.map { $0 >= due } ?? false }
        }
        guard identity.retired.contains(where: isOver) else { return }
        identity = identity.forgetting(isOver)
        try identity.save(&store)
    }
}

/// The highest serial of each contact's keys that was ever seen: a record with a lower one shows keys that were revoked.
struct ContactSerials: Sendable {
    static let table = Table("serials")
    /// Contacts that replaced their keys; of more, records are believed by their sequence alone.
    static let limit = 100_000

    private var highest: [NetworkID: UInt64] = [:]

    init(_ store: borrowing some (KeyValueStore & ~Copyable)) throws(StorageError) {
        var found: [NetworkID: UInt64] = [:]
        try store.scan(ContactSerials.table, from: []) { key, value in
            if let id = Bytes32(key), let serial = number(value) {
                found[NetworkID(key: VerifyingKey(id))] = serial
            }
            return found.count < ContactSerials.limit
        }
        highest = found
    }

    func floor(of id: NetworkID) -> UInt64 { highest[id] ?? 0 }

    mutating func note(
        _ serial: UInt64, of id: NetworkID, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard serial > floor(of: id), highest[id] != nil || highest.count < ContactSerials.limit else { return }
        highest[id] = serial
        try store.put(ContactSerials.table, id.key.bytes.bytes, numberKey(serial))
    }
}
