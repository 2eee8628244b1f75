import Wire

/// How much work others may cause: requests a second for each address prefix, requests in envelopes all together, and
/// signature checks (specs/directory.md, "Budgets"). Refused before any cryptography.
struct RequestBudget: Sendable {
    /// Prefixes that are counted one by one; further ones share a bucket.
    static let prefixLimit = 1024
    private static let shared: UInt64 = .max
    /// Milliseconds in which every bucket is full again.
    private static let memory: UInt64 = 1000

    /// A token bucket that holds one second's worth.
    private struct Bucket: Sendable {
        var tokens: Double
        var filled: Timestamp

        mutating func take(rate: Double, _ now: Timestamp) -> Bool {
            tokens = min(rate, tokens + rate * Double(now.milliseconds(since: filled)) / 1000)
            filled = max(filled, now)
            guard tokens >= 1 else { return false }
            tokens -= 1
            return true
        }
    }

    private var requests: [UInt64: Bucket] = [:]
    /// Requests in envelopes, which have no sender: however many prefixes ask, agents have their own.
    private var sealed: Bucket?
    /// When prefixes were last forgotten.
    private var forgotten: Timestamp?
    private var checks: Bucket?
    private var signatures: Bucket?

    /// - Parameter prefix: the sender's; `nil` for a request in an envelope.
    mutating func admit(_ prefix: UInt64?, _ configuration: DirectoryConfiguration, _ now: Timestamp) -> Bool {
        guard let prefix else {
            return RequestBudget.take(from: &sealed, rate: Double(configuration.sealedRate), now)
        }
        if requests[prefix] == nil, requests.count >= RequestBudget.prefixLimit { forget(now) }
        let isCounted = requests[prefix] != nil || requests.count < RequestBudget.prefixLimit
        let key = isCounted ? prefix : RequestBudget.shared
        let rate = Double(configuration.prefixRate)
        return requests[key, default: Bucket(tokens: rate, filled: now)].take(rate: rate, now)
    }

    /// Forgets whose bucket is full again; not for each request of a flood from ever new prefixes.
    private mutating func forget(_ now: Timestamp) {
        if let forgotten, now.milliseconds(since: forgotten) < RequestBudget.memory { return }
        forgotten = now
        requests = requests.filter { now.milliseconds(since: $0.value.filled) < RequestBudget.memory }
    }

    private static func take(from bucket: inout Bucket?, rate: Double, _ now: Timestamp) -> Bool {
        var filled = bucket ?? Bucket(tokens: rate, filled: now)
        defer { bucket = filled }
        return filled.take(rate: rate, now)
    }

    /// Whether a signature may be checked now.
    mutating func check(_ configuration: DirectoryConfiguration, _ now: Timestamp) -> Bool {
        RequestBudget.take(from: &checks, rate: Double(configuration.checkRate), now)
    }

    /// Whether a statement may be signed now.
    mutating func sign(_ configuration: DirectoryConfiguration, _ now: Timestamp) -> Bool {
        RequestBudget.take(from: &signatures, rate: Double(configuration.signatureRate), now)
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
        let token: UInt64
        let record: [UInt8]
        var solution: UInt64?
    }

    private var queues: [UInt64: [Item]] = [:]
    private var turns: [UInt64] = []
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    /// - Returns: false when there is no room for this peer.
    mutating func append(_ item: Item, of group: RecordStore.Group) -> Bool {
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
