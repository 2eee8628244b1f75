import Wire

/// A service that a destination offers to senders it does not know.
public enum Service: UInt8, Sendable {
    case directory = 1
    case home = 2
    case map = 3
}

/// The content of a ``Command/deliver`` envelope (specs/envelope.md, "Service requests").
///
/// Service 1 ‖ reply block count 1 ‖ reply blocks ‖ body. An answer is the content of a reply, body only.
public struct ServiceRequest: Hashable, Sendable {
    /// The most reply blocks that fit beside a body.
    public static let replyBlockLimit = 3
    /// The longest body beside `count` reply blocks.
    public static func bodyLimit(replyBlocks count: Int) -> Int {
        Geometry.contentSize - 2 - count * ReplyBlock.encodedSize
    }

    public var service: Service
    public var replyBlocks: [ReplyBlock]
    public var body: [UInt8]

    public init(service: Service, replyBlocks: [ReplyBlock], body: [UInt8]) {
        self.service = service
        self.replyBlocks = replyBlocks
        self.body = body
    }

    public init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        let kind = try reader.uint8()
        guard let service = Service(rawValue: kind) else { throw .unknownKind(kind) }
        let count = Int(try reader.uint8())
        guard count <= ServiceRequest.replyBlockLimit else { throw .outOfRange(field: "replyBlocks") }
        var blocks: [ReplyBlock] = []
        for _ in 0..<count { blocks.append(try ReplyBlock(&reader)) }
        self.service = service
        replyBlocks = blocks
        body = reader.rest()
    }

    /// The content for an envelope; too long for one when the body exceeds ``bodyLimit(replyBlocks:)``.
    public func encode() -> [UInt8] {
        var writer = Writer(capacity: Geometry.contentSize)
        writer.uint8(service.rawValue)
        writer.uint8(UInt8(truncatingIfNeeded: replyBlocks.count))
        for block in replyBlocks { block.encode(&writer) }
        writer.append(body)
        return writer.bytes
    }
}
