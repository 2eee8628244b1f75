import Wire

/// How much work others may cause: requests a second for each address prefix, requests in envelopes all together, and
/// signature checks (specs/directory.md, "Budgets"). Refused before any cryptography.
struct RequestBudget: Sendable {
    private var proven = PrefixBudget()
    /// Requests whose address may be forged: they use up nothing of those whose address it is.
    private var unproven = PrefixBudget()
    /// Requests in envelopes, which have no sender: however many prefixes ask, agents have their own.
    private var sealed: TokenBucket?
    private var checks: TokenBucket?
    private var signatures: TokenBucket?
    private var unchallenged: TokenBucket?

    /// - Parameter prefix: the sender's; `nil` for a request in an envelope.
    mutating func admit(
        _ prefix: UInt64?, isProven: Bool, _ configuration: DirectoryConfiguration, _ now: Timestamp
    ) -> Bool {
        guard let prefix else { return RequestBudget.take(from: &sealed, rate: configuration.sealedRate, now) }
        return isProven
            ? proven.admit(prefix, rate: configuration.prefixRate, now)
            : unproven.admit(prefix, rate: configuration.unprovenRate, now)
    }

    private static func take(from bucket: inout TokenBucket?, rate: Int, _ now: Timestamp) -> Bool {
        var filled = bucket ?? TokenBucket(rate: rate, now: now)
        defer { bucket = filled }
        return filled.take(rate: rate, now)
    }

    /// Whether a signature may be checked now.
    mutating func check(_ configuration: DirectoryConfiguration, _ now: Timestamp) -> Bool {
        RequestBudget.take(from: &checks, rate: configuration.checkRate, now)
    }

    /// Whether a solution without a challenge may count now.
    mutating func trust(_ configuration: DirectoryConfiguration, _ now: Timestamp) -> Bool {
        RequestBudget.take(from: &unchallenged, rate: configuration.unchallengedRate, now)
    }

    /// Whether a statement may be signed now.
    mutating func sign(_ configuration: DirectoryConfiguration, _ now: Timestamp) -> Bool {
        RequestBudget.take(from: &signatures, rate: configuration.signatureRate, now)
    }
}

/// Puts that wait for a signature check: first in, first out for each peer, and the peers in turn, so that one that
/// sends much waits for itself.
struct FairQueue: Sendable {
    static let peerLimit = 16
    /// Agents cannot be told apart and are one peer, with more room.
    static let sealedLimit = 256
    static let limit = 1024

    struct Item: Sendable {
        let from: Endpoint?
        let isProven: Bool
        let token: UInt64
        let record: [UInt8]
        let effort: PutEffort

        var group: RecordStore.Group { RecordStore.Group(from, isProven: isProven) }
    }

    private var queues: [UInt64: [Item]] = [:]
    private var turns: [UInt64] = []
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    /// - Returns: false when there is no room for this peer.
    mutating func append(_ item: Item) -> Bool {
        let group = item.group
        let room = group == .agents ? FairQueue.sealedLimit : FairQueue.peerLimit
        let peer = group.number
        guard count < FairQueue.limit, queues[peer]?.count ?? 0 < room else { return false }
        if queues[peer] == nil { turns.append(peer) }
        queues[peer, default: []].append(item)
        count += 1
        return true
    }

    /// The next peer's oldest.
    mutating func next() -> Item? {
        guard let peer = turns.first, var queue = queues[peer], let item = queue.first else { return nil }
        queue.removeFirst()
        turns.removeFirst()
        queues[peer] = queue.isEmpty ? nil : queue
        if !queue.isEmpty { turns.append(peer) }
        count -= 1
        return item
    }
}
