import Primitives
import Wire

/// A single-use reply block: lets its holder answer without learning to whom (specs/envelope.md, "Reply blocks").
///
/// To every relay on the way its envelope looks like any other.
public struct ReplyBlock: Hashable, Sendable {
    public static let encodedSize = Geometry.replyBlockSize

    /// The node to which the reply is handed.
    public let firstHop: Bytes32
    private let header: [UInt8]
    private let seed: Bytes32

    /// A reply block and the keys that open its reply.
    /// - Parameters:
    ///   - path: one to five hops; the last is the gateway.
    ///   - handle: the mailbox at the gateway.
    ///   - id: what the gateway hands to the agent beside the payload.
    public static func make(
        path: [Hop], handle: Bytes16, id: Bytes16, entropy: inout Entropy
    ) throws(EnvelopeError) -> (block: ReplyBlock, keys: ReplyKeys) {
        let draw = try HeaderDraw(hops: path.count, &entropy)
        return try make(path: path, handle: handle, id: id, draw, seed: entropy.bytes())
    }

    /// The same from given randomness.
    static func make(
        path: [Hop], handle: Bytes16, id: Bytes16, _ draw: borrowing HeaderDraw, seed: Bytes32
    ) throws(EnvelopeError) -> (block: ReplyBlock, keys: ReplyKeys) {
        var target = Bytes32()
        target.withUnsafeMutableBytes { out in
            handle.withUnsafeBytes { HopKeys.copy($0, into: out, at: 0) }
        }
        let last = RoutingBlock(
            command: .reply, delayMilliseconds: path.last?.delayMilliseconds ?? 0, target: target, id: id)
        let header = try Header(path: path, last: last, draw)
        let seeds = header.seeds.withUnsafeBytes { Array($0) }
        let block = ReplyBlock(firstHop: path[0].node, header: header.bytes, seed: seed)
        return (block, ReplyKeys(seed: seed, hops: seeds))
    }

    private init(firstHop: Bytes32, header: [UInt8], seed: Bytes32) {
        self.firstHop = firstHop
        self.header = header
        self.seed = seed
    }

    public init(_ reader: inout Reader) throws(WireError) {
        header = try reader.bytes(Geometry.headerSize)
        firstHop = try reader.fixed()
        seed = try reader.fixed()
    }

    public func encode(_ writer: inout Writer) {
        writer.append(header)
        writer.fixed(firstHop)
        writer.fixed(seed)
    }

    /// The envelope that carries `content` back; goes to ``firstHop``.
    /// - Throws: ``EnvelopeError/contentTooLong(_:)``
    public func reply(content: [UInt8]) throws(EnvelopeError) -> [UInt8] {
        var envelope = try Payload.envelope(header: header, content: content)
        envelope.withUnsafeMutableBytes { raw in
            let block = UnsafeMutableRawBufferPointer(rebasing: raw[Geometry.headerSize...])
            seed.withUnsafeBytes { HopKeys.withPayloadKey($0) { Lioness.encrypt(block, key: $0) } }
        }
        return envelope
    }
}

/// What opens the reply to one reply block. Kept, encrypted, by the agent until the reply comes or the epoch ends.
public struct ReplyKeys: Hashable, Sendable {
    private let seed: Bytes32
    private let hops: [UInt8]

    init(seed: Bytes32, hops: [UInt8]) {
        self.seed = seed
        self.hops = hops
    }

    /// Removes every relay's layer and the replier's.
    /// - Parameter payload: ``Geometry/payloadSize`` bytes as the mailbox had them.
    /// - Throws: ``EnvelopeError/tamperedPayload``
    public func open(_ payload: [UInt8]) throws(EnvelopeError) -> [UInt8] {
        guard payload.count == Geometry.payloadSize else {
            throw .wrongSize(expected: Geometry.payloadSize, actual: payload.count)
        }
        var block = payload
        block.withUnsafeMutableBytes { block in
            hops.withUnsafeBytes { hops in
                for index in stride(from: hops.count / 32 - 1, through: 0, by: -1) {
                    HopKeys.withPayloadKey(UnsafeRawBufferPointer(rebasing: hops[index * 32..<index * 32 + 32])) {
                        Lioness.encrypt(block, key: $0)
                    }
                }
            }
            seed.withUnsafeBytes { HopKeys.withPayloadKey($0) { Lioness.decrypt(block, key: $0) } }
        }
        return try Payload.content(of: block)
    }

    public init(_ reader: inout Reader) throws(WireError) {
        seed = try reader.fixed()
        let count = Int(try reader.uint8())
        guard (1...Geometry.hops).contains(count) else { throw .outOfRange(field: "hops") }
        hops = try reader.bytes(count * 32)
    }

    public func encode(_ writer: inout Writer) {
        writer.fixed(seed)
        writer.uint8(UInt8(truncatingIfNeeded: hops.count / 32))
        writer.append(hops)
    }
}
