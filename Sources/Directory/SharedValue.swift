import Primitives
import Records
import Wire

/// What places nodes in an epoch.
public enum SharedValue: Hashable, Sendable {
    /// The network has never agreed on a value: the hash of the epoch's number, which everybody can compute ahead.
    case standIn
    /// A value that was agreed on, or follows from one.
    case value(Bytes32)

    /// What placement is computed with; `nil` for the stand-in.
    public var bytes: Bytes32? {
        guard case .value(let bytes) = self else { return nil }
        return bytes
    }

    /// The value as such: of `epoch`.
    package func resolved(epoch: UInt64) -> Bytes32 { bytes ?? Placement.sharedRandom(epoch: epoch) }

    /// 1 ‖ zeros 32, or 2 ‖ value 32.
    public static let encodedSize = 33

    public func encode() -> [UInt8] {
        switch self {
        case .standIn: [1] + Bytes32().bytes
        case .value(let bytes): [2] + bytes.bytes
        }
    }

    public init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        guard let value = try SharedValue.read(&reader) else { throw .outOfRange(field: "value") }
        self = value
        try reader.finish()
    }

    /// `nil` for 0 ‖ zeros 32: no value.
    static func read(_ reader: inout Reader) throws(WireError) -> SharedValue? {
        let kind = try reader.uint8()
        let bytes: Bytes32 = try reader.fixed()
        switch kind {
        case 0 where bytes == Bytes32(): return nil
        case 1 where bytes == Bytes32(): return .standIn
        case 2: return .value(bytes)
        default: throw .outOfRange(field: "value")
        }
    }
}

/// What a server says of an epoch's value, and of the clusters that make it.
public struct SharedAnswer: Hashable, Sendable {
    public let epoch: UInt64
    /// `nil` when it does not know.
    public let value: SharedValue?
    /// Names of the clusters that take part, ascending; `nil` when it does not know.
    public let participants: [Bytes16]?

    public init(epoch: UInt64, value: SharedValue?, participants: [Bytes16]?) {
        self.epoch = epoch
        self.value = value
        self.participants = participants
    }

    private static let unknownList: UInt8 = 255

    /// Epoch 8 ‖ 0, 1 or 2 ‖ value 32 ‖ number 1, 255 for none known ‖ names of 16.
    func encode(_ writer: inout Writer) {
        writer.uint64(epoch)
        writer.append(value?.encode() ?? [UInt8](repeating: 0, count: SharedValue.encodedSize))
        guard let participants else { return writer.uint8(SharedAnswer.unknownList) }
        writer.uint8(UInt8(truncatingIfNeeded: participants.count))
        for name in participants { writer.fixed(name) }
    }

    init(_ reader: inout Reader) throws(WireError) {
        epoch = try reader.uint64()
        value = try SharedValue.read(&reader)
        let count = try reader.uint8()
        guard count != SharedAnswer.unknownList else {
            participants = nil
            return
        }
        guard Int(count) <= SharedRandom.most else { throw .outOfRange(field: "participants") }
        var names: [Bytes16] = []
        for _ in 0..<count { names.append(try reader.fixed()) }
        guard zip(names, names.dropFirst()).allSatisfy({ $0 < $1 }) else { throw .outOfRange(field: "participants") }
        participants = names
    }
}
