import Primitives
import Records
import Storage
import Wire

/// A record of the user's own ID that this agent did not publish.
public struct ForeignRecord: Sendable, Equatable {
    /// Seconds since 1970.
    public var published: UInt64
    /// When this agent saw it.
    public var noticed: Timestamp
    /// Of the keys in it.
    public var serial: UInt64
    /// Whether they are this agent's keys.
    public var hasOwnKeys: Bool
    /// Of this agent's keys when it saw the record, and later those of now.
    public var ownSerial: UInt64
    /// Foreign records noticed within a day.
    public var sightings: Int

    /// Whether its keys revoke this agent's: messages are sealed to them, and cannot be read here.
    public var revokesOwn: Bool { serial > ownSerial }

    /// Whether it was seen so often that somebody must be publishing on purpose.
    public var isContested: Bool { sightings >= OwnRecordWatch.contestedAfter }
}

/// What this agent has published of its ID, by which it recognises what somebody else published in its name: a copy of
/// the identity, in a thief's hands or the user's own (specs/agent.md, "Copies of an identity").
///
/// Records are signed under the ID's key, so a foreign one is proof that somebody else has that key; holders cannot make one.
struct OwnRecordWatch: Sendable {
    /// Foreign records within a day after which the agent does not answer them at once any more.
    static let contestedAfter = 3
    /// Seconds for which a sighting counts, and a notice is shown unless keys were revoked.
    static let memory: UInt64 = 86_400
    /// Milliseconds between two questions for a sign that anybody can give.
    static let pause: UInt64 = 600_000
    private static let key = Array("own-records".utf8)
    private static let dayLimit = 3
    private static let sightingLimit = 8

    private static let ownLimit = 8

    private struct Day {
        /// The seconds of the last records that this agent published, and of the latest foreign one.
        var own: [UInt64] = []
        var foreign: UInt64 = 0
    }

    private var days: [UInt64: Day] = [:]
    /// When foreign records were noticed.
    private var sightings: [UInt64] = []
    private var last: ForeignRecord?
    /// When a sign may lead to a question again.
    private var nextQuestion: Timestamp?

    init(_ store: borrowing some (KeyValueStore & ~Copyable)) throws(StorageError) {
        guard let bytes = try store.get(AgentCore.state, OwnRecordWatch.key) else { return }
        do throws(WireError) {
            var reader = Reader(bytes)
            for _ in 0..<min(OwnRecordWatch.dayLimit, Int(try reader.uint8())) {
                let epoch = try reader.uint64()
                var day = Day(foreign: try reader.uint64())
                for _ in 0..<min(OwnRecordWatch.ownLimit, Int(try reader.uint8())) {
                    day.own.append(try reader.uint64())
                }
                days[epoch] = day
            }
            for _ in 0..<min(OwnRecordWatch.sightingLimit, Int(try reader.uint8())) {
                sightings.append(try reader.uint64())
            }
            guard try reader.uint8() == 1 else { return }
            let published = try reader.uint64()
            let noticed = Timestamp(milliseconds: try reader.uint64())
            let serial = try reader.uint64()
            let ownSerial = try reader.uint64()
            last = ForeignRecord(
                published: published, noticed: noticed, serial: serial, hasOwnKeys: try reader.uint8() == 1,
                ownSerial: ownSerial, sightings: sightings.count)
        } catch { throw .corrupt("the own records: \(error)") }
    }

