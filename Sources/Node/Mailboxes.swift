import Envelope
import Primitives
import Relay
import Wire

/// The gateway's mailboxes: replies wait here, for a bounded time and number, until the agent that can prove the
/// handle's secret is connected. Spec: specs/wire.md, "Mailbox".
///
/// Anybody may open links and claim mailboxes, so a link has few, those whose agent is away give way to others, and all
/// replies that wait have one bound. Every step but ``expire(now:)`` costs what the link or mailbox in question holds.
struct Mailboxes {
    struct Reply: Sendable {
        let id: Bytes16
        let payload: [UInt8]
    }

    /// What came of a claim.
    enum Claim {
        case claimed(handle: Bytes16, waiting: [Reply])
        /// The link has as many as it may have, or the gateway is full.
        case refused
    }

    private struct Box {
        enum Owner {
            case link(UInt64)
            /// Since a minute of the clock.
            case away(minute: UInt64)
        }
        var owner: Owner
        var claimed: Timestamp
        var waiting: [Reply] = []
    }

    /// Mailboxes of one link: those of the last three days and one more.
    static let linkLimit = 4
    /// Milliseconds after which a mailbox that was not claimed again gives way to another of its link. An agent claims
    /// those of today and yesterday each day.
    static let turnover: UInt64 = 12 * 3_600_000
    /// Replies kept for one absent agent.
    static let waitingLimit = 64
    /// Replies kept in all, 68 MB, and the part of the free places that one mailbox may have: a thousand that were
    /// filled leave a seventh free.
    static let capacity = 32_768
    static let divisor = 512
    /// Mailboxes in all: as many as all links together may have, and as many again whose agents are away.
    static let mailboxLimit = 65_536
    /// Minutes that a mailbox outlives its agent's connection.
    static let retention: UInt64 = 30

    private var boxes: [Bytes16: Box] = [:]
    /// The mailboxes of each link, the one claimed longest ago first.
    private var handles: [UInt64: [Bytes16]] = [:]
    /// Those of agents that are away, by the minute since when.
    private var away: [UInt64: Set<Bytes16>] = [:]
    private var shares = BufferShares<Bytes16>(capacity: capacity)
    private(set) var droppedReplies: UInt64 = 0
    private(set) var refusedClaims: UInt64 = 0

    var count: Int { boxes.count }

    /// Replies that wait.
    var waiting: Int { shares.used }

    /// How many links have mailboxes.
    var linkCount: Int { handles.count }

    /// Binds the handle of `secret` to a connected link and hands out what waited.
    mutating func claim(_ secret: Bytes32, link: UInt64, now: Timestamp) -> Claim {
        let handle = Mailbox.handle(of: secret)
        if case .link(link)? = boxes[handle]?.owner {
            handles[link]?.removeAll { $0 == handle }
        } else {
            guard makeRoom(on: link, now), boxes[handle] != nil || makeRoom() else {
                refusedClaims += 1
                return .refused
            }
            release(handle)
        }
        handles[link, default: []].append(handle)
        boxes[handle, default: Box(owner: .link(link), claimed: now)].owner = .link(link)
        boxes[handle]?.claimed = now
        return .claimed(handle: handle, waiting: takeWaiting(handle))
    }

    /// The link to which a reply goes now; `nil` when it waits or was dropped.
    mutating func deliver(
        _ reply: Reply, to handle: Bytes16, isWritable: (UInt64) -> Bool
    ) -> UInt64? {
        guard let box = boxes[handle] else {
            droppedReplies += 1
            return nil
        }
        if case .link(let link) = box.owner, box.waiting.isEmpty, isWritable(link) { return link }
        guard box.waiting.count < Mailboxes.waitingLimit, shares.take(for: handle, divisor: Mailboxes.divisor) else {
            droppedReplies += 1
            return nil
        }
        boxes[handle]?.waiting.append(reply)
        return nil
    }

    /// What waited for a congested link.
    mutating func drain(link: UInt64) -> [Reply] {
        (handles[link] ?? []).flatMap { takeWaiting($0) }
    }

    mutating func disconnect(link: UInt64, now: Timestamp) {
        let minute = now.seconds / 60
        for handle in handles.removeValue(forKey: link) ?? [] {
            boxes[handle]?.owner = .away(minute: minute)
            away[minute, default: []].insert(handle)
        }
    }

    /// Forgets mailboxes whose agent has been away for ``retention``; called each minute.
    mutating func expire(now: Timestamp) {
        let minute = now.seconds / 60
        for (since, handles) in away {
            if since > minute {
                // The clock went back: they are away from now on.
                away[since] = nil
                away[minute, default: []].formUnion(handles)
                for handle in handles { boxes[handle]?.owner = .away(minute: minute) }
            } else if minute - since >= Mailboxes.retention {
                for handle in handles { forget(handle) }
            }
        }
    }

    /// Whether the link may have a further mailbox; the one claimed longest ago makes room when it is of an earlier day.
    private mutating func makeRoom(on link: UInt64, _ now: Timestamp) -> Bool {
        guard let held = handles[link], held.count >= Mailboxes.linkLimit else { return true }
        guard let oldest = held.first, let claimed = boxes[oldest]?.claimed,
            now.milliseconds(since: claimed) >= Mailboxes.turnover
        else { return false }
        forget(oldest)
        return true
    }

    /// Whether the gateway may have a further mailbox; that of the agent who left first makes room.
    private mutating func makeRoom() -> Bool {
        guard boxes.count >= Mailboxes.mailboxLimit else { return true }
        guard let minute = away.keys.min(), let handle = away[minute]?.first else { return false }
        forget(handle)
        return true
    }

    private mutating func forget(_ handle: Bytes16) {
        droppedReplies += UInt64(takeWaiting(handle).count)
        release(handle)
        boxes[handle] = nil
    }

    /// Takes a mailbox away from who has it.
    private mutating func release(_ handle: Bytes16) {
        switch boxes[handle]?.owner {
        case .link(let link):
            handles[link]?.removeAll { $0 == handle }
            if handles[link]?.isEmpty ?? false { handles[link] = nil }
        case .away(let minute):
            away[minute]?.remove(handle)
            if away[minute]?.isEmpty ?? false { away[minute] = nil }
        case nil: break
        }
    }

    private mutating func takeWaiting(_ handle: Bytes16) -> [Reply] {
        guard let waiting = boxes[handle]?.waiting, !waiting.isEmpty else { return [] }
        boxes[handle]?.waiting = []
        shares.release(waiting.count, of: handle)
        return waiting
    }
}
