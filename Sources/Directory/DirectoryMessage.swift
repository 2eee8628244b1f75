import Primitives
import Records
import Wire

/// A directory request or answer, over UDP and inside envelopes alike (specs/directory.md, "Messages").
public enum DirectoryMessage: Hashable, Sendable {
    /// The record under a blinded key, if this server has it.
    case get(key: VerifyingKey, epoch: UInt64)
    /// Keep this record.
    case put(record: [UInt8])
    /// The contacts closest to a target.
    case findNode(target: Bytes32)
    /// The record, or the contacts closest to one of its places for searches, counted from 0.
    case findValue(key: VerifyingKey, epoch: UInt64, place: UInt8)
    /// Who are you?
    case ping
    /// Search the network for the record on my behalf.
    case iterate(key: VerifyingKey, epoch: UInt64)
    /// What do you know of the epoch's shared random value?
    case askShared(epoch: UInt64)
    /// Keep this record; here is the number that you demanded. Of publishers that know no challenges.
    case solvedPut(record: [UInt8], solution: UInt64)
    /// Which of these records do you lack? Of holders among each other.
    case compare([RecordMark])
    /// Keep this record, of a publisher that knows challenges; with what it has found if it was challenged.
    case challengedPut(record: [UInt8], PuzzleProof?)

    case record([UInt8])
    case missing
    /// No record, and the server's signature under that; on the wire a *missing* with a field more.
    case absent(Absence)
    case stored(sequence: UInt64)
    case refused(Refusal)
    /// The answerer's own signed descriptor, which proves who it is, and contacts.
    case nodes(descriptor: [UInt8], [Contact])
    case shared(SharedAnswer)
    /// The record is looked at when a number comes with it that makes so many bits zero.
    case puzzle(level: Int)
    /// The same to a publisher that knows challenges.
    case challenge(level: Int, Bytes16)
    /// Of each record that was asked for, whether it, and any newer one, is missing.
    case lacking([Bool])

    public enum Refusal: UInt8, Sendable {
        case malformed = 1
        case wrongEpoch = 2
        case expired = 3
        case notResponsible = 4
        /// A record of the same or a higher sequence is held.
        case notNewer = 5
        case wrongSignature = 6
        case full = 7
        case busy = 8
        /// A request that this server does not know: it is of an earlier version.
        case unsupported = 9
    }

    /// First bytes of requests, known or not; answers lie above them.
    static let requestKinds: ClosedRange<UInt8> = 1...64
    /// The highest request of the first version, and the highest known.
    public static let firstVersion: UInt8 = 6
    public static let highestRequest: UInt8 = 11
    /// The request with which publishers that know no challenges show what they have solved.
    static let solvedPutKind: UInt8 = 8
    /// That of those who know them.
    public static let challengedPutKind: UInt8 = 10

    /// Contacts in one answer.
    public static let contactLimit = 6
    /// Records in one comparison.
    public static let compareLimit = 40
    /// The longest descriptor in an answer.
    public static let descriptorLimit = 520
    /// Hits and misses have this size, so that an observer of sizes learns nothing.
    public static let answerSize = 3 + Limits.recordSize
    private static let storedKind: UInt8 = 67

    /// Whether an encoded message says that something is stored.
    static func isPromise(_ encoded: [UInt8]) -> Bool { encoded.first == storedKind }

