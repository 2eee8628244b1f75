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
    /// Known to whoever gets the block, and to whoever made it: see ``ReplyKeys``.
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
        let block = ReplyBlock(firstHop: path[0].node, header: header.bytes, seed: seed)
        return (block, ReplyKeys(seed: seed, hops: header.seeds))
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
public struct ReplyKeys: Sendable {
    private static let size = Geometry.seedSize

    /// The replier's seed, then each hop's.
    private let seeds: SharedSecret

    init(seed: Bytes32, hops: borrowing SecretBytes) {
        var seeds = SecretBytes(count: ReplyKeys.size + hops.count)
        seeds.withUnsafeMutableBytes { seeds in
            seed.withUnsafeBytes { HopKeys.copy($0, into: seeds, at: 0) }
            hops.withUnsafeBytes { HopKeys.copy($0, into: seeds, at: ReplyKeys.size) }
        }
        self.seeds = SharedSecret(seeds)
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
            seeds.withUnsafeBytes { seeds in
                func seed(_ index: Int) -> UnsafeRawBufferPointer {
                    let start = index * ReplyKeys.size
                    return UnsafeRawBufferPointer(rebasing: seeds[start..<start + ReplyKeys.size])
                }
                for hop in stride(from: seeds.count / ReplyKeys.size - 1, through: 1, by: -1) {
                    HopKeys.withPayloadKey(seed(hop)) { Lioness.encrypt(block, key: $0) }
                }
                HopKeys.withPayloadKey(seed(0)) { Lioness.decrypt(block, key: $0) }
            }
        }
        return try Payload.content(of: block)
    }

    public init(_ reader: inout Reader) throws(WireError) {
        var first = try reader.bytes(ReplyKeys.size)
        defer { first.withUnsafeMutableBytes { SecretBytes.zero($0) } }
        let count = Int(try reader.uint8())
        guard (1...Geometry.hops).contains(count) else { throw .outOfRange(field: "hops") }
        var hops = try reader.bytes(count * ReplyKeys.size)
        var seeds = SecretBytes(count: first.count + hops.count)
        seeds.withUnsafeMutableBytes { seeds in
            first.withUnsafeBytes { HopKeys.copy($0, into: seeds, at: 0) }
            hops.withUnsafeBytes { HopKeys.copy($0, into: seeds, at: ReplyKeys.size) }
        }
        hops.withUnsafeMutableBytes { SecretBytes.zero($0) }
        self.seeds = SharedSecret(seeds)
    }

    /// Seed of the replier 32 ‖ number of hops 1 ‖ seed of each 32. The caller zeroes what it has no more use for.
    public func encode(_ writer: inout Writer) {
        seeds.withUnsafeBytes { seeds in
            writer.append(seeds[..<ReplyKeys.size])
            writer.uint8(UInt8(truncatingIfNeeded: seeds.count / ReplyKeys.size - 1))
            writer.append(seeds[ReplyKeys.size...])
        }
    }
}