    func save(_ store: inout some (KeyValueStore & ~Copyable)) throws(StorageError) {
        var writer = Writer(capacity: 160)
        writer.uint8(UInt8(truncatingIfNeeded: days.count))
        for (epoch, day) in days.sorted(by: { $0.key < $1.key }) {
            writer.uint64(epoch)
            writer.uint64(day.foreign)
            writer.uint8(UInt8(truncatingIfNeeded: day.own.count))
            for second in day.own { writer.uint64(second) }
        }
        writer.uint8(UInt8(truncatingIfNeeded: sightings.count))
        for sighting in sightings { writer.uint64(sighting) }
        writer.uint8(last == nil ? 0 : 1)
        if let last {
            writer.uint64(last.published)
            writer.uint64(last.noticed.milliseconds)
            writer.uint64(last.serial)
            writer.uint64(last.ownSerial)
            writer.uint8(last.hasOwnKeys ? 1 : 0)
        }
        try store.put(AgentCore.state, OwnRecordWatch.key, writer.bytes)
    }

    /// The second of the last record that this agent published for the epoch; 0 if there is none.
    func own(_ epoch: UInt64) -> UInt64 { days[epoch]?.own.last ?? 0 }

    /// Whether this agent has ever published: else there is nothing to be told from its own.
    var hasPublished: Bool { days.values.contains { !$0.own.isEmpty } }

    /// The second under which the epoch's next record is published: above all that are known.
    func next(_ epoch: UInt64, _ now: Timestamp) -> UInt64 {
        let day = days[epoch] ?? Day()
        let above = { (second: UInt64) in second == .max ? .max : second + 1 }
        return max(now.seconds, above(day.own.last ?? 0), above(day.foreign))
    }

    mutating func published(_ epoch: UInt64, second: UInt64) {
        var day = days[epoch] ?? Day()
        day.own = (day.own + [second]).suffix(OwnRecordWatch.ownLimit)
        days[epoch] = day
        forgetDays(farFrom: epoch)
    }

    /// A record of the own ID that is newer than what its holder should have had.
    /// - Returns: what to tell the user, unless this one was told already.
    mutating func take(
        second: UInt64, epoch: UInt64, serial: UInt64, hasOwnKeys: Bool, ownSerial: UInt64, _ now: Timestamp
    ) -> ForeignRecord? {
        let day = days[epoch] ?? Day()
        guard second > day.foreign, !day.own.contains(second) else { return nil }
        days[epoch, default: Day()].foreign = second
        forgetDays(farFrom: epoch)
        sightings = sightings.filter { $0 <= now.seconds && now.seconds - $0 < OwnRecordWatch.memory }
        sightings.append(now.seconds)
        sightings = Array(sightings.suffix(OwnRecordWatch.sightingLimit))
        let record = ForeignRecord(
            published: second, noticed: now, serial: serial, hasOwnKeys: hasOwnKeys, ownSerial: ownSerial,
            sightings: sightings.count)
        last = record
        return record
    }

    /// Also days that only a clock that was ahead has seen give way to those of now.
    private mutating func forgetDays(farFrom epoch: UInt64) {
        let distance = { (day: UInt64) in max(day, epoch) - min(day, epoch) }
        while days.count > OwnRecordWatch.dayLimit,
            let farthest = days.keys.max(by: { distance($0) < distance($1) })
        {
            days[farthest] = nil
        }
    }

    /// Whether a sign of a foreign record is to be followed: holders and senders can give false ones.
    mutating func follows(_ now: Timestamp) -> Bool {
        if let next = nextQuestion, now < next, next.milliseconds - now.milliseconds <= OwnRecordWatch.pause {
            return false
        }
        nextQuestion = now.adding(milliseconds: OwnRecordWatch.pause)
        return true
    }

    /// What the user has to know of: for a day, as long as his keys are revoked, and until he has replaced them.
    func notice(serial: UInt64, _ now: Timestamp) -> ForeignRecord? {
        guard var last, serial <= max(last.serial, last.ownSerial) else { return nil }
        last.ownSerial = serial
        let isOld = now.seconds >= last.noticed.seconds && now.seconds - last.noticed.seconds >= OwnRecordWatch.memory
        return isOld && !last.revokesOwn ? nil : last
    }

    /// The serial that keys must exceed to count.
    var highestSerial: UInt64 { last?.serial ?? 0 }
}
