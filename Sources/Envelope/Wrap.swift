import Primitives

/// A sender's work.
public enum Wrap {
    /// An envelope of ``Geometry/envelopeSize`` bytes for the first hop of `path`.
    ///
    /// Costs one multiplication and one base multiplication a hop.
    /// - Parameters:
    ///   - path: one to five hops; the last is the destination.
    ///   - command: what the destination does.
    ///   - id: the identifier in the destination's routing block.
    ///   - content: at most ``Geometry/contentSize`` bytes.
    public static func forward(
        path: [Hop], command: Command = .deliver, id: Bytes16 = Bytes16(), content: [UInt8], entropy: inout Entropy
    ) throws(EnvelopeError) -> [UInt8] {
        let draw = try HeaderDraw(hops: path.count, &entropy)
        return try forward(path: path, command: command, id: id, content: content, draw)
    }

    /// The same from given randomness.
    static func forward(
        path: [Hop], command: Command, id: Bytes16, content: [UInt8], _ draw: borrowing HeaderDraw
    ) throws(EnvelopeError) -> [UInt8] {
        let delay = path.last?.delayMilliseconds ?? 0
        let header = try Header(
            path: path, last: RoutingBlock(command: command, delayMilliseconds: delay, id: id), draw)
        var envelope = try Payload.envelope(header: header.bytes, content: content)
        envelope.withUnsafeMutableBytes { raw in
            let block = UnsafeMutableRawBufferPointer(rebasing: raw[Geometry.headerSize...])
            header.seeds.withUnsafeBytes { seeds in
                for index in stride(from: header.hopCount - 1, through: 0, by: -1) {
                    HopKeys.withPayloadKey(UnsafeRawBufferPointer(rebasing: seeds[index * 32..<index * 32 + 32])) {
                        Lioness.encrypt(block, key: $0)
                    }
                }
            }
        }
        return envelope
    }
}
