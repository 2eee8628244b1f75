import Link
import Wire

/// What a stream frame carries. Spec: specs/wire.md, "Stream frames".
public enum FrameKind: UInt8, Sendable {
    /// An envelope: 2608 bytes, both ways.
    case envelope = 1
    /// A message of the map's gossip.
    case map = 2
    /// An agent claims its mailbox: the 32-byte secret of the handle.
    case claim = 3
    /// The gateway confirms a claim: the 16-byte handle.
    case claimed = 4
    /// A reply for the agent: reply-block id (16) and payload (2048).
    case reply = 5
    /// Nothing: keeps the link's rate constant or the connection alive.
    case idle = 6

    /// The kind of an authenticated frame; `nil` when it is unknown or the body has not its size: then whoever sent it does
    /// not speak this protocol, and the link is closed.
    public init?(_ kind: UInt8, body: [UInt8]) {
        guard let known = FrameKind(rawValue: kind), known.sizes.contains(body.count) else { return nil }
        self = known
    }

    /// How many bytes the body has.
    var sizes: ClosedRange<Int> {
        switch self {
        case .envelope: Limits.envelopeSize...Limits.envelopeSize
        case .map: 1...Limits.envelopeSize
        case .claim: 32...32
        case .claimed: 16...16
        case .reply: 16 + 2048...16 + 2048
        case .idle: 0...StreamSession.bodyLimit
        }
    }
}
