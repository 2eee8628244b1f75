import Primitives

/// What a hop does with an envelope.
public enum Command: UInt8, Sendable, CaseIterable {
    /// Hold for the delay, then forward to the target.
    case relay = 1
    /// The path ends here: the payload is for a service of this server.
    case deliver = 2
    /// The path ends here: the payload is for the mailbox whose handle is in the target.
    case reply = 3
    /// The path ends here: this relay's own loop came back.
    case loop = 4
    /// The path ends here: cover traffic.
    case drop = 5
    /// Set-up of a circuit.
    case circuit = 6
}

/// The instructions for one hop, readable by that hop alone (specs/envelope.md, "Routing block").
public struct RoutingBlock: Hashable, Sendable {
    public var command: Command
    /// The longest that a relay holds an envelope, in milliseconds; it cuts a longer delay. Two hundred times the mean
    /// that agents draw, so that only an attacker's envelopes meet it.
    public static let longestDelay: UInt32 = 10_000

    /// Milliseconds that the hop holds the envelope before it forwards it.
    public var delayMilliseconds: UInt32
    /// The next hop's node ID, or the mailbox handle in its first 16 bytes.
    public var target: Bytes32
    /// A reply block's or loop's identifier.
    public var id: Bytes16

    public init(command: Command, delayMilliseconds: UInt32 = 0, target: Bytes32 = Bytes32(), id: Bytes16 = Bytes16()) {
        self.command = command
        self.delayMilliseconds = delayMilliseconds
        self.target = target
        self.id = id
    }

    /// The mailbox handle of a ``Command/reply``.
    public var handle: Bytes16 {
        target.withUnsafeBytes { Bytes16(raw: UnsafeRawBufferPointer(rebasing: $0[0..<16])) ?? Bytes16() }
    }

    /// - Parameter raw: ``Geometry/routingSize`` bytes.
    @inline(__always)
    init(decoding raw: UnsafeRawBufferPointer) throws(EnvelopeError) {
        guard let command = Command(rawValue: raw[0]), raw[1] | raw[2] | raw[3] == 0,
            raw.loadUnaligned(fromByteOffset: 56, as: UInt64.self) == 0,
            let target = Bytes32(raw: UnsafeRawBufferPointer(rebasing: raw[8..<40])),
            let id = Bytes16(raw: UnsafeRawBufferPointer(rebasing: raw[40..<56]))
        else { throw .malformedRouting }
        self.command = command
        delayMilliseconds = UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        self.target = target
        self.id = id
    }

    /// - Parameter raw: ``Geometry/routingSize`` bytes.
    func encode(into raw: UnsafeMutableRawBufferPointer) {
        raw[0] = command.rawValue
        for index in 1..<4 { raw[index] = 0 }
        raw.storeBytes(of: delayMilliseconds.littleEndian, toByteOffset: 4, as: UInt32.self)
        target.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: raw[8..<40]).copyMemory(from: $0) }
        id.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: raw[40..<56]).copyMemory(from: $0) }
        raw.storeBytes(of: 0, toByteOffset: 56, as: UInt64.self)
    }
}

/// One relay of a path.
public struct Hop: Hashable, Sendable {
    /// Its node ID: what the hop before it reads as target.
    public var node: Bytes32
    /// Its mix key of the current epoch.
    public var key: X25519PublicKey
    /// Milliseconds that it holds the envelope.
    public var delayMilliseconds: UInt32

    public init(node: Bytes32, key: X25519PublicKey, delayMilliseconds: UInt32 = 0) {
        self.node = node
        self.key = key
        self.delayMilliseconds = delayMilliseconds
    }
}
