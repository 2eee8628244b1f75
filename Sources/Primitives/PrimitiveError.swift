/// What can go wrong in a cryptographic operation. Never carries secret bytes.
public enum PrimitiveError: Error, Equatable, Sendable {
    /// An input had `actual` bytes where `expected` were needed.
    case wrongLength(expected: Int, actual: Int)
    /// A public key is of low order, not on the curve, or not canonical.
    case invalidPublicKey
    /// A tag or signature does not fit its message.
    case authenticationFailed
    /// Argon2id could not get the memory that its parameters ask for.
    case outOfMemory
}
