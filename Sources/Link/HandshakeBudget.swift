import Wire

/// Which first messages, new or repeated, are worth an answer, decided before any Diffie–Hellman operation: by how many there were in
/// the current second, in all and from one IPv4 /24 or IPv6 /48 (specs/link.md, "mac1, mac2 and cookies").
///
/// Whoever shows no cookie may have forged its address: it can use up what its prefix has without a cookie, and then
/// the others of the prefix have to show one; what a prefix has with a cookie is used up only from within.
struct HandshakeBudget: Sendable {
    enum Verdict {
        case admitted
        /// A cookie is due.
        case unproven
        /// Too many from all.
        case overloaded
        /// Too many from this prefix.
        case overPrefix
    }

    private var second: UInt64 = 0
    private var handshakes = 0
    private var unproven = PrefixBudget()
    private var proven = PrefixBudget()

    /// - Parameter isProven: whether the message shows a valid cookie.
    mutating func admit(
        _ address: SocketAddress, isProven: Bool, _ bounds: DatagramBounds, _ now: Timestamp
    ) -> Verdict {
        if now.seconds != second {
            second = now.seconds
            handshakes = 0
        }
        guard handshakes < bounds.handshakesPerSecondAtMost else { return .overloaded }
        let prefix = address.siteKey
        if isProven {
            guard proven.admit(prefix, rate: bounds.prefixHandshakesPerSecondAtMost, now) else { return .overPrefix }
        } else {
            guard handshakes < bounds.handshakesPerSecond,
                unproven.admit(prefix, rate: bounds.prefixHandshakesPerSecond, now)
            else { return .unproven }
        }
        handshakes += 1
        return .admitted
    }
}
