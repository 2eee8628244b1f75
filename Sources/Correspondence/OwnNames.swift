import Directory
import Primitives
import Records
import Storage
import Wire

/// A name's record of one epoch.
struct NameKey: Hashable, Sendable, Comparable {
    let label: Bytes32
    let epoch: UInt64

    static func < (left: NameKey, right: NameKey) -> Bool { (left.label, left.epoch) < (right.label, right.epoch) }
}

/// A name that the user has, or wants, at one of his homes.
struct OwnName: Sendable {
    let name: String
    let home: NodeID
    let label: Bytes32
    /// Sealed once, so that the home sees no other each time.
    let pointer: [UInt8]
    var state = State.wanted
    /// The epochs, present and next, of which enough holders have the name's record.
    private(set) var published: [UInt64] = []
    /// And those of which enough holders have the record that says that it was given up.
    private(set) var retracted: [UInt64] = []

    enum State: UInt8, Sendable {
        /// The home has not given it yet.
        case wanted = 0
        case granted = 1
        /// The user gives it up: still here until the directory says so too.
        case releasing = 2
    }

    var isGranted: Bool { state == .granted }

    /// Enough holders have what the home signed last for an epoch.
    mutating func notePublished(_ epoch: UInt64, _ now: Timestamp) {
        let isReleasing = state == .releasing
        retracted = OwnName.list(retracted, with: epoch, isIn: isReleasing, now)
        // What was published once may be there still.
        if !isReleasing { published = OwnName.list(published, with: epoch, isIn: true, now) }
    }

    /// What was published is to be published anew.
    mutating func forgetPublished() { published = [] }

    private static func list(_ epochs: [UInt64], with epoch: UInt64, isIn: Bool, _ now: Timestamp) -> [UInt64] {
        let others = epochs.filter { $0 >= now.epoch && $0 != epoch }
        // A clock that leapt leaves epochs to come, of which no more than the next is of use.
        return (isIn ? others + [epoch] : others).suffix(epochLimit)
    }

    private static let epochLimit = 2

    init(name: String, home: NodeID, label: Bytes32, pointer: [UInt8]) {
        self.name = name
        self.home = home
        self.label = label
        self.pointer = pointer
    }

    init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        name = try reader.string(limit: FriendlyName.nameLimit, field: "name")
        home = try reader.fixed()
        label = try reader.fixed()
        pointer = try reader.prefixed(limit: NamePointer.size, field: "pointer")
        guard let state = State(rawValue: try reader.uint8()) else { throw .outOfRange(field: "state") }
        self.state = state
        published = try OwnName.epochs(&reader)
        retracted = try OwnName.epochs(&reader)
        try reader.finish()
    }

    private static func epochs(_ reader: inout Reader) throws(WireError) -> [UInt64] {
        let count = Int(try reader.uint8())
        guard count <= epochLimit else { throw .outOfRange(field: "epochs") }
        var epochs: [UInt64] = []
        for _ in 0..<count { epochs.append(try reader.uint64()) }
        return epochs
    }

    func encode() -> [UInt8] {
        var writer = Writer(capacity: 240)
        writer.string(name)
        writer.fixed(home)
        writer.fixed(label)
        writer.prefixed(pointer)
        writer.uint8(state.rawValue)
        for list in [published, retracted] {
            writer.uint8(UInt8(truncatingIfNeeded: list.count))
            for epoch in list { writer.uint64(epoch) }
        }
        return writer.bytes
    }
}

/// The user's names, and what is under way for them.
struct OwnNames: Sendable {
    static let table = Table("own-names")
    /// Names at all homes together.
    static let limit = 16

    /// A question to the home for what it signs of a name for one epoch.
    struct Question: Sendable {
        var attempts = 0
        var nextTry: Timestamp
    }

    private(set) var all: [Bytes32: OwnName] = [:]
    var questions: [NameKey: Question] = [:]
    var publications: [NameKey: Publication] = [:]
    /// Requests that wait, by label.
    var waiting: [Bytes32: [UInt64]] = [:]

    init(_ store: borrowing some (KeyValueStore & ~Copyable)) throws(StorageError) {
        var found: [Bytes32: OwnName] = [:]
        try store.scan(OwnNames.table, from: []) { _, value in
            if let name = try? OwnName(decoding: value) { found[name.label] = name }
            return found.count < OwnNames.limit
        }
        all = found
    }

    /// Whether a run may end: what goes on in vain is gone on with in the next one.
    var isIdle: Bool {
        waiting.isEmpty && questions.values.allSatisfy { $0.attempts > 1 }
            && publications.values.allSatisfy { $0.isSufficient || $0.isFinished }
    }

    /// The epochs of which holders are to get what the home signs of a name, and have not got it yet.
    /// - Parameter last: the last epoch for which there is a record of the user's own.
    func missing(of name: OwnName, through last: UInt64, _ now: Timestamp) -> [UInt64] {
        let epochs = last == now.epoch + 1 ? [now.epoch, last] : [now.epoch]
        switch name.state {
        case .wanted: return name.published.contains(now.epoch) ? [] : [now.epoch]
        case .granted: return epochs.filter { !name.published.contains($0) }
        case .releasing: return epochs.filter { !name.retracted.contains($0) }
        }
    }

    /// Milliseconds until a home that does not answer, or says no, is asked again, and until holders are.
    static let slowRetry: UInt64 = 600_000
    static let publishRetry: UInt64 = 60_000

    /// Records that too few holders took are not asked for anew before then.
    private var pauses: [NameKey: Timestamp] = [:]

    mutating func pause(_ key: NameKey, _ now: Timestamp) {
        pauses = pauses.filter { $0.value > now }
        pauses[key] = now.adding(milliseconds: OwnNames.publishRetry)
    }

    /// Asks for whatever records are not with their holders yet: a run that ended too early, or a day that began, left
    /// them out.
    mutating func askForMissing(through last: UInt64, _ now: Timestamp) {
        for name in all.values {
            for epoch in missing(of: name, through: last, now) {
                let key = NameKey(label: name.label, epoch: epoch)
                guard questions[key] == nil, publications[key] == nil else { continue }
                questions[key] = Question(nextTry: max(now, pauses[key] ?? now))
            }
        }
    }

    /// The user wants something else now.
    mutating func forgetSteps(of label: Bytes32) {
        questions = questions.filter { $0.key.label != label }
        publications = publications.filter { $0.key.label != label }
    }

    var wakes: [Timestamp] {
        questions.values.map(\.nextTry) + publications.values.filter { !$0.isFinished }.map(\.nextStep)
    }

    /// The clock went back: records are published anew with that of the ID.
    mutating func turnBack(to now: Timestamp) {
        for key in questions.keys { questions[key]?.nextTry = now }
        publications = [:]
        pauses = [:]
    }

    mutating func put(
        _ name: OwnName, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        all[name.label] = name
        try store.put(OwnNames.table, name.label.bytes, name.encode())
    }

    mutating func remove(
        _ label: Bytes32, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        all[label] = nil
        forgetSteps(of: label)
        try store.delete(OwnNames.table, label.bytes)
    }
}

/// A name that is being resolved.
struct NameLookup: Sendable {
    let query: NameQuery
    var lookup: Lookup<NameRecord.Target>
    var requests: [UInt64]
}
