import Wire

/// How much work others may cause: requests a second for each address prefix, requests in envelopes all together, and
/// signature checks (specs/directory.md, "Budgets"). Refused before any cryptography.
struct RequestBudget: Sendable {
    /// Prefixes that are counted one by one; further ones share a bucket.
    static let prefixLimit = 1024
    private static let shared: UInt64 = .max
    /// Requests in envelopes, which have no sender.
    static let sealed: UInt64 = 0

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
    private var checks: Bucket?
    private var signatures: Bucket?

    mutating func admit(_ sender: UInt64, _ configuration: DirectoryConfiguration, _ now: Timestamp) -> Bool {
        if requests[sender] == nil, requests.count >= RequestBudget.prefixLimit {
            // Whose bucket is full again by now need not be remembered.
            requests = requests.filter { now.milliseconds(since: $0.value.filled) < 1000 }
        }
        let isCounted = requests[sender] != nil || requests.count < RequestBudget.prefixLimit
        let key = isCounted ? sender : RequestBudget.shared
        let rate = Double(sender == RequestBudget.sealed ? configuration.sealedRate : configuration.prefixRate)
        return requests[key, default: Bucket(tokens: rate, filled: now)].take(rate: rate, now)
    }

    /// Whether a signature may be checked now.
    mutating func check(_ configuration: DirectoryConfiguration, _ now: Timestamp) -> Bool {
        let rate = Double(configuration.checkRate)
        var bucket = checks ?? Bucket(tokens: rate, filled: now)
        defer { checks = bucket }
        return bucket.take(rate: rate, now)
    }

    /// Whether a statement may be signed now.
    mutating func sign(_ configuration: DirectoryConfiguration, _ now: Timestamp) -> Bool {
        let rate = Double(configuration.signatureRate)
        var bucket = signatures ?? Bucket(tokens: rate, filled: now)
        defer { signatures = bucket }
        return bucket.take(rate: rate, now)
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
    mutating func append(_ item: Item, of peer: UInt64) -> Bool {
        let room = peer == RequestBudget.sealed ? FairQueue.sealedLimit : FairQueue.peerLimit
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
