import Primitives

/// Why a handshake, frame or datagram was not accepted. Never carries secret bytes.
public enum LinkError: Error, Equatable, Sendable {
    /// The bytes do not have the size or layout of their kind.
    case malformed
    /// A tag does not fit: forged, corrupted, or meant for another key or position.
    case authenticationFailed
    /// The counter was seen before or lies behind the window.
    case replayed
    /// A body of `actual` bytes where `limit` are allowed.
    case oversize(limit: Int, actual: Int)
    /// The counter of this direction is used up; a new handshake is needed.
    case exhausted
    /// A public key is of low order, not canonical, or missing.
    case invalidKey
    /// No session has this index; the other side restarted, or the session expired.
    case unknownSession
    /// A handshake message is not due in this state.
    case outOfTurn
    /// The system refused a resource that a key needs.
    case unavailable
    /// The other end does not read, or this one has as many links as it takes.
    case overloaded
    /// The handshake was begun and not done within its time.
    case handshakeStalled
    /// A frame was begun and not whole within its time.
    case frameStalled
    /// The other end left in the middle of a handshake message or frame.
    case truncated

    init(_ error: PrimitiveError) {
        self =
            switch error {
            case .wrongLength: .malformed
            case .invalidPublicKey: .invalidKey
            case .authenticationFailed: .authenticationFailed
            case .outOfMemory: .unavailable
            }
    }
}

extension LinkError {
    /// A name for counters: without the sizes that a peer chooses, so that there are only so many.
    public var label: String {
        switch self {
        case .malformed: "malformed"
        case .authenticationFailed: "authentication_failed"
        case .replayed: "replayed"
        case .oversize: "oversize"
        case .exhausted: "exhausted"
        case .invalidKey: "invalid_key"
        case .unknownSession: "unknown_session"
        case .outOfTurn: "out_of_turn"
        case .unavailable: "unavailable"
        case .overloaded: "overloaded"
        case .handshakeStalled: "handshake_stalled"
        case .frameStalled: "frame_stalled"
        case .truncated: "truncated"
        }
    }
}
