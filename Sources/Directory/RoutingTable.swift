import Primitives
import Records
import Wire

/// Kademlia's buckets (Maymounkov and Mazières, 2002), with limits against crowding by one network or one operator
/// (specs/directory.md, "Routing table"). Only servers that have proven their identity come in.
struct RoutingTable: Sendable {
    /// Contacts in one bucket.
    static let k = 20
    /// Contacts of one address prefix in one bucket.
    static let prefixLimit = 4
    /// Contacts of one cluster in one bucket.
    static let clusterLimit = 4
    /// Contacts of one address prefix in an answer while others are known.
    static let answerPrefixLimit = 2
    /// Contacts in an answer that are not on the map while others are known.
    static let answerStrangerLimit = 1
    /// Contacts that wait for a place in a full bucket.
    private static let waitingLimit = 8
    /// Calls in a row that a contact may leave unanswered.
    private static let failureLimit: UInt8 = 2

    struct Entry: Sendable {
        let contact: Contact
        /// The first eight bytes of the cluster's key; 0 while it is not known.
        let cluster: UInt64
        let prefix: UInt64
        var lastSeen: Timestamp
        var roundTrip = RoundTrip()
        var failures: UInt8 = 0
        /// Whether the map has it; everybody is listed while no map is known.
        var isListed = true
        /// The day on which it came in, of which one byte is kept: simulations hold tens of millions of entries.
        var day: UInt8

        /// Whether it came in today or yesterday.
        func isNew(on epoch: UInt64) -> Bool { UInt8(truncatingIfNeeded: epoch) &- day < 2 }
    }

    private struct Bucket: Sendable {
        var entries: [Entry] = []
        var waiting: [Entry] = []
    }

    let own: NodeID
    // By the number of leading bits shared with the own ID; as long as the deepest that was ever used.
    private var buckets: [Bucket] = []
    private(set) var count = 0

    init(own: NodeID) { self.own = own }

    enum Insertion {
        case inserted
        case refreshed
        /// Came in for a contact that the map does not have.
        case replaced(Contact)
        /// The bucket is full: ask this one whether it still lives, if it was silent for long.
        case full(oldest: Entry)
        case refused
    }

    /// - Parameters:
    ///   - isListed: whether the map has the contact; then it takes the place of one that the map does not have.
    ///   - isFrozen: whether nobody new comes in; who is there is refreshed all the same.
    ///   - isAnchor: whether it was a contact of the last run, and is not new by that.
    mutating func insert(
        _ contact: Contact, cluster: VerifyingKey? = nil, isListed: Bool = true, isFrozen: Bool = false,
        isAnchor: Bool = false, now: Timestamp
    ) -> Insertion {
        guard contact.nodeID != own else { return .refused }
        let index = own.distance(to: contact.nodeID).leadingZeros
        while buckets.count <= index { buckets.append(Bucket()) }
        var entry = Entry(
            contact: contact, cluster: cluster?.bytes.leadingWord ?? 0, prefix: contact.endpoint.address.prefixKey,
            lastSeen: now, isListed: isListed,
            day: UInt8(truncatingIfNeeded: now.epoch) &- (isAnchor ? 2 : 0))
        if let place = buckets[index].entries.firstIndex(where: { $0.contact.nodeID == contact.nodeID }) {
            entry.roundTrip = buckets[index].entries[place].roundTrip
            entry.day = buckets[index].entries[place].day
            buckets[index].entries.remove(at: place)
            buckets[index].entries.append(entry)
            return .refreshed
        }
        guard !isFrozen,
            buckets[index].entries.count(where: { $0.prefix == entry.prefix }) < RoutingTable.prefixLimit,
            entry.cluster == 0
                || buckets[index].entries.count(where: { $0.cluster == entry.cluster }) < RoutingTable.clusterLimit
        else { return .refused }
        guard buckets[index].entries.count >= RoutingTable.k else {
            buckets[index].entries.append(entry)
            count += 1
            return .inserted
        }
        if isListed, let place = buckets[index].entries.lastIndex(where: { !$0.isListed }) {
            let stranger = buckets[index].entries.remove(at: place).contact
            buckets[index].entries.append(entry)
            return .replaced(stranger)
        }
        buckets[index].waiting.removeAll { $0.contact.nodeID == contact.nodeID }
        buckets[index].waiting.append(entry)
        if buckets[index].waiting.count > RoutingTable.waitingLimit { buckets[index].waiting.removeFirst() }
        return buckets[index].entries.first.map { .full(oldest: $0) } ?? .refused
    }

