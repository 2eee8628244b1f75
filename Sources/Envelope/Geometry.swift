/// The sizes of an envelope, derived in one place (specs/envelope.md, "Geometry"). All in bytes unless said otherwise.
public enum Geometry {
    /// The longest path: gateway, three mixes, destination.
    public static let hops = 5
    /// What one hop reads: command, delay, target, identifier.
    public static let routingSize = 64
    public static let macSize = 16
    public static let ephemeralSize = 32
    /// What one hop takes from the front of the header, and pads at its end.
    public static let shift = routingSize + ephemeralSize + macSize
    /// The encrypted part of the header, named β as in the Sphinx paper.
    public static let betaSize = hops * shift - ephemeralSize - macSize
    public static let headerSize = ephemeralSize + macSize + betaSize
    public static let payloadSize = 2048
    /// An envelope everywhere on the network, forward or reply.
    public static let envelopeSize = headerSize + payloadSize
    /// Zero bytes by which the destination knows that nobody changed the payload.
    public static let tagSize = 32
    /// The most bytes that one payload carries.
    public static let contentSize = payloadSize - tagSize - 2
    /// Header, first hop, payload seed.
    public static let replyBlockSize = headerSize + 32 + seedSize
    static let seedSize = 32
    static let macRange = ephemeralSize..<ephemeralSize + macSize
    static let betaRange = ephemeralSize + macSize..<headerSize
}

/// Why an envelope or reply block was not accepted or could not be made.
public enum EnvelopeError: Error, Equatable, Sendable {
    /// Not exactly as many bytes as the geometry says.
    case wrongSize(expected: Int, actual: Int)
    /// The ephemeral key is a point of low order.
    case invalidEphemeral
    /// The header's authenticator does not fit: changed on the way, or meant for another relay or epoch.
    case wrongMAC
    /// The routing block has an unknown command or non-zero reserved bytes.
    case malformedRouting
    /// The payload's zero tag or padding does not fit: changed on the way.
    case tamperedPayload
    /// A path of no hop, or of more than ``Geometry/hops``.
    case pathLength(Int)
    /// A relay's mix key is a point of low order.
    case invalidRelayKey
    /// More content than ``Geometry/contentSize``.
    case contentTooLong(Int)
}
