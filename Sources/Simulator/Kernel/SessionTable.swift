import Wire

/// Datagram sessions between servers as far as directories see them: who begins one has proven its address once the answer
/// came there, and the other uses it as soon as it has seen it used, until it ends or either side restarts
/// (specs/link.md, section 6).
struct SessionTable {
    private struct Session {
        let established: Timestamp
        let lives: (initiator: UInt32, responder: UInt32)
        /// Whether the responder has received anything in it: a first message alone may be a replay.
        var isUsed = false
    }

    /// One side: its number, and how often it has started.
    typealias Side = (index: Int, life: UInt32)

    /// Milliseconds that a session is used for new calls.
    private static let used: UInt64 = 600_000

    private var sessions: [UInt64: Session] = [:]
    private var sweepSize = 4096

    /// A call is made.
    /// - Returns: whether it goes over a session, so that the caller's address is proven.
    mutating func call(_ from: Side, to other: Side, _ now: Timestamp) -> Bool {
        guard let session = session(from, other, now) else { return false }
        sessions[session]?.isUsed = true
        return true
    }

    /// An answer was sent that arrives: it was the second message of a handshake, unless there is a session.
    mutating func answered(_ caller: Side, by other: Side, _ now: Timestamp) {
        guard session(caller, other, now) == nil else { return }
        if sessions.count >= sweepSize {
            sessions = sessions.filter { now.milliseconds(since: $0.value.established) < SessionTable.used }
            sweepSize = max(4096, 2 * sessions.count)
        }
        sessions[SessionTable.key(caller.index, other.index)] = Session(
            established: now, lives: (caller.life, other.life))
    }

    /// The session over which one calls the other: one that it began, or one of the other's that it has seen used.
    private func session(_ from: Side, _ other: Side, _ now: Timestamp) -> UInt64? {
        let own = SessionTable.key(from.index, other.index)
        if isAlive(sessions[own], from, other, now) { return own }
        let reverse = SessionTable.key(other.index, from.index)
        guard let session = sessions[reverse], session.isUsed, isAlive(session, other, from, now) else { return nil }
        return reverse
    }

    private func isAlive(_ session: Session?, _ initiator: Side, _ responder: Side, _ now: Timestamp) -> Bool {
        guard let session else { return false }
        return session.lives == (initiator.life, responder.life)
            && now.milliseconds(since: session.established) < SessionTable.used
    }

    private static func key(_ initiator: Int, _ responder: Int) -> UInt64 {
        UInt64(truncatingIfNeeded: initiator) << 32 | UInt64(truncatingIfNeeded: responder) & 0xffff_ffff
    }
}
