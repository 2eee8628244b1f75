import Wire

/// Datagram sessions between servers as far as directories see them: a caller has proven its address once an answer came
/// there (specs/link.md, section 6), until the session ends or either side restarts.
struct SessionTable {
    private struct Session {
        let established: Timestamp
        let lives: (UInt32, UInt32)
    }

    /// One side: its number, and how often it has started.
    typealias Side = (index: Int, life: UInt32)

    /// Milliseconds that a session is used for new calls.
    private static let used: UInt64 = 600_000

    private var sessions: [UInt64: Session] = [:]
    private var sweepSize = 4096

    /// Whether a call between the two goes over a session.
    func holds(_ one: Side, _ other: Side, _ now: Timestamp) -> Bool {
        let (low, high) = one.index < other.index ? (one, other) : (other, one)
        guard let session = sessions[SessionTable.key(low.index, high.index)] else { return false }
        return session.lives == (low.life, high.life)
            && now.milliseconds(since: session.established) < SessionTable.used
    }

    /// An answer was sent that arrives: it was the second message of a handshake, unless there is a session.
    mutating func answered(_ one: Side, _ other: Side, _ now: Timestamp) {
        guard !holds(one, other, now) else { return }
        let (low, high) = one.index < other.index ? (one, other) : (other, one)
        if sessions.count >= sweepSize {
            sessions = sessions.filter { now.milliseconds(since: $0.value.established) < SessionTable.used }
            sweepSize = max(4096, 2 * sessions.count)
        }
        sessions[SessionTable.key(low.index, high.index)] = Session(established: now, lives: (low.life, high.life))
    }

    private static func key(_ low: Int, _ high: Int) -> UInt64 {
        UInt64(truncatingIfNeeded: low) << 32 | UInt64(truncatingIfNeeded: high) & 0xffff_ffff
    }
}