    public init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        let kind = try reader.uint8()
        switch kind {
        case 1: self = .get(key: VerifyingKey(try reader.fixed()), epoch: try reader.uint64())
        case 2: self = .put(record: try reader.prefixed(limit: Limits.recordSize, field: "record"))
        case 3: self = .findNode(target: try reader.fixed())
        case 4: self = .findValue(key: VerifyingKey(try reader.fixed()), epoch: try reader.uint64(), place: 0)
        case 5: self = .ping
        case 6: self = .iterate(key: VerifyingKey(try reader.fixed()), epoch: try reader.uint64())
        case 7: self = .askShared(epoch: try reader.uint64())
        case DirectoryMessage.solvedPutKind:
            let solution = try reader.uint64()
            self = .solvedPut(
                record: try reader.prefixed(limit: Limits.recordSize, field: "record"), solution: solution)
        case 9: self = .compare(try DirectoryMessage.marks(&reader))
        case DirectoryMessage.challengedPutKind:
            let proof = try PuzzleProof.decode(&reader)
            self = .challengedPut(record: try reader.prefixed(limit: Limits.recordSize, field: "record"), proof)
        case 11:
            let place = try reader.uint8()
            guard (1..<Placement.searchPlaces).contains(place) else { throw .outOfRange(field: "place") }
            self = .findValue(key: VerifyingKey(try reader.fixed()), epoch: try reader.uint64(), place: place)
        case 65:
            self = .record(try reader.prefixed(limit: Limits.recordSize, field: "record"))
            try DirectoryMessage.checkPadding(&reader)
        case 66:
            let isSigned = reader.remaining > Absence.encodedSize ? try reader.uint8() : 0
            guard isSigned <= 1 else { throw .outOfRange(field: "missing") }
            self = isSigned == 1 ? .absent(try Absence(&reader)) : .missing
            try DirectoryMessage.checkPadding(&reader)
        case DirectoryMessage.storedKind: self = .stored(sequence: try reader.uint64())
        case 68:
            guard let refusal = Refusal(rawValue: try reader.uint8()) else { throw .outOfRange(field: "refusal") }
            self = .refused(refusal)
        case 69:
            let descriptor = try reader.prefixed(limit: DirectoryMessage.descriptorLimit, field: "descriptor")
            let count = Int(try reader.uint8())
            guard count <= DirectoryMessage.contactLimit else { throw .outOfRange(field: "contacts") }
            var contacts: [Contact] = []
            for _ in 0..<count { contacts.append(try Contact(&reader)) }
            self = .nodes(descriptor: descriptor, contacts)
        case 70:
            self = .shared(try SharedAnswer(&reader))
            try DirectoryMessage.checkPadding(&reader)
        case 71: self = .puzzle(level: try DirectoryMessage.level(&reader))
        case 72: self = .lacking(try RecordMark.lacking(&reader, count: try DirectoryMessage.markCount(&reader)))
        case 73:
            let level = try DirectoryMessage.level(&reader)
            self = .challenge(level: level, try reader.fixed())
        default: throw .unknownKind(kind)
        }
        try reader.finish()
    }

    /// Whether a server that sends this wants to be known. Whoever only asks for a record or a value is no server, or one
    /// that makes itself known otherwise: to ask back would cost more than the answer.
    var introduces: Bool {
        switch self {
        case .get, .askShared: false
        default: true
        }
    }

    private static func level(_ reader: inout Reader) throws(WireError) -> Int {
        let level = Int(try reader.uint8())
        guard PutPuzzle.levels.contains(level) else { throw .outOfRange(field: "level") }
        return level
    }

    private static func markCount(_ reader: inout Reader) throws(WireError) -> Int {
        let count = Int(try reader.uint8())
        guard (1...compareLimit).contains(count) else { throw .outOfRange(field: "records") }
        return count
    }

    private static func marks(_ reader: inout Reader) throws(WireError) -> [RecordMark] {
        var marks: [RecordMark] = []
        for _ in 0..<(try markCount(&reader)) { marks.append(try RecordMark(&reader)) }
        return marks
    }

    private static func checkPadding(_ reader: inout Reader) throws(WireError) {
        guard reader.rest().allSatisfy({ $0 == 0 }) else { throw .outOfRange(field: "padding") }
    }

    public func encode() -> [UInt8] {
        var writer = Writer(capacity: DirectoryMessage.answerSize)
        switch self {
        case .get(let key, let epoch):
            writer.uint8(1)
            writer.fixed(key.bytes)
            writer.uint64(epoch)
        case .put(let record):
            writer.uint8(2)
            writer.prefixed(record)
        case .findNode(let target):
            writer.uint8(3)
            writer.fixed(target)
        case .findValue(let key, let epoch, let place):
            if place == 0 {
                writer.uint8(4)
            } else {
                writer.uint8(11)
                writer.uint8(place)
            }
            writer.fixed(key.bytes)
            writer.uint64(epoch)
        case .ping:
            writer.uint8(5)
        case .iterate(let key, let epoch):
            writer.uint8(6)
            writer.fixed(key.bytes)
            writer.uint64(epoch)
        case .askShared(let epoch):
            writer.uint8(7)
            writer.uint64(epoch)
        case .solvedPut(let record, let solution):
            writer.uint8(DirectoryMessage.solvedPutKind)
            writer.uint64(solution)
            writer.prefixed(record)
        case .compare(let marks):
            writer.uint8(9)
            writer.uint8(UInt8(truncatingIfNeeded: marks.count))
            for mark in marks { mark.encode(&writer) }
        case .challengedPut(let record, let proof):
            writer.uint8(DirectoryMessage.challengedPutKind)
            PuzzleProof.encode(proof, &writer)
            writer.prefixed(record)
        case .record(let bytes):
            writer.uint8(65)
            writer.prefixed(bytes)
            writer.pad(to: DirectoryMessage.answerSize)
        case .missing:
            writer.uint8(66)
            writer.pad(to: DirectoryMessage.answerSize)
        case .absent(let absence):
            writer.uint8(66)
            writer.uint8(1)
            absence.encode(&writer)
            writer.pad(to: DirectoryMessage.answerSize)
        case .stored(let sequence):
            writer.uint8(DirectoryMessage.storedKind)
            writer.uint64(sequence)
        case .refused(let refusal):
            writer.uint8(68)
            writer.uint8(refusal.rawValue)
        case .nodes(let descriptor, let contacts):
            writer.uint8(69)
            writer.prefixed(descriptor)
            writer.uint8(UInt8(truncatingIfNeeded: contacts.count))
            for contact in contacts { contact.encode(&writer) }
        case .shared(let answer):
            writer.uint8(70)
            answer.encode(&writer)
            writer.pad(to: DirectoryMessage.answerSize)
        case .puzzle(let level):
            writer.uint8(71)
            writer.uint8(UInt8(truncatingIfNeeded: level))
        case .lacking(let lacking):
            writer.uint8(72)
            writer.uint8(UInt8(truncatingIfNeeded: lacking.count))
            writer.append(RecordMark.bits(lacking))
        case .challenge(let level, let challenge):
            writer.uint8(73)
            writer.uint8(UInt8(truncatingIfNeeded: level))
            writer.fixed(challenge)
        }
        return writer.bytes
    }
}
