import Primitives
import Records
import Wire

/// Kademlia's buckets (Maymounkov and Mazières, 2002), with limits against crowding by one network
/// (specs/directory.md, "Routing table"). Only servers that have proven their identity come in.
struct RoutingTable: Sendable {
    /// Contacts in one bucket.
    static let k = 20
    /// Contacts of one address prefix in one bucket.
    static let prefixLimit = 4
    /// Contacts that wait for a place in a full bucket.
    private static let waitingLimit = 8
    /// Calls in a row that a contact may leave unanswered.
    private static let failureLimit = 2

    struct Entry: Sendable {
        let contact: Contact
        var lastSeen: Timestamp
        var failures = 0
    }

    private struct Bucket: Sendable {
        var entries: [Entry] = []
        var waiting: [Contact] = []
    }

    let own: NodeID
    private var buckets: [Int: Bucket] = [:]
    private(set) var count = 0

    init(own: NodeID) { self.own = own }

    enum Insertion {
        case inserted
        case refreshed
        /// The bucket is full: ask this one whether it still lives.
        case full(oldest: Contact)
        case refused
    }

    mutating func insert(_ contact: Contact, now: Timestamp) -> Insertion {
        guard contact.nodeID != own else { return .refused }
        let index = own.distance(to: contact.nodeID).leadingZeros
        var bucket = buckets[index] ?? Bucket()
        defer { buckets[index] = bucket }
        if let place = bucket.entries.firstIndex(where: { $0.contact.nodeID == contact.nodeID }) {
            bucket.entries.remove(at: place)
            bucket.entries.append(Entry(contact: contact, lastSeen: now))
            return .refreshed
        }
        let prefix = contact.endpoint.address.prefix
        guard bucket.entries.count(where: { $0.contact.endpoint.address.prefix == prefix }) < RoutingTable.prefixLimit
        else { return .refused }
        guard bucket.entries.count >= RoutingTable.k else {
            bucket.entries.append(Entry(contact: contact, lastSeen: now))
            count += 1
            return .inserted
        }
        bucket.waiting.removeAll { $0.nodeID == contact.nodeID }
        bucket.waiting.append(contact)
        if bucket.waiting.count > RoutingTable.waitingLimit { bucket.waiting.removeFirst() }
        return bucket.entries.first.map { .full(oldest: $0.contact) } ?? .refused
    }

    /// A contact did not answer.
    /// - Returns: the one that is dropped for it, and who took the place.
    mutating func failed(_ node: NodeID, now: Timestamp) -> (removed: Contact, added: Contact?)? {
        let index = own.distance(to: node).leadingZeros
        guard var bucket = buckets[index], let place = bucket.entries.firstIndex(where: { $0.contact.nodeID == node })
        else { return nil }
        bucket.entries[place].failures += 1
        guard bucket.entries[place].failures >= RoutingTable.failureLimit else {
            buckets[index] = bucket
            return nil
        }
        let removed = bucket.entries.remove(at: place).contact
        count -= 1
        let added = bucket.waiting.popLast()
        if let added {
            bucket.entries.append(Entry(contact: added, lastSeen: now))
            count += 1
        }
        buckets[index] = bucket
        return (removed, added)
    }

    func contact(_ node: NodeID) -> Contact? {
        buckets[own.distance(to: node).leadingZeros]?.entries.first { $0.contact.nodeID == node }?.contact
    }

    /// The contacts closest to `target` by XOR.
    func closest(to target: Bytes32, _ limit: Int) -> [Contact] {
        let sorted = contacts.map { (distance: $0.nodeID.distance(to: target), contact: $0) }
            .sorted { $0.distance < $1.distance }
        return sorted.prefix(limit).map(\.contact)
    }

    var contacts: [Contact] { buckets.values.flatMap { $0.entries.map(\.contact) } }

    /// The contact that was silent longest, when it was silent for `age` milliseconds.
    func stalest(_ age: UInt64, now: Timestamp) -> Contact? {
        let oldest = buckets.values.flatMap(\.entries).min { $0.lastSeen < $1.lastSeen }
        guard let oldest, now.milliseconds(since: oldest.lastSeen) >= age else { return nil }
        return oldest.contact
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
