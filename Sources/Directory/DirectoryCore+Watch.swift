import Primitives
import Records
import Storage
import Wire

/// Whom to begin with, and what looks like an eclipse.
extension DirectoryCore {
    /// Milliseconds after a restart until the servers of the last run should have answered.
    static let anchorWait: UInt64 = 60_000

    mutating func begin(
        _ endpoints: [Endpoint], from source: BootstrapSource, _ now: Timestamp, _ effects: inout [DirectoryEffect]
    ) {
        trust.expect(endpoints, from: source)
        ask(endpoints, now, &effects)
    }

    mutating func ask(_ endpoints: [Endpoint], _ now: Timestamp, _ effects: inout [DirectoryEffect]) {
        bootstrap = Array(
            (endpoints + bootstrap.filter { !endpoints.contains($0) }).prefix(DirectoryCore.rejoinLimit))
        for endpoint in endpoints { call(.ping, endpoint, .ping, now, &effects) }
    }

    /// Whether nobody new comes into the routing table: during an alarm, unless it is nearly empty.
    func isFrozen(_ now: Timestamp) -> Bool { table.count >= RoutingTable.k && watch.isAlarmed(at: now) }

    mutating func raise(_ alarm: EclipseWatch.Alarm?, _ now: Timestamp, _ effects: inout [DirectoryEffect]) {
        guard let alarm else { return }
        counters.alarms += 1
        effects.append(.alarm(alarm, detail: alarm.detail))
    }

    /// A server has come into the routing table.
    mutating func watchJoin(_ contact: Contact, _ now: Timestamp, _ effects: inout [DirectoryEffect]) {
        guard table.count >= EclipseWatch.least else { return }
        let prefix = contact.endpoint.address.prefixKey
        let same = table.count(prefix: prefix)
        let share = Double(same) / Double(table.count)
        raise(watch.joined(prefix: prefix, share: share, now: now), now, &effects)
    }

    /// A search is over: whether somebody has gathered where it ended, or lies there.
    mutating func watchSearch(_ iteration: Iteration, _ now: Timestamp, _ effects: inout [DirectoryEffect]) {
        raise(watch.falseRecords(iteration.liars.count, now: now), now, &effects)
        // Without a map nobody knows how many there should be.
        guard nodes.count >= EclipseWatch.least else { return }
        judge(iteration.shown, around: iteration.target, now, &effects)
    }

    /// The hourly round: the places of this server and of records that it holds, on the map of today and among contacts.
    mutating func lookOut(
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [DirectoryEffect],
        _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        if let due = anchorCheck, now >= due {
            anchorCheck = nil
            let strangers = max(0, table.count - trust.anchorsAnswered)
            let alarm = watch.anchors(
                answered: trust.anchorsAnswered, of: trust.anchors, strangers: strangers, now: now)
            raise(alarm, now, &effects)
        }
        guard now >= nextWatch else { return }
        nextWatch = now.adding(milliseconds: EclipseWatch.roundInterval)
        guard nodes.count >= EclipseWatch.least else { return }
        let keys = try watchedKeys(from: entropy.array(Bytes32.count), store)
        let placement = placement(now.epoch)
        raise(watch.check(placement, own: own, keys: keys, now: now), now, &effects)
        // Strangers are on no map, but those near a key get to know who comes to live there.
        for target in [own] + keys.map({ placement.searchTarget(of: $0) }) {
            let near = table.closest(to: target, EclipseWatch.crowdScales.max() ?? 0)
            judge(near.map(\.nodeID), around: target, isLook: true, now, &effects)
        }
    }

    private mutating func judge(
        _ found: [NodeID], around target: Bytes32, isLook: Bool = false, _ now: Timestamp,
        _ effects: inout [DirectoryEffect]
    ) {
        var distances: [Bytes32] = []
        var strangers: Set<Bytes32> = []
        for node in found {
            let distance = node.distance(to: target)
            distances.append(distance)
            if !isListed(node) { strangers.insert(distance) }
        }
        distances.sort()
        let alarm = watch.crowd(distances, strangers: strangers, nodes: nodes.count, isLook: isLook, now: now)
        raise(alarm, now, &effects)
    }

    /// Of the records held those at and after a random place, and around: who holds few looks after all of them.
    func watchedKeys(
        from start: [UInt8], _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [VerifyingKey] {
        var keys: [VerifyingKey] = []
        for place in [start, []] where keys.count < EclipseWatch.keyLimit {
            try store.scan(RecordStore.table, from: place) { key, _ in
                if let key = Bytes32(key).map({ VerifyingKey($0) }), !keys.contains(key) { keys.append(key) }
                return keys.count < EclipseWatch.keyLimit
            }
        }
        return keys
    }
}

extension EclipseWatch.Alarm {
    /// For the operator, without any key or address.
    public var detail: String {
        switch self {
        case .density(let nodes, let hundredths):
            "\(nodes) servers lie where \(hundredths / 100).\(hundredths % 100) are expected"
        case .joinRate(let joins): "\(joins) servers of one network joined within an hour"
        case .anchors(let answered, let all): "of \(all) servers known before the restart \(answered) answered"
        case .crowd(let nodes, let hundredths):
            "\(nodes) servers answered where a search ended and \(hundredths / 100).\(hundredths % 100) are expected"
        case .strangers(let nodes, let all): "of \(all) servers where a search ended \(nodes) are on no map"
        case .falseRecords(let nodes): "\(nodes) servers sent false records in one search"
        case .size(let now, let before): "the map has \(now) directory servers and had \(before)"
        }
    }
}
