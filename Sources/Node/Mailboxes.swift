import Envelope
import Primitives
import Wire

/// The gateway's mailboxes: replies wait here, for a bounded time and number, until the agent that can prove the
/// handle's secret is connected. Spec: specs/wire.md, "Mailbox".
struct Mailboxes {
    struct Reply: Sendable {
        let id: Bytes16
        let payload: [UInt8]
    }

    private struct Box {
        var link: UInt64?
        var waiting: [Reply] = []
        var lastSeen: Timestamp
    }

    /// Replies kept for one absent agent.
    static let waitingLimit = 128
    /// Mailboxes in all.
    static let mailboxLimit = 20_000
    /// Seconds that a mailbox outlives its agent's connection.
    static let retention: UInt64 = 1800

    private var mailboxes: [Bytes16: Box] = [:]
    private(set) var droppedReplies: UInt64 = 0

    var count: Int { mailboxes.count }

    /// Binds the handle of `secret` to a connected link and hands out what waited; `nil` when the gateway is full.
    mutating func claim(_ secret: Bytes32, link: UInt64, now: Timestamp) -> (handle: Bytes16, waiting: [Reply])? {
        let handle = Mailbox.handle(of: secret)
        if mailboxes[handle] == nil, mailboxes.count >= Mailboxes.mailboxLimit { return nil }
        var mailbox = mailboxes[handle] ?? Box(lastSeen: now)
        let waiting = mailbox.waiting
        mailbox.waiting = []
        mailbox.link = link
        mailbox.lastSeen = now
        mailboxes[handle] = mailbox
        return (handle, waiting)
    }

    /// The link to which a reply goes now; `nil` when it waits or was dropped.
    mutating func deliver(
        _ reply: Reply, to handle: Bytes16, isWritable: (UInt64) -> Bool
    ) -> UInt64? {
        guard var mailbox = mailboxes[handle] else {
            droppedReplies += 1
            return nil
        }
        if let link = mailbox.link, mailbox.waiting.isEmpty, isWritable(link) { return link }
        guard mailbox.waiting.count < Mailboxes.waitingLimit else {
            droppedReplies += 1
            return nil
        }
        mailbox.waiting.append(reply)
        mailboxes[handle] = mailbox
        return nil
    }

    /// What waited for a congested link.
    mutating func drain(link: UInt64) -> [Reply] {
        var waiting: [Reply] = []
        for (handle, var mailbox) in mailboxes where mailbox.link == link && !mailbox.waiting.isEmpty {
            waiting += mailbox.waiting
            mailbox.waiting = []
            mailboxes[handle] = mailbox
        }
        return waiting
    }

    mutating func disconnect(link: UInt64, now: Timestamp) {
        for (handle, var mailbox) in mailboxes where mailbox.link == link {
            mailbox.link = nil
            mailbox.lastSeen = now
            mailboxes[handle] = mailbox
        }
    }

    /// Forgets mailboxes whose agent has been away longer than ``retention``.
    mutating func expire(now: Timestamp) {
        let limit = Mailboxes.retention * 1000
        mailboxes = mailboxes.filter { $0.value.link != nil || now.milliseconds(since: $0.value.lastSeen) < limit }
    }
}
