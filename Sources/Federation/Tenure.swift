import Primitives
import Records
import Storage
import Wire

/// Which servers came onto the map lately, as one observer saw it or was told: they may not hold records yet
/// (specs/map.md, "Newcomers").
///
/// When a server came is nobody's word but the observer's own. Only those of the last two epochs are kept; of an
/// observer that was not there itself, whoever it finds on the map counts, until others have told it who is new.
struct Tenure: Sendable {
    static let table = Table("newcomers")
    /// A server counts from the second epoch after the one in which it came: the first one whose shared random value
    /// nobody could know then.
    static let probation: UInt64 = 2
    /// Milliseconds after which a map whose first link stands has come together.
    static let catchUp: UInt64 = 600_000
    /// Milliseconds between two notes of the time in the store.
    private static let noteInterval: UInt64 = 600_000
    /// Servers that left and whose arrival is remembered, should they come back.
    private static let departedLimit = 8192
    /// The table's other key, shorter than any identifier: seconds when the map was last followed 8 ‖ `begin` 8.
    private static let stateKey: [UInt8] = [0]

    /// The epochs in which those came that came in the last two.
    private(set) var arrivals: [Bytes16: UInt64] = [:]
    /// From this epoch on every arrival was seen, or told by others.
    private(set) var begin: UInt64 = .max
    /// What others told of servers that this map had not yet.
    private var told: [UInt64: UInt64] = [:]
    /// Arrival, if it was lately, and the epoch of leaving.
    private var departed: [Bytes16: (arrival: UInt64, left: UInt64)] = [:]
    private var followed: Timestamp?
    private var noted: Timestamp?
    private var linkedSince: Timestamp?
    private var today: UInt64 = 0

    init() {}

    init(_ store: borrowing some (KeyValueStore & ~Copyable)) throws(StorageError) {
        var rows: [(key: [UInt8], value: [UInt8])] = []
        try store.scan(Tenure.table, from: []) { key, value in
            rows.append((key, value))
            return true
        }
        for (key, value) in rows {
            var reader = Reader(value)
            // A damaged row may have any number: those that nobody can count on from are no row at all.
            guard let first = try? reader.uint64(), first < .max / 1000 else { continue }
            if let id = Bytes16(key) {
                arrivals[id] = first
            } else if key == Tenure.stateKey, let second = try? reader.uint64() {
                followed = Timestamp(seconds: first)
                begin = second
            }
        }
    }

    /// The first epoch in which a server may hold records; 0 for one that always may.
    func countsFrom(_ id: Bytes16) -> UInt64 { arrivals[id].map { $0 &+ Tenure.probation } ?? 0 }

    /// Whether all who came in the epoch of `now` and the one before are known.
    func isComplete(at now: Timestamp) -> Bool { begin < now.epoch }

    // MARK: Time

    /// - Parameter isLinked: whether there is somebody from whom to hear of changes.
    mutating func advance(
        isLinked: Bool, _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        if today != now.epoch { try turn(now, &store) }
        guard isLinked else {
            linkedSince = nil
            return
        }
        if linkedSince == nil {
            linkedSince = now
            // Who was away for less than an epoch takes those who came meanwhile for newcomers of today.
            let isGap = followed.map { $0.epoch + 1 < now.epoch } ?? true
            if isGap { begin = now.epoch + 1 }
        }
        guard isCaughtUp(now) else { return }
        followed = now
        if let noted, now < noted.adding(milliseconds: Tenure.noteInterval) { return }
        try note(now, &store)
    }

    private func isCaughtUp(_ now: Timestamp) -> Bool {
        linkedSince.map { now >= $0.adding(milliseconds: Tenure.catchUp) } ?? false
    }

    private mutating func note(
        _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let followed else { return }
        noted = now
        var writer = Writer(capacity: 16)
        writer.uint64(followed.seconds)
        writer.uint64(begin)
        try store.put(Tenure.table, Tenure.stateKey, writer.bytes)
    }

    /// Another epoch has begun: those who came two epochs ago are newcomers no longer.
    private mutating func turn(
        _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        today = now.epoch
        for (id, arrival) in arrivals where arrival + Tenure.probation <= today {
            arrivals[id] = nil
            try store.delete(Tenure.table, id.bytes)
        }
        told = told.filter { $0.value + Tenure.probation > today }
        departed = departed.filter { $0.value.left + Tenure.probation > today }
    }

    /// The clock went back: who came by the wrong one came today.
    mutating func turnBack(
        by amount: UInt64, to now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        today = now.epoch
        linkedSince = linkedSince.map { min(now, $0.earlier(by: amount)) }
        followed = followed.map { min(now, $0) }
        noted = nil
        for (id, arrival) in arrivals where arrival > today { try set(id, today, now, &store) }
        departed = departed.mapValues { (min($0.arrival, today), min($0.left, today)) }
    }

    // MARK: Coming and going

    /// A server came onto the map.
    mutating func arrived(
        _ id: Bytes16, _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        var epoch = now.epoch
        if let known = departed.removeValue(forKey: id) {
            epoch = known.arrival
        } else if let known = told.removeValue(forKey: NewcomerPage.name(id)) {
            epoch = known
        } else if begin > now.epoch, !isCaughtUp(now) {
            // The map is still coming together: this one may have been there for years.
            return
        }
        try set(id, epoch, now, &store)
    }

    mutating func left(
        _ id: Bytes16, _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let arrival = arrivals.removeValue(forKey: id)
        if arrival != nil { try store.delete(Tenure.table, id.bytes) }
        if departed.count < Tenure.departedLimit { departed[id] = (arrival ?? 0, now.epoch) }
    }

    private mutating func set(
        _ id: Bytes16, _ epoch: UInt64, _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard epoch + Tenure.probation > now.epoch else { return }
        arrivals[id] = epoch
        var writer = Writer(capacity: 8)
        writer.uint64(epoch)
        try store.put(Tenure.table, id.bytes, writer.bytes)
    }

    // MARK: Others' word

    /// What this observer tells others: those who came in this epoch and the last one, by name.
    func page(after: UInt64?, _ now: Timestamp) -> NewcomerPage {
        let named = arrivals.map { (name: NewcomerPage.name($0.key), epoch: $0.value) }
            .filter { $0.epoch + 1 >= now.epoch }
            .filter { entry in after.map { entry.name > $0 } ?? true }
            .sorted { $0.name < $1.name }
        let entries = named.prefix(NewcomerPage.entryLimit).map {
            NewcomerPage.Entry(name: $0.name, isOfToday: $0.epoch >= now.epoch)
        }
        return NewcomerPage(
            epoch: now.epoch, isComplete: isComplete(at: now), hasMore: named.count > entries.count, entries: entries)
    }

    /// Takes what most of a sample says: these came lately, and nobody else of whose arrival nothing was known.
    mutating func learn(
        _ newcomers: [UInt64: UInt64], ids: [UInt64: Bytes16], _ now: Timestamp,
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for (name, epoch) in newcomers {
            if let id = ids[name] {
                if arrivals[id] == nil { try set(id, epoch, now, &store) }
            } else {
                told[name] = epoch
            }
        }
        begin = min(begin, now.epoch - min(now.epoch, 1))
        followed = followed ?? now
        try note(now, &store)
    }
}
