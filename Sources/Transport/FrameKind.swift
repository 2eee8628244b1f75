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
    /// A reply for the agent: reply-block id (16) and payload (2048), padded to an envelope's size.
    case reply = 5
    /// Nothing: keeps the link's rate constant or the connection alive.
    case idle = 6
}
