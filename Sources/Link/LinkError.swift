/// Why a link refused bytes or could not go on.
public enum LinkError: Error, Equatable, Sendable {
    /// Not the layout or size that was expected.
    case malformed
    /// A tag does not fit: wrong key, or changed on the way.
    case authenticationFailed
    /// A public key of low order, or no key at all.
    case invalidKey
    /// More bytes than a frame or datagram carries.
    case oversize(Int)
    /// The session has sent as much as one key may protect.
    case exhausted
    /// A message of the handshake out of turn.
    case outOfTurn
}
