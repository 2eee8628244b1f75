import Primitives
import Records
import Wire

/// A server's signed word that it holds no record under a key: a negative answer for which it can be held to account
/// (specs/directory.md, "Negative statement").
public struct Absence: Hashable, Sendable {
    /// Bytes: server ID 32 ‖ time 8 ‖ signature 64.
    public static let encodedSize = 104
    /// Seconds by which the statement may be older or newer than the reader's clock.
    public static let tolerance: UInt64 = 600

    public let serverID: VerifyingKey
    /// Seconds since 1970.
    public let time: UInt64
    public let signature: Signature

    public init(serverID: VerifyingKey, time: UInt64, signature: Signature) {
        self.serverID = serverID
        self.time = time
        self.signature = signature
    }

    /// What the server signs: `H("hulda/dir-none", server ID ‖ A' ‖ epoch ‖ time)`.
    public static func digest(server: VerifyingKey, key: VerifyingKey, epoch: UInt64, time: UInt64) -> [UInt8] {
        var hash = BLAKE2b(outputCount: 32, domain: Domain("hulda/dir-none"))
        hash.update(server.bytes)
        hash.update(key.bytes)
        hash.update(epoch)
        hash.update(time)
        return hash.finalize(as: Bytes32.self).bytes
    }

    /// Whether `server` signed lately that it has no record under `key` for `epoch`.
    public func isValid(from server: VerifyingKey, key: VerifyingKey, epoch: UInt64, at now: Timestamp) -> Bool {
        guard serverID == server else { return false }
        let (low, high) = (min(time, now.seconds), max(time, now.seconds))
        guard high - low <= Absence.tolerance else { return false }
        return serverID.isValid(
            signature, for: Absence.digest(server: serverID, key: key, epoch: epoch, time: time))
    }

    init(_ reader: inout Reader) throws(WireError) {
        serverID = VerifyingKey(try reader.fixed())
        time = try reader.uint64()
        signature = Signature(try reader.fixed())
    }

    func encode(_ writer: inout Writer) {
        writer.fixed(serverID.bytes)
        writer.uint64(time)
        writer.fixed(signature.bytes)
    }
}

/// Counts valid negative statements until an asker may believe that there is no record: ten holders of three rings, or
/// half of the holders of as many rings as there are in a network with fewer.
public struct AbsenceQuorum: Sendable {
    public static let holders = 10
    public static let rings = 3

    /// Statements that are wanted.
    public let wanted: Int
    private let wantedRings: Int
    private let ringOf: [NodeID: Int]
    private var heard: Set<NodeID> = []

    /// - Parameter rings: the key's holders by ring.
    public init(rings: [[NodeID]]) {
        var ringOf: [NodeID: Int] = [:]
        for (ring, holders) in rings.enumerated() {
            for holder in holders where ringOf[holder] == nil { ringOf[holder] = ring }
        }
        self.ringOf = ringOf
        wanted = min(AbsenceQuorum.holders, (ringOf.count + 1) / 2)
        wantedRings = min(AbsenceQuorum.rings, Set(ringOf.values).count)
    }

    /// A server has said so, and its statement was valid; one that is no holder, or has said so before, does not count.
    public mutating func take(_ holder: NodeID) {
        if ringOf[holder] != nil { heard.insert(holder) }
    }

    /// Statements that count.
    public var count: Int { heard.count }

    public var isReached: Bool {
        wanted > 0 && heard.count >= wanted && Set(heard.compactMap { ringOf[$0] }).count >= wantedRings
    }
}