    /// A contact did not answer.
    /// - Parameter isFrozen: whether nobody new takes its place.
    /// - Returns: the one that is dropped for it, and who took the place.
    mutating func failed(_ node: NodeID, isFrozen: Bool = false) -> (removed: Contact, added: Contact?)? {
        guard let (index, place) = find(node) else { return nil }
        buckets[index].entries[place].failures += 1
        buckets[index].entries[place].roundTrip.backOff()
        guard buckets[index].entries[place].failures >= RoutingTable.failureLimit else { return nil }
        let removed = buckets[index].entries.remove(at: place).contact
        count -= 1
        guard !isFrozen, let added = buckets[index].waiting.popLast() else { return (removed, nil) }
        buckets[index].entries.append(added)
        count += 1
        return (removed, added.contact)
    }

    /// A contact answered after so many milliseconds.
    mutating func measured(_ node: NodeID, milliseconds: UInt64) {
        guard let (index, place) = find(node) else { return }
        buckets[index].entries[place].roundTrip.measured(milliseconds)
    }

    /// The map has changed.
    mutating func markListed(_ isListed: (NodeID) -> Bool) {
        for index in buckets.indices {
            for place in buckets[index].entries.indices {
                buckets[index].entries[place].isListed = isListed(buckets[index].entries[place].contact.nodeID)
            }
            for place in buckets[index].waiting.indices {
                buckets[index].waiting[place].isListed = isListed(buckets[index].waiting[place].contact.nodeID)
            }
        }
    }

    private func find(_ node: NodeID) -> (bucket: Int, place: Int)? {
        let index = own.distance(to: node).leadingZeros
        guard index < buckets.count,
            let place = buckets[index].entries.firstIndex(where: { $0.contact.nodeID == node })
        else { return nil }
        return (index, place)
    }

    func entry(_ node: NodeID) -> Entry? {
        find(node).map { buckets[$0.bucket].entries[$0.place] }
    }

    func contact(_ node: NodeID) -> Contact? { entry(node)?.contact }

    func knows(_ endpoint: Endpoint) -> Bool {
        // Eight bytes tell nearly all apart.
        let word = endpoint.linkKey.bytes.leadingWord
        return buckets.contains { bucket in
            bucket.entries.contains {
                $0.contact.endpoint.linkKey.bytes.leadingWord == word && $0.contact.endpoint == endpoint
            }
        }
    }

    /// The contacts closest to `target` by XOR.
    ///
    /// Buckets come in groups that are already in order: the target's own, then all deeper ones together, then one
    /// shallower after the other. So only the group in which the limit is reached is sorted in vain.
    func closest(to target: Bytes32, _ limit: Int) -> [Contact] {
        nearest(to: target, limit, isAlive: { _ in true }, prefixLimit: .max)
    }

    /// The same of those that came in before yesterday.
    func closestSettled(to target: Bytes32, _ limit: Int, now: Timestamp) -> [Contact] {
        nearest(to: target, limit, isAlive: { !$0.isNew(on: now.epoch) }, prefixLimit: .max)
    }

    /// Contacts for an answer to others: seen since `since`, without a failed call, of one prefix no more than
    /// ``answerPrefixLimit`` and not on the map no more than ``answerStrangerLimit`` while others are known. Strangers can
    /// gather around a key as they like; servers of the map cannot.
    func answer(to target: Bytes32, _ limit: Int, since: Timestamp) -> [Contact] {
        func isAlive(_ entry: Entry) -> Bool { entry.lastSeen >= since && entry.failures == 0 }
        let prefixLimit = RoutingTable.answerPrefixLimit
        let strangers = nearest(
            to: target, min(limit, RoutingTable.answerStrangerLimit), isAlive: { isAlive($0) && !$0.isListed },
            prefixLimit: prefixLimit)
        let near =
            nearest(
                to: target, limit - strangers.count, isAlive: { isAlive($0) && $0.isListed }, prefixLimit: prefixLimit)
            + strangers
        guard near.count < limit else { return near }
        let more = nearest(to: target, limit, isAlive: isAlive, prefixLimit: .max).filter { !near.contains($0) }
        return near + more.prefix(limit - near.count)
    }

