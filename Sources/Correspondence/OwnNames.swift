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
    /// Whether the home has given it.
    var isGranted: Bool

    init(name: String, home: NodeID, label: Bytes32, pointer: [UInt8]) {
        self.name = name
        self.home = home
        self.label = label
        self.pointer = pointer
        isGranted = false
    }

    init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        name = try reader.string(limit: FriendlyName.nameLimit, field: "name")
        home = try reader.fixed()
        label = try reader.fixed()
        pointer = try reader.prefixed(limit: NamePointer.size, field: "pointer")
        let flags = try reader.uint8()
        guard flags <= 1 else { throw .outOfRange(field: "flags") }
        isGranted = flags == 1
        try reader.finish()
    }

    func encode() -> [UInt8] {
        var writer = Writer(capacity: 240)
        writer.string(name)
        writer.fixed(home)
        writer.fixed(label)
        writer.prefixed(pointer)
        writer.uint8(isGranted ? 1 : 0)
        return writer.bytes
    }
}

/// The user's names, and what is under way for them.
struct OwnNames: Sendable {
    static let table = Table("own-names")
    /// Names at all homes together.
    static let limit = 16

    /// A question to the home for one epoch's record, or a release.
    struct Question: Sendable {
        var isRelease = false
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

    var isIdle: Bool { waiting.isEmpty }

    var wakes: [Timestamp] {
        questions.values.map(\.nextTry) + publications.values.filter { !$0.isFinished }.map(\.nextStep)
    }

    /// The clock went back: records are published anew with that of the ID.
    mutating func turnBack(to now: Timestamp) {
        for key in questions.keys { questions[key]?.nextTry = now }
        publications = [:]
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
        questions = questions.filter { $0.key.label != label }
        publications = publications.filter { $0.key.label != label }
        try store.delete(OwnNames.table, label.bytes)
    }
}

/// A name that is being resolved.
struct NameLookup: Sendable {
    let query: NameQuery
    var lookup: Lookup<NetworkID>
    var requests: [UInt64]
}
