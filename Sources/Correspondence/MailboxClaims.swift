import Primitives
import Records
import Wire

/// The mailboxes that the agent has at its gateways: over one link that of one day (specs/correspondence.md, "Mailboxes").
///
/// A mailbox has another handle each day, so that a gateway cannot follow a user by it. Two handles that are claimed over
/// one link would tell it that they are one user's: so a new day's mailbox is claimed over a link of its own.
struct MailboxClaims: Sendable {
    /// Milliseconds after midnight over which agents spread their new links.
    static let spread = 600_000
    /// Milliseconds until a link that did not come about is asked for again.
    static let again: UInt64 = 60_000

    /// The day of each gateway's mailbox.
    private var epochs: [NodeID: UInt64] = [:]
    /// Mailboxes of a key that was replaced.
    private var outdated: Set<NodeID> = []
    private var renewals: [NodeID: Timestamp] = [:]

    /// The day of the mailbox that replies through a gateway go to.
    func epoch(at gateway: NodeID, _ now: Timestamp) -> UInt64 { epochs[gateway] ?? now.epoch }

    /// The mailbox over a new link is today's.
    mutating func claimed(at gateway: NodeID, _ now: Timestamp) {
        epochs[gateway] = now.epoch
        outdated.remove(gateway)
        renewals[gateway] = nil
    }

    mutating func disconnected(_ gateway: NodeID) {
        epochs[gateway] = nil
        outdated.remove(gateway)
        renewals[gateway] = nil
    }

    /// The mailbox key was replaced: new links at once.
    mutating func replaceAll(_ now: Timestamp) {
        outdated = Set(epochs.keys)
        for gateway in outdated { renewals[gateway] = now }
    }

    /// The clock went back: moments that it showed before are no measure.
    mutating func turnBack() { renewals = [:] }

    /// The gateways to which a new link is due, since the mailbox there is another day's.
    mutating func due(_ now: Timestamp, _ entropy: inout Entropy) -> [NodeID] {
        var due: [NodeID] = []
        for gateway in epochs.keys.sorted() where epochs[gateway] != now.epoch || outdated.contains(gateway) {
            if let time = renewals[gateway] {
                guard now >= time else { continue }
                due.append(gateway)
                renewals[gateway] = now.adding(milliseconds: MailboxClaims.again)
            } else {
                renewals[gateway] = now.adding(milliseconds: UInt64(entropy.below(MailboxClaims.spread)))
            }
        }
        return due
    }
}