    private func nearest(
        to target: Bytes32, _ limit: Int, isAlive: (Entry) -> Bool, prefixLimit: Int
    ) -> [Contact] {
        var out: [Contact] = []
        var prefixes: [UInt64: Int] = [:]
        let depth = min(own.distance(to: target).leadingZeros, buckets.count)
        func take(_ range: Range<Int>) {
            var group: [(distance: Bytes32, bucket: Int, place: Int)] = []
            for index in range {
                for place in buckets[index].entries.indices {
                    let entry = buckets[index].entries[place]
                    guard isAlive(entry) else { continue }
                    group.append((entry.contact.nodeID.distance(to: target), index, place))
                }
            }
            group.sort { $0.distance.precedes($1.distance) }
            for (_, bucket, place) in group where out.count < limit {
                let entry = buckets[bucket].entries[place]
                if prefixLimit != .max {
                    guard prefixes[entry.prefix, default: 0] < prefixLimit else { continue }
                    prefixes[entry.prefix, default: 0] += 1
                }
                out.append(entry.contact)
            }
        }
        if depth < buckets.count {
            take(depth..<depth + 1)
            if out.count < limit { take(depth + 1..<buckets.count) }
        }
        for index in stride(from: depth - 1, through: 0, by: -1) where out.count < limit { take(index..<index + 1) }
        return out
    }

    /// Contacts of one prefix.
    func count(prefix: UInt64) -> Int {
        buckets.reduce(0) { sum, bucket in sum + bucket.entries.count { $0.prefix == prefix } }
    }

    /// The clock went back: whoever was heard of by the wrong one was heard of so much earlier.
    mutating func turnBack(by amount: UInt64, to now: Timestamp) {
        for index in buckets.indices {
            for place in buckets[index].entries.indices where buckets[index].entries[place].lastSeen > now {
                let seen = buckets[index].entries[place].lastSeen
                buckets[index].entries[place].lastSeen = min(now, seen.earlier(by: amount))
            }
        }
    }

    /// All contacts, the farthest buckets first.
    var contacts: [Contact] { buckets.flatMap { $0.entries.map(\.contact) } }

    /// The entries of all buckets, the farthest first.
    var entries: [Entry] { buckets.flatMap(\.entries) }

    /// The contact that was silent longest, and since when.
    var stalest: (contact: Contact, lastSeen: Timestamp)? {
        var best: (bucket: Int, place: Int)?
        var since = Timestamp(milliseconds: .max)
        for index in buckets.indices {
            for place in buckets[index].entries.indices where buckets[index].entries[place].lastSeen < since {
                since = buckets[index].entries[place].lastSeen
                best = (index, place)
            }
        }
        return best.map { (buckets[$0.bucket].entries[$0.place].contact, since) }
    }

    /// The contact that was silent longest, when it was silent for `age` milliseconds.
    func stalest(_ age: UInt64, now: Timestamp) -> Contact? {
        guard let stalest, now.milliseconds(since: stalest.lastSeen) >= age else { return nil }
        return stalest.contact
    }

    /// A random target in the bucket `index`, for refreshing it.
    func target(inBucket index: Int, _ entropy: inout Entropy) -> Bytes32 {
        var bytes = entropy.bytes(Bytes32.self).bytes
        let own = self.own.bytes
        for bit in 0..<min(index, 255) {
            let mask = UInt8(0x80) >> UInt8(bit % 8)
            bytes[bit / 8] = bytes[bit / 8] & ~mask | own[bit / 8] & mask
        }
        let mask = UInt8(0x80) >> UInt8(index % 8)
        if index < 256 { bytes[index / 8] = bytes[index / 8] & ~mask | ~own[index / 8] & mask }
        return Bytes32(bytes) ?? Bytes32()
    }
}
