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
