import Directory
import Primitives
import Records
import Storage
import Wire

/// How many living servers hold each user's current record, kept up with every put and every stop, so that no moment is
/// missed at which a record is lost.
struct CopyLedger {
    private static let table = Table("directory/records")

    private var users: [VerifyingKey: Int] = [:]
    private(set) var counts: [Int] = []
    /// Users whose record no living server held at some moment.
    private(set) var lost: Set<Int> = []
    /// The fewest copies that any record had at any moment.
    private(set) var fewest = Int.max
    /// The same without the minutes after a record was published, when only living ones of its holders have it.
    private(set) var fewestLater = Int.max
    private var published: [Timestamp] = []
    /// Milliseconds that those minutes last.
    private static let settled: UInt64 = 300_000

    init(_ world: DirectoryWorld) {
        for (index, user) in world.users.enumerated() { users[user.blindedKey] = index }
        counts = [Int](repeating: 0, count: world.users.count)
        published = [Timestamp](repeating: world.now, count: world.users.count)
        for index in world.users.indices { recount(index, in: world) }
    }

    /// A user has published: only the holders that he knows can have the record at this moment.
    mutating func recount(_ index: Int, in world: DirectoryWorld) {
        let key = world.users[index].blindedKey
        counts[index] = world.placement.holders(of: key).count { holder in
            guard let node = world.indices[holder].map({ world.nodes[$0] }), node.isUp else { return false }
            return (try? node.store.get(CopyLedger.table, key.bytes.bytes)) == world.users[index].record
        }
        published[index] = world.now
        note(index, world.now)
    }

    /// A server stops, and its disk is lost.
    mutating func stopped(_ node: SimulatedDirectory, _ current: [DirectoryUser], _ now: Timestamp) {
        try? node.store.scan(CopyLedger.table, from: []) { key, value in
            if let index = Bytes32(key).flatMap({ users[VerifyingKey($0)] }), value == current[index].record {
                counts[index] -= 1
                note(index, now)
            }
            return true
        }
    }

    /// A server has stored what it did not have.
    mutating func stored(_ message: [UInt8], _ current: [DirectoryUser]) {
        guard case .put(let record)? = try? DirectoryMessage(decoding: message),
            let key = (try? DirectoryRecord(decoding: record))?.blindedKey, let index = users[key],
            current[index].record == record
        else { return }
        counts[index] += 1
    }

    /// What the server holds under the key of a record.
    static func held(_ record: [UInt8], at node: SimulatedDirectory) -> [UInt8]? {
        guard let key = (try? DirectoryRecord(decoding: record))?.blindedKey else { return nil }
        return try? node.store.get(CopyLedger.table, key.bytes.bytes)
    }

    private mutating func note(_ index: Int, _ now: Timestamp) {
        fewest = min(fewest, counts[index])
        if now >= published[index].adding(milliseconds: CopyLedger.settled) {
            fewestLater = min(fewestLater, counts[index])
        }
        if counts[index] <= 0 { lost.insert(index) }
    }
}
